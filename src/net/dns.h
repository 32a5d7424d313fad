/*
 * dns -- asks the hosts file and the name servers: c-ares in an event loop.
 *
 * Belongs to one event loop.  A and AAAA are asked together; names are absolute
 * (no search domains).  At most 512 names are with the servers at a time, further
 * ones wait their turn; how many may wait is for the caller to bound.  Remembers no
 * answers: resolver does.  TCP is used for truncated answers: SIGPIPE has to be
 * ignored by the process.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "net/addr.h"

struct dns;
struct event_base;
struct metrics;

struct dns_options {
	const char *const *servers; /* "192.0.2.53", "[2001:db8::53]:5353"; none: resolv.conf */
	size_t server_count;
	int timeout_ms;          /* for the whole lookup, waiting for its turn included */
	struct metrics *metrics; /* borrowed, may be NULL */
};

enum dns_status {
	DNS_OK,
	DNS_NOT_FOUND, /* the name does not exist, or has no address */
	DNS_FAILED,    /* no server could be asked, or every answer was a failure */
	DNS_TIMEOUT,
	DNS_NO_MEMORY
};

/* At most so many addresses of one name are reported, both families among them if it has both. */
#define DNS_ADDRS_MAX 16

struct dns_reply {
	enum dns_status status;
	uint32_t ttl_s;                   /* the shortest of all records; 0 for the hosts file */
	size_t count;                     /* above 0 exactly when status is DNS_OK */
	struct addr addrs[DNS_ADDRS_MAX]; /* best first (RFC 6724); port 0 */
};

/* May call dns_free. */
typedef void dns_done_fn(const struct dns_reply *reply, void *arg);

/* Returns new, or NULL: *ret_error then is a sentence. */
struct dns *dns_new(
    struct event_base *base, const struct dns_options *options, const char **ret_error);

/* What is under way is dropped: its callbacks do not fire. */
void dns_free(struct dns *d);

/*
 * Ask for a name (letters, digits, - _ and dots; copied).  Calls done exactly once,
 * from the event loop, never from inside this call.  -1 when out of memory, then
 * done is not called.
 */
MUST_USE int dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *arg);

/*
 * Other servers, another time-out for what is asked from now on.  What is under way is asked
 * again.  -1: nothing has changed, and *ret_error is a sentence.
 */
MUST_USE int dns_configure(
    struct dns *d, const struct dns_options *options, const char **ret_error);

/*
 * Look, once a second at most, whether the hosts file or resolv.conf has changed
 * since the last look; true: older answers may be wrong.  What is under way is
 * asked again of the servers in the new resolv.conf.
 */
bool dns_refresh(struct dns *d);

#endif
