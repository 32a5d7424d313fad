#include "net/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "net/name.h"

struct cache {
	struct map *answers; /* by name; NULL when nothing is to be kept */
	unsigned generation; /* answers of an older one are not used */
	struct cache_options options;
};

struct answer *answer_new(enum record_status status, const struct addr *addrs, size_t count)
{
	struct answer *a = calloc(1, sizeof(*a) + count * sizeof(a->addrs[0]));

	if (!a)
		return NULL;
	a->refs = 1;
	a->status = status;
	a->count = count;
	if (count > 0)
		memcpy(a->addrs, addrs, count * sizeof(a->addrs[0]));
	return a;
}

struct answer *answer_ref(struct answer *a)
{
	if (a)
		a->refs++;
	return a;
}

void answer_unref(struct answer *a)
{
	if (a && --a->refs == 0)
		free(a);
}

static void cache_on_drop(void *value, void *arg)
{
	(void)arg;
	answer_unref(value);
}

struct cache *cache_new(const struct cache_options *options)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (c && cache_configure(c, options) != 0) {
		free(c);
		c = NULL;
	}
	return c;
}

void cache_free(struct cache *c)
{
	if (c && c->answers)
		map_free(c->answers);
	free(c);
}

int cache_configure(struct cache *c, const struct cache_options *options)
{
	struct map *answers = NULL;

	if (options->entries > 0) {
		answers = map_new(options->entries, cache_on_drop, NULL);
		if (!answers)
			return -1;
	}
	if (c->answers)
		map_free(c->answers);
	c->answers = answers;
	c->options = *options;
	c->generation++;
	return 0;
}

void cache_void(struct cache *c)
{
	c->generation++;
}

unsigned cache_generation(const struct cache *c)
{
	return c->generation;
}

bool cache_is_good(const struct cache *c, const struct answer *a)
{
	return a->generation == c->generation && a->expires_ms > record_now_ms();
}

const struct answer *cache_get(struct cache *c, const struct name *name)
{
	struct answer *a = c->answers ? map_get(c->answers, name->text, name->len) : NULL;

	if (a && !cache_is_good(c, a)) {
		answer_unref(map_take(c->answers, name->text, name->len));
		a = NULL;
	}
	return a;
}

static int64_t between(int64_t ttl, int64_t least, int64_t most)
{
	ttl = ttl > least ? ttl : least;
	return ttl < most ? ttl : most;
}

int64_t cache_expiry_ms(const struct cache *c, const struct record *half, int least_s)
{
	int64_t keep = between(half->ttl_s, c->options.ttl_min_s, c->options.ttl_max_s);

	return record_now_ms() + (keep > least_s ? keep : least_s) * 1000;
}

/* The least time of the records that say the same as the answer does: addresses, or none. */
static int64_t keep_s(const struct cache_options *o, const struct answer *a,
    const struct record *ipv4, const struct record *ipv6)
{
	const struct record *records[] = {ipv4, ipv6};
	int64_t ttl = RECORD_TTL_NONE;
	bool failed = false;

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		const struct record *r = records[i];
		bool no = r->status == RECORD_NO_NAME || r->status == RECORD_NO_DATA;

		failed |= r->status != RECORD_OK && !no;
		if ((a->count > 0 ? r->status == RECORD_OK : no) && r->ttl_s < ttl)
			ttl = r->ttl_s;
	}
	if (a->status == RECORD_OK)
		ttl = between(ttl, o->ttl_min_s, o->ttl_max_s);
	if (a->status != RECORD_OK || failed)
		ttl = ttl < o->ttl_negative_s ? ttl : o->ttl_negative_s;
	return ttl;
}

void cache_put(struct cache *c, const struct name *name, struct answer *a,
    const struct record *ipv4, const struct record *ipv6)
{
	int64_t keep;

	if (a->status != RECORD_OK && a->status != RECORD_NO_NAME && a->status != RECORD_NO_DATA)
		return;
	keep = keep_s(&c->options, a, ipv4, ipv6);
	if (!c->answers || keep <= 0)
		return;
	a->expires_ms = record_now_ms() + keep * 1000;
	/* Out of memory: then it is asked again next time. */
	if (map_put(c->answers, name->text, name->len, a) == 0)
		answer_ref(a);
}
