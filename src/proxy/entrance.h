/*
 * entrance -- where clients came in: one of our places, with what the configuration says of it.
 *
 * Made by the main thread for one worker, and from then on that worker's: counted without locks
 * by the socket that is accepted on and by each connection that came in there, which outlives
 * the socket.  Never changed; when a reload gives the place another name or source, a new one
 * succeeds it.
 */
#ifndef PROXY_ENTRANCE_H
#define PROXY_ENTRANCE_H

#include <stdbool.h>

#include "net/addr.h"
#include "proxy/listen.h"

struct locality;

struct entrance {
	unsigned refs;
	struct entrance *next; /* its successor; NULL: none yet */
	struct addr at;        /* where it is: with the port that the system chose */
	bool both;             /* IPv6, and IPv4 clients come in there, too */
	char name[LISTEN_NAME_MAX];
	struct source source; /* where requests leave from */
};

/* Returns new (counted once) or NULL when out of memory. */
struct entrance *entrance_new(const struct listen *listen, const struct addr *at, bool both);

struct entrance *entrance_ref(struct entrance *e); /* counts; returns its argument */
void entrance_unref(struct entrance *e);           /* NULL is fine */

/*
 * Whether who connects to this address comes in here: at any address of this machine, where all
 * are listened on.
 */
bool entrance_is_at(const struct entrance *e, const struct addr *to, struct locality *locality);

/* The old one has a successor from now on, which is counted. */
void entrance_succeed(struct entrance *old, struct entrance *next);

/* Swap a counted one for its last successor. */
struct entrance *entrance_latest(struct entrance *e);

#endif
