/*
 * places -- the set of places we accept on: each an address with its sockets.
 *
 * A place has a socket of its own for every worker (SO_REUSEPORT), or one that all
 * share, when it was inherited.  Kept by the daemon's main thread.
 */
#ifndef PROXY_PLACES_H
#define PROXY_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "net/addr.h"

struct place {
	struct addr wanted; /* as the configuration says it: port 0 lets the kernel choose */
	struct addr at;     /* where it is */
	int *fds;           /* one for each worker; -1 when taken */
	size_t fd_count;
};

struct places {
	struct place **items;
	size_t count;
	size_t workers;
};

/* Open a place at each address, for so many workers.  -1 when one cannot be; that is logged. */
MUST_USE int places_open(
    struct places *places, const struct addr *addresses, size_t count, size_t workers);

/* The socket of a worker, which the caller then owns. */
int place_take(struct place *place, size_t worker);

/* Closes what was not taken.  All zero is fine. */
void places_done(struct places *places);

#endif
