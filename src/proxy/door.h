/*
 * door -- evhttp on each listening socket: where clients come in.
 */
#ifndef PROXY_DOOR_H
#define PROXY_DOOR_H

#include <stddef.h>

#include "base/attr.h"
#include "proxy/intake.h"

struct door;

/* Borrows config (until door_configure) and metrics.  NULL when out of memory. */
struct door *door_new(struct event_base *base, const struct config *config, struct metrics *metrics,
    intake_request_fn *on_request, void *arg);

/* Accept on a listening socket; takes it.  -1 when out of memory, then it is not taken. */
MUST_USE int door_listen(struct door *door, int fd);

/* From the next head on, these limits and timers. */
void door_configure(struct door *door, const struct config *config);

/*
 * Stop accepting, close idle clients; the others close after their request.  When all are
 * gone, which may be at once, on_empty is called.
 */
void door_drain(struct door *door, void (*on_empty)(void *arg), void *arg);

/* End everything: users get on_gone(FAIL_SHUTDOWN).  The memory goes on the next turn. */
void door_stop(struct door *door);

size_t door_count(const struct door *door); /* client connections */
void door_free(struct door *door);

#endif
