/*
 * forward -- one request over one origin connection, and its response back.
 *
 * Writes the heads, moves both bodies at the same time, and tells what came of it.
 */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bucket.h"
#include "http/reply.h"

struct config;
struct event_base;
struct forward;
struct head;
struct intake;
struct pipe_pool;
struct target;
struct upstream;

struct forward_request {
	struct event_base *base;
	struct pipe_pool *pipes;
	const struct config *config;
	struct intake *intake; /* its user for the time being is the forward */
	const struct head *head;
	const struct target *target;
	int max_forwards;           /* to write; -1: as it came */
	struct allowance allowance; /* the client's: for what is read from the origin */
};

struct forward_result {
	enum fail fail; /* FAIL_NONE: the response has been written to its end */
	const char *why;
	int status;        /* of the response the client got; 0: none */
	uint64_t up, down; /* body bytes */
	bool answered; /* a final response head went to the client: no other answer is possible */
	bool request_done; /* the request was read to its end */
	bool keep;         /* the client's connection can go on */
	bool reset; /* the client must see a reset, or it would take what it has for the whole */
	bool untouched; /* the origin said nothing and no body byte was used: may be sent again */
	struct upstream *switched; /* 101: the connection, now the callee's; else NULL */
};

/* Calls done exactly once, from the loop, as its last act; not from inside this call. */
typedef void forward_done_fn(const struct forward_result *result, void *arg);

/* Takes up, also when it fails.  Returns NULL when out of memory. */
struct forward *forward_start(
    const struct forward_request *request, struct upstream *up, forward_done_fn *done, void *arg);

#endif
