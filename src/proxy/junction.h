/*
 * junction -- hands both sockets of an exchange to a tunnel, and passes on how it ended.
 */
#ifndef PROXY_JUNCTION_H
#define PROXY_JUNCTION_H

#include <stdint.h>

#include "base/bucket.h"
#include "http/reply.h"
#include "proxy/intake.h"

struct event_base;
struct junction;
struct metrics;
struct pipe_pool;
struct upstream;

struct junction_sides {
	struct intake *intake;      /* borrowed; detached, with what it has read and has pending */
	struct upstream *up;        /* taken; or NULL and */
	int server_fd;              /* taken: the socket of a CONNECT */
	struct allowance allowance; /* the client's; its bucket is borrowed */
	const char
	    *greeting;  /* a head for the client to get first, behind what is pending; "": none */
	int lifetime_s; /* of the tunnel; 0: no end */
};

struct junction_result {
	enum fail fail;
	enum intake_end end;
	uint64_t up, down; /* without the heads that went first */
};

typedef void junction_done_fn(const struct junction_result *result, void *arg);

/*
 * Calls done exactly once, from the loop, as its last act; not from inside this call, not
 * after junction_cancel.  Takes the server's side also when it fails: NULL, out of memory.
 */
struct junction *junction_start(struct event_base *base, struct pipe_pool *pipes, int idle_s,
    const struct junction_sides *sides, struct metrics *metrics, junction_done_fn *done, void *arg);

/* End it with a reset to the server, and tell the bytes so far. */
void junction_cancel(struct junction *j, uint64_t *ret_up, uint64_t *ret_down);

#endif
