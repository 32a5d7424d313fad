/*
 * cache -- what was answered, by name, for as long as it may be believed.
 *
 * Belongs to one event loop.  Bounded: the name used longest ago goes first.
 */
#ifndef NET_CACHE_H
#define NET_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "net/addr.h"
#include "net/record.h"

/* All that is known of a name.  Counted: by the cache and by each asker it is on its way to. */
struct answer {
	unsigned refs, generation;
	int64_t expires_ms;
	enum record_status status;
	size_t count; /* above 0 exactly when status is RECORD_OK */
	struct addr addrs[];
};

/* Returns new with one reference, or NULL when out of memory. */
struct answer *answer_new(enum record_status status, const struct addr *addrs, size_t count);
struct answer *answer_ref(struct answer *a); /* a may be NULL, here and below */
void answer_unref(struct answer *a);

struct cache;
struct name;

struct cache_options {
	size_t entries;           /* at most; 0: nothing is kept */
	int ttl_min_s, ttl_max_s, /* an address is kept no shorter and no longer; the latter wins */
	    ttl_negative_s;       /* a "no", and half an answer, is kept no longer */
};

/* Returns new, or NULL when out of memory. */
struct cache *cache_new(const struct cache_options *options);
void cache_free(struct cache *c);

/* Other options; what was kept is forgotten.  -1: out of memory, nothing has changed. */
MUST_USE int cache_configure(struct cache *c, const struct cache_options *options);

/* What was answered before is not used any more, nor what is asked before and put after this. */
void cache_void(struct cache *c);

/* What an answer to a question that is asked now has to carry. */
unsigned cache_generation(const struct cache *c);

/* Whether what was answered then may be used still. */
bool cache_is_good(const struct cache *c, const struct answer *a);

/* Until when half an answer may be used while the other half is asked for, `least_s` at least. */
int64_t cache_expiry_ms(const struct cache *c, const struct record *half, int least_s);

/* Borrowed until the next call; NULL when there is none, or it is too old. */
const struct answer *cache_get(struct cache *c, const struct name *name);

/*
 * Keep the answer, counting a reference, for so long as the two records that it is made of
 * and the options say: failures not at all, an answer of one family that misses the other's
 * because of a failure no longer than a "no".
 */
void cache_put(struct cache *c, const struct name *name, struct answer *a,
    const struct record *ipv4, const struct record *ipv6);

#endif
