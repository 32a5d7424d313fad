/*
 * resolver -- names to addresses: asynchronous (c-ares), cached by TTL, one
 * query for many askers.
 *
 * Belongs to one worker's event loop.  The hosts file comes first.  Then A and AAAA are
 * asked together, and the first addresses are told before all are known (RFC 8305 3).
 * Addresses come best first (RFC 6724), without port.  Literal addresses, in every
 * spelling of addr_parse_loose, are answered without a query; what name_parse refuses is.
 * Failures and time-outs are not cached, and an answer that misses one family because of
 * them only as long as a "no"; record.h says what becomes of two answers without an
 * address.  A change of the hosts file or of resolv.conf is seen within a second and
 * empties the cache.  At most 4096 names are looked up at a time, those waiting for their
 * turn included: more are RESOLVER_BUSY.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "net/addr.h"

struct event_base;
struct metrics;
struct resolver;
struct resolver_query;

struct resolver_options {
	const char *const *servers; /* "192.0.2.53", "[2001:db8::53]:5353"; none: resolv.conf */
	size_t server_count;
	int timeout_ms;           /* for the whole lookup, waiting for its turn included */
	size_t cache_entries;     /* at most */
	int ttl_min_s, ttl_max_s, /* an answer is kept no shorter and no longer; the latter wins */
	    ttl_negative_s;       /* a "no such name" is kept no longer */
	size_t lookups;          /* names with the servers at a time, the others wait; at least 1 */
	sa_family_t only;        /* AF_INET or AF_INET6: nothing else is asked; 0: both are */
	sa_family_t awaited;     /* the family that the other one is held back for; 0: AF_INET6 */
	struct metrics *metrics; /* borrowed, may be NULL */
};

enum resolver_status {
	RESOLVER_OK,
	RESOLVER_NOT_FOUND, /* the name does not exist, or has no address */
	RESOLVER_FAILED,    /* a server answered with a failure, or none could be asked */
	RESOLVER_TIMEOUT,   /* no server said anything, or our turn did not come in time */
	RESOLVER_BUSY,      /* too many names are being looked up */
	RESOLVER_BAD_NAME,  /* no name that could be asked for */
	RESOLVER_NO_MEMORY
};

/* At most so many addresses of one name, both families together. */
#define RESOLVER_ADDRS_MAX 16

struct resolver_answer {
	enum resolver_status status;
	bool more; /* the other family is still being asked: done is called once more */
	const struct addr *addrs; /* borrowed until the callback returns; port 0 */
	size_t count; /* above 0 exactly when status is RESOLVER_OK, but for the second call */
};

typedef void resolver_done_fn(const struct resolver_answer *answer, void *arg);

/* Returns new, or NULL: *ret_error then is a sentence. */
struct resolver *resolver_new(
    struct event_base *base, const struct resolver_options *options, const char **ret_error);

/*
 * Other options (but for metrics) from now on; lookups under way go on.  The cache is emptied.  -1:
 * nothing has changed, and *ret_error is a sentence.
 */
MUST_USE int resolver_configure(
    struct resolver *r, const struct resolver_options *options, const char **ret_error);

/* Queries still under way are cancelled: their callbacks do not fire. */
void resolver_free(struct resolver *r);

/*
 * Ask for a name (any case; one trailing dot is allowed).  Calls done from the event loop,
 * never from inside this call, never after resolver_cancel, and exactly once with `more`
 * false: that is the last call.  Before it there is one call with `more`, or none:
 *
 *  - Addresses of the awaited family are told at once, with `more` when the other's answer is
 *    not there yet.  Those of the other are held back 50 ms, and then told with `more`.
 *  - The last call after that has RESOLVER_OK and the addresses that are new, none where the
 *    second family has none, fails or is late.  It comes timeout_ms after the lookup's begin
 *    at the latest; who needs no more cancels.
 *  - Who asks later is told the same at once, while it may be believed (for a second in any
 *    case), and unless resolv.conf, the hosts file or the options have changed; then it is asked
 *    for again.
 *  - A family without an address, whatever the reason, waits for the other: a failure is told
 *    only when both are known, in one call.
 *
 * Returns a handle that is valid until the last call, or NULL when out of memory.  done may
 * call any function here, resolver_free too.
 */
struct resolver_query *resolver_lookup(
    struct resolver *r, struct slice name, resolver_done_fn *done, void *arg);

/* What is under way goes on, for the cache; a name that waits for its turn is forgotten. */
void resolver_cancel(struct resolver_query *q);

/*
 * The same, answered at once where no waiting is needed (a literal, a cached answer
 * whatever its status, or a bad name; never `more`).  Returns true and fills *ret_answer
 * (borrowed until the next call into the resolver), or false: use resolver_lookup.
 */
bool resolver_peek(struct resolver *r, struct slice name, struct resolver_answer *ret_answer);

#endif
