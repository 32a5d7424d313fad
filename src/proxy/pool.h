/*
 * pool -- idle connections, by the address they lead to and the source they come from.
 *
 * Bounded for each such way and in all.  The connection used last is handed out first, so
 * that those which are not needed grow old and close.  Holds its members by an
 * item embedded in them; knows nothing else of them.
 */
#ifndef PROXY_POOL_H
#define PROXY_POOL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/attr.h"

struct addr;
struct pool;
struct pool_place;
struct source;

/* Borrowed. */
struct pool_way {
	const struct addr *to;
	const struct source *source;
};

struct pool_item {
	TAILQ_ENTRY(pool_item) idle; /* in its place's list */
	TAILQ_ENTRY(pool_item) aged; /* in the pool's list */
	struct pool_place *place;    /* NULL: not in the pool */
};

/* The item has been taken out, to make room or by pool_clear. */
typedef void pool_drop_fn(struct pool_item *item, void *arg);

struct pool_limits {
	int all, per_address; /* 0: nothing is kept */
};

/* Remembers up to `places` ways (at least 1).  NULL when out of memory. */
struct pool *pool_new(int places, pool_drop_fn *drop, void *arg);
void pool_clear(struct pool *pool); /* drops all */
void pool_free(struct pool *pool);  /* must be empty */

/* Put it in.  False when it may not be kept: no room is allowed, or out of memory. */
MUST_USE bool pool_put(struct pool *pool, const struct pool_way *way, struct pool_item *item,
    const struct pool_limits *limits);

/* Take out the one that was put in last for this way, or NULL. */
struct pool_item *pool_take(struct pool *pool, const struct pool_way *way);

/* Take this one out, if it is in. */
void pool_remove(struct pool *pool, struct pool_item *item);

int pool_count(const struct pool *pool);

#endif
