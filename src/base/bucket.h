/*
 * bucket -- a token bucket in one atomic word.
 *
 * What is kept is the time at which the bucket will be full again: taking moves it on, and
 * the clock does the refilling.  So a bucket that is all zero is full, it needs no upkeep, and a
 * change of rate holds from the next taking on.  Any thread.  The caller hands in the time,
 * CLOCK_MONOTONIC's in nanoseconds; `depth` is what a full bucket holds, as the time it takes
 * to fill.
 */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BUCKET_SECOND UINT64_C(1000000000)

struct bucket {
	_Atomic uint64_t full_ns;
};

/* A bucket that somebody else owns, and how fast it fills.  bucket NULL: there is no limit. */
struct allowance {
	struct bucket *bucket;
	uint32_t rate; /* a second, at least 1 */
};

/* The time that n tokens take; n below 2^34. */
static inline uint64_t bucket_cost(uint64_t n, uint32_t rate)
{
	return n * BUCKET_SECOND / rate;
}

/* Take what costs so much, if it is there: 0.  Else nothing is taken: the time until it will be. */
uint64_t bucket_take(struct bucket *b, uint64_t cost, uint64_t depth, uint64_t now);

/* Take it whether it is there or not; what is missing is owed. */
void bucket_spend(struct bucket *b, uint64_t cost, uint64_t now);

/* The time until nothing is owed any more; 0: nothing is. */
uint64_t bucket_debt(const struct bucket *b, uint64_t depth, uint64_t now);

static inline bool bucket_is_full(const struct bucket *b, uint64_t now)
{
	return atomic_load_explicit(&b->full_ns, memory_order_relaxed) <= now;
}

#endif
