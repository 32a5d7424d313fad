/*
 * inflow -- what a client has sent and nobody has taken yet.
 *
 * A head is found in it, checked and kept until its request is over; what stands behind it, the
 * body or the next request, waits in a buffer that is made when it is needed: a head that comes
 * whole and alone is taken apart where it was read.  Embedded in its owner, all zero at first.
 */
#ifndef PROXY_INFLOW_H
#define PROXY_INFLOW_H

#include <stdbool.h>

#include "http/head.h"

struct evbuffer;
struct inflow_head;

struct inflow {
	struct evbuffer *input; /* made when needed */
	struct head_scan scan;
	struct inflow_head *head; /* of the request under way, once it is complete */
};

/*
 * Look for a head: in bytes that were read while nothing was waiting, or in what waits.  What is
 * not of it waits from then on.  HEAD_COMPLETE: inflow_head has it.  HEAD_BAD: it cannot be read,
 * for want of memory too, and *ret_error says why.
 */
enum head_progress inflow_take(struct inflow *flow, struct slice bytes,
    const struct head_limits *limits, struct head_error *ret_error);
enum head_progress inflow_look(
    struct inflow *flow, const struct head_limits *limits, struct head_error *ret_error);

/* Until inflow_drop_head. */
const struct head *inflow_head(const struct inflow *flow);

/* Whether what has come begins with the method HEAD, though it may break other rules. */
bool inflow_is_to_head(const struct inflow *flow);

bool inflow_waits(const struct inflow *flow);       /* something does */
struct evbuffer *inflow_input(struct inflow *flow); /* what waits; NULL: out of memory */

void inflow_drop_head(struct inflow *flow);
void inflow_drop_input(struct inflow *flow);
void inflow_next(struct inflow *flow); /* the next request begins with what waits */

#endif
