#include "base/bucket.h"

/* When it would be full again behind taking what costs so much. */
static uint64_t bucket_behind(uint64_t full, uint64_t cost, uint64_t now)
{
	return (full > now ? full : now) + cost;
}

uint64_t bucket_take(struct bucket *b, uint64_t cost, uint64_t depth, uint64_t now)
{
	uint64_t full = atomic_load_explicit(&b->full_ns, memory_order_relaxed), behind;

	do {
		behind = bucket_behind(full, cost, now);
		if (behind > now + depth)
			return behind - now - depth;
	} while (!atomic_compare_exchange_weak_explicit(
	    &b->full_ns, &full, behind, memory_order_relaxed, memory_order_relaxed));
	return 0;
}

void bucket_spend(struct bucket *b, uint64_t cost, uint64_t now)
{
	uint64_t full = atomic_load_explicit(&b->full_ns, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&b->full_ns, &full,
	    bucket_behind(full, cost, now), memory_order_relaxed, memory_order_relaxed))
		continue;
}

uint64_t bucket_debt(const struct bucket *b, uint64_t depth, uint64_t now)
{
	uint64_t full = atomic_load_explicit(&b->full_ns, memory_order_relaxed);

	return full > now + depth ? full - now - depth : 0;
}
