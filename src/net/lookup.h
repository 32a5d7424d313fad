/*
 * lookup -- the names that are being asked for: one question for many askers.
 *
 * Belongs to one event loop.  What is learnt of a name goes into the cache, whether somebody
 * still waits for it or not.  A lookup that began before the cache was made void, or whose half
 * has been told for as long as that may be believed, goes on for those it has; who asks now
 * starts another.  Addresses come best first (RFC 6724).
 */
#ifndef NET_LOOKUP_H
#define NET_LOOKUP_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/attr.h"

struct answer;
struct cache;
struct dns;
struct event_base;
struct lookup;
struct lookups;
struct name;

/* One who wants to know.  Embedded in its owner, all 0 at first. */
struct lookup_asker {
	TAILQ_ENTRY(lookup_asker) link;
	struct lookup *lookup; /* NULL: of none */
};

/*
 * With `more`, once or not at all: the addresses of one family; the other is still being asked
 * for.  Else the last call: all addresses, or why there are none, or NULL when out of memory; the
 * asker is of no lookup any more.  The answer is borrowed: count it to keep it.  May be called from
 * inside lookup_join, and may call nothing here.
 */
typedef void lookup_tell_fn(struct lookup_asker *asker, struct answer *answer, bool more);

enum lookup_joined {
	LOOKUP_JOINED,
	LOOKUP_FULL, /* too many names are being asked for: neither joined nor told */
	LOOKUP_NO_MEMORY
};

/* Borrows dns and cache.  Returns new, or NULL when out of memory.  Then lookups_await. */
struct lookups *lookups_new(
    struct event_base *base, struct dns *dns, struct cache *cache, lookup_tell_fn *tell);

/* dns is gone already, so that it tells nothing more.  Askers are told nothing either. */
void lookups_free(struct lookups *ls);

/* The family whose addresses are told at once; the other's are held back 50 ms (RFC 8305 3). */
void lookups_await(struct lookups *ls, sa_family_t family);

/* Join the lookup of the name, or start it. */
MUST_USE enum lookup_joined lookup_join(
    struct lookups *ls, const struct name *name, struct lookup_asker *asker);

/* It is told nothing more.  Does nothing for an asker that is of no lookup. */
void lookup_leave(struct lookup_asker *asker);

#endif
