/*
 * dns -- asks the hosts file and the name servers: c-ares in an event loop.
 *
 * Belongs to one event loop.  A and AAAA are asked together and answered apart; names
 * are absolute (no search domains).  What hosts finds is not asked for.  At most `lookups`
 * names are with the servers at a time, further ones wait their turn; how many may wait is
 * for the caller to bound.  Remembers no answers: cache does.  TCP is used for truncated
 * answers: SIGPIPE has to be ignored by the process.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "net/record.h"

struct ask;
struct dns;
struct event_base;
struct metrics;

struct dns_options {
	const char *const *servers; /* "192.0.2.53", "[2001:db8::53]:5353"; none: resolv.conf */
	size_t server_count;
	int timeout_ms;          /* for the whole lookup, waiting for its turn included */
	size_t lookups;          /* names with the servers at a time, at least 1 */
	sa_family_t only;        /* AF_INET or AF_INET6: the other is not asked for; 0: both are */
	struct metrics *metrics; /* borrowed, may be NULL */
};

/*
 * What is known so far.  A family that is not asked for has RECORD_NO_DATA.  After a time-out
 * the family without an answer has RECORD_TIMEOUT.
 */
struct dns_answer {
	bool more; /* one of them is not known yet: done is called once more */
	bool ipv4_known, ipv6_known;
	struct record ipv4, ipv6; /* means something when it is known */
};

/* May call dns_free. */
typedef void dns_done_fn(const struct dns_answer *answer, void *arg);

/* Returns new, or NULL: *ret_error then is a sentence. */
struct dns *dns_new(
    struct event_base *base, const struct dns_options *options, const char **ret_error);

/* What is under way is dropped: its callbacks do not fire. */
void dns_free(struct dns *d);

/*
 * Ask for a name (as name_parse makes it; copied).  Calls done once, or twice: the first
 * time with `more` when one family is there before the other.  From the event loop,
 * never from inside this call.  Returns a handle that is valid until the last call, or NULL when
 * out of memory.
 */
MUST_USE struct ask *dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *arg);

/*
 * Nobody wants to know any more.  True: it had not had its turn yet, and is forgotten.  Else it
 * goes on.
 */
bool dns_forget(struct ask *a);

/*
 * Other servers, another time-out for what is asked from now on.  What is under way is asked
 * again, of the families that were asked for.  -1: nothing has changed, and *ret_error is a
 * sentence.
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
