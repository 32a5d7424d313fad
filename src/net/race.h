/*
 * race -- several addresses, one winner.
 *
 * Tries the addresses in their order, one after the other, each for at most
 * `attempt` and all of them for at most `total`.  How an attempt is made is the
 * caller's: a start and a cancel function.  Knows nothing of sockets.
 */
#ifndef NET_RACE_H
#define NET_RACE_H

#include <stddef.h>
#include <sys/time.h>

#include "net/addr.h"

struct event_base;
struct race;

struct race_attempt {
	/*
	 * Begin to connect and return a handle, or NULL with errno set.  The attempt
	 * reports with race_won or race_lost, from the event loop, never from inside
	 * start, and is gone from race's view by that.
	 */
	void *(*start)(struct race *race, const struct addr *to, void *arg);
	void (*cancel)(void *handle, void *arg);
};

/*
 * The winner's handle is the callee's; `address` is where it connected to.  When none
 * won: NULL, and error is the errno of the last failure (ETIMEDOUT when time ran
 * out).
 */
typedef void race_done_fn(void *winner, const struct addr *address, int error, void *arg);

/*
 * Copies the addresses (count at least 1), borrows how.  Calls done exactly once, from the event
 * loop, as its last act after freeing itself; not from inside this call, and not after race_cancel,
 * which cancels every attempt.  arg goes to start, cancel and done.  Returns NULL when out of
 * memory.
 */
struct race *race_start(struct event_base *base, const struct addr *addrs, size_t count,
    struct timeval attempt, struct timeval total, const struct race_attempt *how,
    race_done_fn *done, void *arg);
void race_cancel(struct race *race);

/* An equal share of the total for each of count attempts, but at least two seconds. */
struct timeval race_share(struct timeval total, size_t count);

/* An attempt's report. */
void race_won(struct race *race, void *handle);
void race_lost(struct race *race, void *handle, int error);

#endif
