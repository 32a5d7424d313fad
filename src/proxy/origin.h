/*
 * origin -- one evhttp client connection, and the seam we made in it.
 *
 * evhttp keeps the state of request and response, and hands out the body through its
 * chunked callback.  Connecting is not its business, it is given a socket; neither are heads: the
 * one it would send is dropped unwritten, and in place of the one that came it reads a bare status
 * line.  Reading and writing the socket are not either: its bufferevent has no descriptor, and
 * the owner puts bytes into origin_input().  libevent 2.1.12; public headers only.
 */
#ifndef PROXY_ORIGIN_H
#define PROXY_ORIGIN_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/slice.h"

struct evbuffer;
struct event_base;
struct origin;

/* Body bytes: takes them out.  Returns true at the body's end. */
typedef bool origin_body_fn(struct evbuffer *bytes, void *arg);

/*
 * On a connected socket, with a request begun.  Takes the socket.  NULL with errno when
 * out of memory, or when the connection has failed in the meantime.
 */
struct origin *origin_new(struct event_base *base, int fd, origin_body_fn *on_body, void *arg);

/* Not from inside one of its callbacks: evhttp asserts. */
void origin_free(struct origin *o);

/* -1 once evhttp, for want of memory, has closed it: the number may be another's already. */
int origin_fd(const struct origin *o);
struct evbuffer *origin_input(struct origin *o);

/* The next request, on an idle connection.  -1 when out of memory. */
MUST_USE int origin_begin(struct origin *o);

/*
 * A response head has been taken off the input: a body follows, or none does and evhttp goes
 * idle.  What is left in the input, and the rest behind it, is handed out as the body.  -1 when
 * out of memory.
 */
MUST_USE int origin_head_read(struct origin *o, bool body, struct slice rest);

/* Hand out what is in the input, after a head with a body. */
void origin_feed(struct origin *o);

/* The response is complete, by on_body's word or for want of a body. */
bool origin_is_idle(const struct origin *o);

#endif
