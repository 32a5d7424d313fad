#include "proxy/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "net/addr.h"
#include "net/source.h"

TAILQ_HEAD(pool_list, pool_item);

/* The idle connections of one way, the one used last in front. */
struct pool_place {
	struct pool *pool;
	struct pool_list idle;
	int count;
};

struct pool {
	struct map *places;
	struct pool_list aged; /* all of them, the one used longest ago in front */
	int count;
	pool_drop_fn *drop;
	void *arg;
};

/* Two addresses, the source's only if there is one. */
struct pool_key {
	unsigned char bytes[2 * 20];
	size_t len;
};

static void pool_key_add(struct pool_key *key, const struct addr *a, uint8_t bits)
{
	unsigned char *at = key->bytes + key->len;

	at[0] = a->family == AF_INET6;
	at[1] = bits;
	memcpy(at + 2, &a->port, sizeof(a->port));
	if (a->family == AF_INET6)
		memcpy(at + 4, &a->ip.v6, sizeof(a->ip.v6));
	else
		memcpy(at + 4, &a->ip.v4, sizeof(a->ip.v4));
	key->len += 20;
}

static struct pool_key pool_key(const struct pool_way *way)
{
	const struct network *from = source_for(way->source, way->to->family);
	struct pool_key key = {{0}, 0};

	pool_key_add(&key, way->to, 0);
	if (from)
		pool_key_add(&key, &from->base, from->bits);
	return key;
}

static void pool_drop(struct pool *pool, struct pool_item *item)
{
	pool_remove(pool, item);
	pool->drop(item, pool->arg);
}

static void pool_on_place_dropped(void *value, void *arg)
{
	struct pool_place *place = value;
	struct pool_item *item;

	(void)arg;
	while ((item = TAILQ_FIRST(&place->idle)) != NULL)
		pool_drop(place->pool, item);
	free(place);
}

struct pool *pool_new(int places, pool_drop_fn *drop, void *arg)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	TAILQ_INIT(&pool->aged);
	pool->drop = drop;
	pool->arg = arg;
	pool->places = map_new(places > 0 ? (size_t)places : 1, pool_on_place_dropped, NULL);
	if (!pool->places) {
		free(pool);
		return NULL;
	}
	return pool;
}

void pool_clear(struct pool *pool)
{
	struct pool_item *item;

	while ((item = TAILQ_FIRST(&pool->aged)) != NULL)
		pool_drop(pool, item);
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	map_free(pool->places);
	free(pool);
}

/* A place without idle connections costs little: it stays until it is pushed out. */
static struct pool_place *pool_place(struct pool *pool, const struct pool_way *way)
{
	struct pool_key key = pool_key(way);
	struct pool_place *place = map_get(pool->places, key.bytes, key.len);

	if (place)
		return place;
	place = calloc(1, sizeof(*place));
	if (!place)
		return NULL;
	place->pool = pool;
	TAILQ_INIT(&place->idle);
	if (map_put(pool->places, key.bytes, key.len, place) != 0) {
		free(place);
		return NULL;
	}
	return place;
}

bool pool_put(struct pool *pool, const struct pool_way *way, struct pool_item *item,
    const struct pool_limits *limits)
{
	struct pool_place *place;

	if (limits->all <= 0 || limits->per_address <= 0)
		return false;
	place = pool_place(pool, way);
	if (!place)
		return false;
	while (place->count >= limits->per_address)
		pool_drop(pool, TAILQ_LAST(&place->idle, pool_list));
	while (pool->count >= limits->all)
		pool_drop(pool, TAILQ_FIRST(&pool->aged));
	item->place = place;
	TAILQ_INSERT_HEAD(&place->idle, item, idle);
	TAILQ_INSERT_TAIL(&pool->aged, item, aged);
	place->count++;
	pool->count++;
	return true;
}

struct pool_item *pool_take(struct pool *pool, const struct pool_way *way)
{
	struct pool_key key = pool_key(way);
	struct pool_place *place = map_get(pool->places, key.bytes, key.len);
	struct pool_item *item = place ? TAILQ_FIRST(&place->idle) : NULL;

	if (item)
		pool_remove(pool, item);
	return item;
}

void pool_remove(struct pool *pool, struct pool_item *item)
{
	if (!item->place)
		return;
	TAILQ_REMOVE(&item->place->idle, item, idle);
	TAILQ_REMOVE(&pool->aged, item, aged);
	item->place->count--;
	item->place = NULL;
	pool->count--;
}

int pool_count(const struct pool *pool)
{
	return pool->count;
}
