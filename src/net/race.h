/*
 * race -- several addresses, one winner: RFC 8305 order and stagger, over a start and a cancel
 * callback.
 *
 * The families take turns, the first address's first; within a family the order given holds.
 * The next attempt begins when one fails or has been under way for `stagger`; two at
 * most are under way at once, six are made in all.  When two neither fail nor connect, the older
 * gives way in time for those that wait.  Knows nothing of sockets.
 *
 * What this machine lacks (descriptors, memory) is no fault of an address: that one is tried again
 * when another attempt has ended, or after `stagger`; and where none is under way it is over.
 */
#ifndef NET_RACE_H
#define NET_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

#include "net/addr.h"

struct event_base;
struct race;

struct race_attempt {
	/*
	 * Begin to connect and return a handle, or NULL with errno set when that is not
	 * possible to anywhere: no descriptor, no memory.  The attempt reports with race_won or
	 * race_lost, from the event loop, never from inside start, and is gone from race's view by
	 * that.
	 */
	void *(*start)(struct race *race, const struct addr *to, void *arg);
	void (*cancel)(void *handle, void *arg);
};

struct race_times {
	struct timeval stagger, total; /* the latter while there is an attempt under way */
};

/*
 * The winner's handle is the callee's; `address` is where it connected to; all others are
 * cancelled.  When none won: NULL, and error is the errno of the failure that tells most, the
 * last one of these (ETIMEDOUT when time ran out), or that of start where it was that.
 */
typedef void race_done_fn(void *winner, const struct addr *address, int error, void *arg);

/*
 * Copies the addresses (count at least 1), borrows how.  Calls done exactly once, from the event
 * loop, as its last act after freeing itself; not from inside a call of its owner, and not after
 * race_cancel, which cancels every attempt.  arg goes to start, cancel and done.  Returns NULL
 * when out of memory.
 */
struct race *race_start(struct event_base *base, const struct addr *addrs, size_t count,
    const struct race_times *times, const struct race_attempt *how, race_done_fn *done, void *arg);
void race_cancel(struct race *race);

/* More addresses, which come late, behind those of their family.  Copies them. */
void race_add(struct race *race, const struct addr *addrs, size_t count);

/* One that comes late, too, but is known to answer: the next attempt, which begins at once. */
void race_hurry(struct race *race, const struct addr *to);

/*
 * While more are expected, the race is not lost when it has run out of addresses, and has no time
 * of its own.
 */
void race_expect(struct race *race, bool more);

/* An attempt's report. */
void race_won(struct race *race, void *handle);
void race_lost(struct race *race, void *handle, int error);

#endif
