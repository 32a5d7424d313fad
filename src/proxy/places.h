/*
 * places -- the set of places we accept on: each an address with its sockets.
 *
 * A place has a socket of its own for every worker (SO_REUSEPORT), or one that all
 * share, when it was inherited.  The set owns the sockets; workers borrow them, and each
 * is closed when its borrower has let go.  Kept by the daemon's main thread.
 *
 * Connections that wait in the queue of a socket are reset when it is closed.  So a
 * place closes slowly: for PLACES_GRACE_MS it lets nobody new in while the workers go on
 * accepting those who are (also those whose handshake is under way), and then they leave.
 */
#ifndef PROXY_PLACES_H
#define PROXY_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/attr.h"
#include "net/addr.h"
#include "proxy/listen.h"

#define PLACES_GRACE_MS 100

enum place_state {
	PLACE_NEW,     /* opened, and no worker knows it yet */
	PLACE_OPEN,    /* accepted on */
	PLACE_CLOSING, /* accepted on until leave_at_ms, for those who are in the queue */
	PLACE_LEFT     /* the workers have been told to leave */
};

struct place {
	LIST_ENTRY(place) all;
	struct listen as;            /* what the configuration says of it */
	const struct listen *listed; /* of the list that was matched last; NULL: not in it */
	struct addr at;              /* where it is, with the port that the kernel chose for 0 */
	int *fds;                    /* one for each worker, or one for all; -1 when closed */
	size_t fd_count;
	size_t borrowers;
	enum place_state state;
	bool inherited; /* others hold the socket too: it outlives us, with its queue */
	uint64_t leave_at_ms;
};

/* All zero is an empty set, but for the number of workers. */
struct places {
	LIST_HEAD(place_list, place) all;
	size_t workers;
};

/*
 * Mark the places that stand at one of the addresses as listed, and open those that are
 * missing (PLACE_NEW).  When one cannot be opened all is as before: -1 with errno, and
 * *ret_failed is the address.  The list is borrowed until place_rename.
 */
MUST_USE int places_match(
    struct places *places, const struct listen *list, size_t count, const struct addr **ret_failed);

/*
 * Take a socket that we were handed: a listed place (PLACE_NEW) that all workers share.  NULL, or
 * why it cannot be one; then it is not taken.  Its name is kept escaped.
 */
const char *places_adopt(struct places *places, int fd, const char *name);

/* The socket that a worker accepts on; -1 when it is closed. */
int place_socket(const struct place *place, size_t worker);

/* What it is listed as is what it is.  Whether that is another name or source than before. */
bool place_rename(struct place *place);

/* To PLACE_OPEN, also from PLACE_CLOSING; and the other way. */
void place_open(struct place *place);
void place_close(struct place *place);

/* Milliseconds until the next place is to be left, -1 when none is. */
int places_patience(const struct places *places);
/* One whose time has come, now PLACE_LEFT; NULL when there is none. */
struct place *places_due(struct places *places);

/* A borrower has let go of this socket. */
void places_return(struct places *places, int fd);

/* Closes everything. */
void places_done(struct places *places);

#endif
