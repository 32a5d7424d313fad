#include "base/map.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

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
	struct siphash_key key;
	map_drop_fn *drop;
	void *arg;
};

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
	if (!map->buckets || siphash_pick(&map->key) < 0) {
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
	struct map_entry *e = map_find(map, siphash(&map->key, key, len), key, len);

	if (!e)
		return NULL;
	map_touch(map, e);
	return e->value;
}

int map_put(struct map *map, const void *key, size_t len, void *value)
{
	uint64_t hash = siphash(&map->key, key, len);
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
	struct map_entry *e = map_find(map, siphash(&map->key, key, len), key, len);

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
