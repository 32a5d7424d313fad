/*
 * client -- one evhttp server connection, and the seam we made in it.
 *
 * evhttp accepts, owns the connection and its requests, and keeps it alive between them.  Reading
 * and writing the socket are not its business: its bufferevent has no descriptor.  Neither are
 * heads: for each request it reads a bare "GET / HTTP/1.1", and waits for our word that it has been
 * answered.  Embedded in its owner.  libevent 2.1.12; public headers only.
 */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include <event2/bufferevent.h>
#include <stdbool.h>

#include "base/attr.h"
#include "net/addr.h"

struct event_base;
struct evhttp_connection;
struct evhttp_request;

struct client {
	struct evhttp_connection *evcon; /* owns the bufferevent, the descriptor and req */
	struct bufferevent *bev;         /* one reference is ours */
	struct evhttp_request *req;      /* under way, if evhttp has seen it */
	bufferevent_data_cb evhttp_read; /* evhttp's own read callback */
	int fd;                          /* evcon's; -1 when evhttp has closed it */
	struct addr address;
};

/* Before evhttp accepts it, with a bufferevent to do so.  -1 when out of memory. */
MUST_USE int client_init(struct client *c, struct event_base *base);
void client_done(struct client *c); /* closes it, if that has not been done */

/*
 * evhttp is about to free its connection and to close the descriptor: by our word, or on its own
 * for want of memory (2.1.12).  Must call client_forget.
 */
typedef void client_closed_fn(struct evhttp_connection *evcon, void *arg);
void client_forget(struct client *c);

/*
 * evhttp has accepted and set the connection up: from now on the descriptor is ours to poll.  False
 * when it has given it up for want of memory.
 */
MUST_USE bool client_adopt(struct client *c, client_closed_fn *closed, void *arg);

/* Once adopted.  -1 when there is none: the client is of no use. */
MUST_USE int client_find_address(struct client *c);

/*
 * Let evhttp read the stand-in: inside this call it gets as far as the generic callback, which has
 * to set req, and waits for us to answer.  False when out of memory.
 */
MUST_USE bool client_begin(struct client *c);

/* The request is over.  Nothing may be in evhttp's output.  False when there can be no other. */
MUST_USE bool client_end(struct client *c);

#endif
