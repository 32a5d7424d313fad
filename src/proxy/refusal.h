/*
 * refusal -- what a limit says no to: put into words for the client, counted, and told in the log.
 *
 * One for each worker.  The log gets a line with the first refusal, and from then on at most one
 * a second of all workers together, with how many there were for each limit.
 */
#ifndef PROXY_REFUSAL_H
#define PROXY_REFUSAL_H

#include <stdint.h>

#include "http/reply.h"
#include "policy/limit.h"

struct addr;
struct event_base;
struct metrics;
struct refusal;

/* Borrows all.  NULL when out of memory. */
struct refusal *refusal_new(struct event_base *base, struct limit *limit, struct metrics *metrics);
void refusal_free(struct refusal *r); /* tells what is left to tell */

/*
 * One more by this rule, LIMIT_NO_MEMORY included.  Returns what the client is to be told, and
 * in how many seconds it may try again: when there will be room, where that is known.
 */
enum fail refusal_add(struct refusal *r, enum limit_rule rule, const struct addr *client,
    uint64_t wait_ns, int *ret_retry_s);

#endif
