/*
 * resolver -- names to addresses: asynchronous (c-ares), cached by TTL, one
 * query for many askers.
 *
 * Belongs to one worker's event loop.  A and AAAA are asked together; the hosts
 * file comes first.  Literal addresses, in every spelling of addr_parse_loose,
 * are answered without a query.  Addresses come without port.  Failures and
 * time-outs are not cached, and neither is what the hosts file says; a change of that
 * or of resolv.conf is seen within a second and empties the cache.  At most 4096
 * names are looked up at a time, more are answered RESOLVER_FAILED.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "net/addr.h"

struct event_base;
struct metrics;
struct resolver;
struct resolver_query;

struct resolver_options {
	const char *const *servers; /* "192.0.2.53", "[2001:db8::53]:5353"; none: resolv.conf */
	size_t server_count;
	int timeout_ms;       /* for the whole lookup */
	size_t cache_entries; /* at most */
	int ttl_max_s,
	    ttl_negative_s; /* an answer is kept no longer than this; a "no such name" this long */
	struct metrics *metrics; /* borrowed, may be NULL */
};

enum resolver_status {
	RESOLVER_OK,
	RESOLVER_NOT_FOUND, /* the name does not exist, or has no address */
	RESOLVER_FAILED,    /* the server answered with a failure, or could not be asked */
	RESOLVER_TIMEOUT,
	RESOLVER_BAD_NAME, /* no name that could be asked for */
	RESOLVER_NO_MEMORY
};

/* At most so many addresses of one name are kept, both families together. */
#define RESOLVER_ADDRS_MAX 16

struct resolver_answer {
	enum resolver_status status;
	const struct addr *addrs; /* borrowed until the callback returns; port 0 */
	size_t count;             /* above 0 exactly when status is RESOLVER_OK */
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
 * Ask for a name (any case; one trailing dot is allowed).  Calls done exactly once,
 * from the event loop: never from inside this call, never after resolver_cancel.
 * Returns a handle that is valid until then, or NULL when out of memory.  done may
 * call any function here, resolver_free too.
 */
struct resolver_query *resolver_lookup(
    struct resolver *r, struct slice name, resolver_done_fn *done, void *arg);
void resolver_cancel(struct resolver_query *q);

/*
 * The same, answered at once where no waiting is needed (a literal, a cached answer
 * whatever its status, or a bad name).  Returns true and fills *ret_answer (borrowed until the next
 * call into the resolver), or false: use resolver_lookup.
 */
bool resolver_peek(struct resolver *r, struct slice name, struct resolver_answer *ret_answer);

#endif
