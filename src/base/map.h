/*
 * map -- byte key to pointer, bounded, least recently used goes first.
 *
 * Open hashing with a keyed hash (SipHash-1-3 or as good; the key is random per
 * process, so that a peer cannot choose colliding keys).  Not for several threads.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>

#include "base/attr.h"

struct map;

/*
 * Called for a value that leaves the map by itself: pushed out, replaced, or at
 * map_clear and map_free.  The map is whole then and may be used, but not freed.
 */
typedef void map_drop_fn(void *value, void *arg);

/*
 * Holds `limit` entries at most (at least 1).  drop may be NULL.  Returns new, or
 * NULL when out of memory (or of random numbers).
 */
struct map *map_new(size_t limit, map_drop_fn *drop, void *arg);
void map_clear(struct map *map); /* drops all */
void map_free(struct map *map);

/* The value, now the most recently used; NULL when there is none. */
void *map_get(struct map *map, const void *key, size_t len);

/*
 * Set the value (not NULL) of a copy of the key.  A value that was there, or the
 * least recently used one when the map is full, is dropped; putting the value that
 * is there already only counts as use.  Returns -1 when out of memory, then
 * nothing has changed and the value is still the caller's.
 */
MUST_USE int map_put(struct map *map, const void *key, size_t len, void *value);

/* Take the value out without dropping it; NULL when there is none. */
void *map_take(struct map *map, const void *key, size_t len);

/* The value used longest ago, or NULL.  Does not count as use. */
void *map_oldest(const struct map *map);

size_t map_count(const struct map *map);

#endif
