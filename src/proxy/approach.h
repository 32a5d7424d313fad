/*
 * approach -- the way to the origin, up to a connection: the name is asked for, the addresses are
 * vetted, and the first of them that answers is connected to, unless one is connected already.
 */
#ifndef PROXY_APPROACH_H
#define PROXY_APPROACH_H

#include <stdbool.h>

#include "http/reply.h"
#include "net/addr.h"

struct approach;
struct config;
struct event_base;
struct preference;
struct resolver;
struct route;
struct upstream;
struct upstream_pool;

struct approach_result {
	enum fail fail;      /* FAIL_NONE: there is one of the next two, now the callee's */
	const char *why;     /* a sentence, or NULL */
	struct upstream *up; /* for requests */
	int fd;              /* for a tunnel, else -1 */
	struct addr address; /* that it is connected to; family 0: none */
	bool reused;         /* it has been used before */
};

typedef void approach_done_fn(const struct approach_result *result, void *arg);

/* All is borrowed, the plan itself for the call only. */
struct approach_plan {
	struct event_base *base;
	struct resolver *resolver;
	struct upstream_pool *upstreams;
	struct preference *preference;
	const struct config *config;
	struct route *route; /* judged; gets its addresses, unless it has them already */
	bool reuse;          /* a connection that was used before will do */
	approach_done_fn *done;
	void *arg;
};

/*
 * NULL: *ret_result is how it went, which is nearly always so for a connection that is used again.
 * Else it calls done exactly once, from the loop, as its last act; not after the cancel.
 */
struct approach *approach_start(
    const struct approach_plan *plan, struct approach_result *ret_result);
void approach_cancel(struct approach *a);

#endif
