/*
 * preference -- the address that won the last race for an origin goes first in the next.
 *
 * For ten minutes from the race in which it first won (RFC 8305 4), so that a way that is mended
 * is found again.  Bounded; what was not asked for the longest is forgotten first.  Of one worker.
 */
#ifndef NET_PREFERENCE_H
#define NET_PREFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct addr;
struct preference;
struct source;

/* An origin, as it is reached from here. */
struct preference_origin {
	struct slice host; /* lower case; cut off behind its first 255 bytes */
	uint16_t port;
	const struct source *source;
};

/* Remembers up to `limit` origins.  NULL when out of memory. */
struct preference *preference_new(size_t limit);
void preference_clear(struct preference *p);
void preference_free(struct preference *p); /* NULL is fine */

/* Puts the address that is remembered in front, if it is one of these.  Returns whether it is. */
bool preference_apply(struct preference *p, const struct preference_origin *origin,
    struct addr *addrs, size_t count, uint64_t now_ms);

/* A race among several is over.  winner NULL: none could be reached. */
void preference_note(struct preference *p, const struct preference_origin *origin,
    const struct addr *winner, uint64_t now_ms);

#endif
