/*
 * upstream -- the evhttp client side: a connection to an origin, pooled or fresh.
 *
 * evhttp knows when a connection is idle or in use, and hands the body out through its
 * chunked callback; heads are ours both ways.  Its request head is dropped unwritten and the
 * owner writes the true one to upstream_wire(); the response's head is checked here, byte
 * by byte, and evhttp reads a bare status line in its place.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "http/reply.h"
#include "net/addr.h"

struct config;
struct evbuffer;
struct event_base;
struct head;
struct metrics;
struct source;
struct upstream;
struct upstream_pool;
struct wire;

/* What the owner wants after a response head. */
enum upstream_next {
	UPSTREAM_AGAIN,   /* it was interim: another head follows */
	UPSTREAM_BODY,    /* a body follows */
	UPSTREAM_NO_BODY, /* the response is complete */
	UPSTREAM_STOP     /* nothing more is read: switched to a tunnel, or to be discarded */
};

/*
 * All are called from the loop.  upstream_give and upstream_discard may be called in on_read,
 * on_written and on_failed only.
 */
struct upstream_user {
	/* A checked head, borrowed for the call. */
	enum upstream_next (*on_head)(const struct head *head, void *arg);
	/*
	 * Body bytes can be read from the wire.  Returns true when it has moved some itself; else
	 * they are read, and come through on_body.
	 */
	bool (*on_stream)(struct wire *from, void *arg);
	/* Body bytes as they came: takes them out.  Returns true at the body's end. */
	bool (*on_body)(struct evbuffer *bytes, void *arg);
	/* What was read at once has been handed out by the two above. */
	void (*on_read)(void *arg);
	void (*on_written)(void *arg);
	/* Writing failed; the response may still come. */
	void (*on_broken)(void *arg);
	/*
	 * The origin closed (FAIL_NONE, at a place where that may be the body's end), or it
	 * is over: FAIL_NO_RESPONSE, FAIL_BAD_RESPONSE, FAIL_RESPONSE_TOO_LARGE, FAIL_TRUNCATED.
	 */
	void (*on_failed)(enum fail fail, const char *why, void *arg);
};

/* Borrows config until configured anew. */
struct upstream_pool *upstream_pool_new(
    struct event_base *base, const struct config *config, struct metrics *metrics);
void upstream_pool_configure(struct upstream_pool *pool, const struct config *config);
void upstream_pool_close(struct upstream_pool *pool); /* the idle ones, on the next turn */
void upstream_pool_free(struct upstream_pool *pool);  /* they must have been */

/*
 * An idle connection from this source to the first of these addresses that has one, ready for a
 * request head; NULL when there is none.
 */
struct upstream *upstream_reuse(struct upstream_pool *pool, const struct source *source,
    const struct addr *addrs, size_t count);

/*
 * A fresh one, ready for a request head, of a socket that is connected to the address.  Takes the
 * socket.  NULL with errno when out of memory, or when the connection has failed in the meantime.
 */
struct upstream *upstream_adopt(
    struct upstream_pool *pool, int fd, const struct addr *address, const struct source *source);

void upstream_set_user(struct upstream *up, const struct upstream_user *user, void *arg);
const struct addr *upstream_address(const struct upstream *up);
bool upstream_is_silent(
    const struct upstream *up);                  /* not a byte has come since it was handed out */
struct wire *upstream_wire(struct upstream *up); /* for writing */

/* Stop and resume reading; either may be called again and again. */
void upstream_pause(struct upstream *up);
void upstream_resume(struct upstream *up);

/*
 * After UPSTREAM_STOP: the descriptor, which nothing polls any more, and what came
 * behind the head.  Both stay ours until upstream_discard.
 */
int upstream_detach(struct upstream *up, struct evbuffer **ret_input);

/*
 * Give it back.  It is kept for the next request when `reusable` and nothing here speaks
 * against it: the response is complete, and not a byte came after it.
 */
void upstream_give(struct upstream *up, bool reusable);
void upstream_discard(struct upstream *up);

/*
 * Discard with a reset, for an exchange that did not come to its end: a mere close would wait
 * behind what an origin that reads no more has not taken.
 */
void upstream_abort(struct upstream *up);

#endif
