#include "base/map.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#define MAP_BUCKETS_FIRST 16

struct map_entry {
	struct map_entry *next;          /* in the bucket */
	struct map_entry *older, *newer; /* by last use */
	uint64_t hash;
	void *value;
	size_t len;
	char key[];
};

struct map {
	struct map_entry **buckets;
	size_t bucket_count; /* a power of two */
	size_t count, limit;
	struct map_entry *oldest, *newest;
	uint64_t secret[2];
	map_drop_fn *drop;
	void *arg;
};

static uint64_t map_rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void map_sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = map_rotate(v[1], 13) ^ v[0];
	v[0] = map_rotate(v[0], 32);
	v[2] += v[3];
	v[3] = map_rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = map_rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = map_rotate(v[1], 17) ^ v[2];
	v[2] = map_rotate(v[2], 32);
}

/* SipHash-1-3.  Words are taken in the machine's byte order: the value never leaves the process. */
static uint64_t map_hash(const struct map *map, const void *key, size_t len)
{
	const uint64_t *secret = map->secret;
	uint64_t v[4] = {secret[0] ^ UINT64_C(0x736f6d6570736575),
	    secret[1] ^ UINT64_C(0x646f72616e646f6d), secret[0] ^ UINT64_C(0x6c7967656e657261),
	    secret[1] ^ UINT64_C(0x7465646279746573)};
	const char *at = key;
	uint64_t last = (uint64_t)len << 56;
	uint64_t word;
	size_t left;

	for (left = len; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		v[3] ^= word;
		map_sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)(unsigned char)at[i] << 8 * i;
	v[3] ^= last;
	map_sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	map_sip_round(v);
	map_sip_round(v);
	map_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static int map_pick_secret(struct map *map)
{
	ssize_t n;

	do
		n = getrandom(map->secret, sizeof(map->secret), 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(map->secret) ? 0 : -1;
}

struct map *map_new(size_t limit, map_drop_fn *drop, void *arg)
{
	struct map *map = calloc(1, sizeof(*map));

	if (!map)
		return NULL;
	map->limit = limit > 0 ? limit : 1;
	map->drop = drop;
	map->arg = arg;
	map->bucket_count = MAP_BUCKETS_FIRST;
	map->buckets = calloc(map->bucket_count, sizeof(struct map_entry *));
	if (!map->buckets || map_pick_secret(map) < 0) {
		free(map->buckets);
		free(map);
		return NULL;
	}
	return map;
}

static struct map_entry **map_bucket(const struct map *map, uint64_t hash)
{
	return &map->buckets[hash & (map->bucket_count - 1)];
}

static struct map_entry *map_find(const struct map *map, uint64_t hash, const void *key, size_t len)
{
	struct map_entry *e;

	for (e = *map_bucket(map, hash); e; e = e->next) {
		if (e->hash != hash || e->len != len)
			continue;
		if (len == 0 || memcmp(e->key, key, len) == 0)
			return e;
	}
	return NULL;
}

static void map_age_remove(struct map *map, struct map_entry *e)
{
	*(e->older ? &e->older->newer : &map->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &map->newest) = e->older;
}

static void map_age_append(struct map *map, struct map_entry *e)
{
	e->older = map->newest;
	e->newer = NULL;
	*(map->newest ? &map->newest->newer : &map->oldest) = e;
	map->newest = e;
}

static void map_touch(struct map *map, struct map_entry *e)
{
	if (e == map->newest)
		return;
	map_age_remove(map, e);
	map_age_append(map, e);
}

/* Take the entry out and free it.  Returns its value. */
static void *map_remove(struct map *map, struct map_entry *e)
{
	struct map_entry **link = map_bucket(map, e->hash);
	void *value = e->value;

	while (*link != e)
		link = &(*link)->next;
	*link = e->next;
	map_age_remove(map, e);
	map->count--;
	free(e);
	return value;
}

/* Twice the buckets.  Without memory the chains get longer, no more than that. */
static void map_grow(struct map *map)
{
	size_t count = map->bucket_count * 2;
	struct map_entry **buckets = calloc(count, sizeof(struct map_entry *));

	if (!buckets)
		return;
	free(map->buckets);
	map->buckets = buckets;
	map->bucket_count = count;
	for (struct map_entry *e = map->oldest; e; e = e->newer) {
		struct map_entry **bucket = map_bucket(map, e->hash);

		e->next = *bucket;
		*bucket = e;
	}
}

static void map_insert(struct map *map, struct map_entry *e)
{
	struct map_entry **bucket;

	if (map->count >= map->bucket_count)
		map_grow(map);
	bucket = map_bucket(map, e->hash);
	e->next = *bucket;
	*bucket = e;
	map_age_append(map, e);
	map->count++;
}

static struct map_entry *map_entry_new(uint64_t hash, const void *key, size_t len)
{
	struct map_entry *e = NULL;

	if (len <= SIZE_MAX - sizeof(*e))
		e = malloc(sizeof(*e) + len);
	if (!e)
		return NULL;
	e->hash = hash;
	e->len = len;
	if (len > 0)
		memcpy(e->key, key, len);
	return e;
}

/* Last in every function that uses it: the callback may call back into the map. */
static void map_drop(const struct map *map, void *value)
{
	if (value && map->drop)
		map->drop(value, map->arg);
}

void map_clear(struct map *map)
{
	while (map->oldest)
		map_drop(map, map_remove(map, map->oldest));
}

void map_free(struct map *map)
{
	if (!map)
		return;
	map_clear(map);
	free(map->buckets);
	free(map);
}

void *map_get(struct map *map, const void *key, size_t len)
{
	struct map_entry *e = map_find(map, map_hash(map, key, len), key, len);

	if (!e)
		return NULL;
	map_touch(map, e);
	return e->value;
}

int map_put(struct map *map, const void *key, size_t len, void *value)
{
	uint64_t hash = map_hash(map, key, len);
	struct map_entry *e = map_find(map, hash, key, len);
	void *dropped = NULL;

	assert(value);
	if (e) {
		dropped = e->value != value ? e->value : NULL;
		e->value = value;
		map_touch(map, e);
	} else {
		e = map_entry_new(hash, key, len);
		if (!e)
			return -1;
		e->value = value;
		if (map->count >= map->limit)
			dropped = map_remove(map, map->oldest);
		map_insert(map, e);
	}
	map_drop(map, dropped);
	return 0;
}

void *map_take(struct map *map, const void *key, size_t len)
{
	struct map_entry *e = map_find(map, map_hash(map, key, len), key, len);

	return e ? map_remove(map, e) : NULL;
}

void *map_oldest(const struct map *map)
{
	return map->oldest ? map->oldest->value : NULL;
}

size_t map_count(const struct map *map)
{
	return map->count;
}
