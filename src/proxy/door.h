/*
 * door -- evhttp on each listening socket: where clients come in.
 */
#ifndef PROXY_DOOR_H
#define PROXY_DOOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "proxy/intake.h"

struct addr;
struct door;
struct locality;

/*
 * Borrows what it takes over from shared: base, config (until door_configure), metrics, limit,
 * refusal, on_request with its arg; and the locality.  NULL when out of memory.
 */
struct door *door_new(const struct intake_shared *shared, struct locality *locality);

/*
 * Called with new's arg when descriptors get scarce and accepting pauses: those that are kept for
 * later use are to be given back.
 */
void door_on_shortage(struct door *door, void (*give_back)(void *arg));

/*
 * Accept on a listening socket, which is borrowed until on_left.  Takes the entrance.  -1 when out
 * of memory.
 */
MUST_USE int door_listen(struct door *door, int fd, struct entrance *entrance);

/* From the next door_configure on, clients of that socket come in by this entrance; taken. */
void door_rename(struct door *door, int fd, struct entrance *entrance);

/*
 * Accept on it no more, once its queue is empty (empty_first) or at once.  Then, on a later turn
 * of the loop, when the kernel polls it for us no more, on_left is called.
 */
void door_leave(struct door *door, int fd, bool empty_first);

typedef void door_left_fn(int fd, void *arg);
void door_set_on_left(struct door *door, door_left_fn *on_left, void *arg);

/* From the next head on, these limits, timers and entrances. */
void door_configure(struct door *door, const struct config *config);

/*
 * Close idle clients; the others, and those who still come in, close after their request.  When
 * all are gone and all sockets left, which may be at once, on_empty is called.
 */
void door_drain(struct door *door, void (*on_empty)(void *arg), void *arg);

/* Whether who connects there comes in by this door. */
bool door_is_at(const struct door *door, const struct addr *to);

/* End everything: users get on_gone(FAIL_SHUTDOWN).  The memory goes on the next turn. */
void door_stop(struct door *door);

size_t door_count(const struct door *door); /* client connections */
void door_free(struct door *door);

#endif
