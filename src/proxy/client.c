#include "proxy/client.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>

/* All that evhttp ever gets to parse of a request. */
#define CLIENT_STAND_IN "GET / HTTP/1.1\r\n\r\n"

int client_init(struct client *c, struct event_base *base)
{
	c->bev = bufferevent_socket_new(base, -1, 0);
	if (!c->bev)
		return -1;
	bufferevent_incref(c->bev);
	return 0;
}

void client_done(struct client *c)
{
	if (c->evcon)
		evhttp_connection_free(c->evcon);
	bufferevent_decref(c->bev);
}

void client_forget(struct client *c)
{
	c->evcon = NULL;
	c->req = NULL;
	c->fd = -1;
}

bool client_adopt(struct client *c, client_closed_fn *closed, void *arg)
{
	bufferevent_event_cb its_event;
	bufferevent_data_cb its_write;
	void *evcon;

	c->fd = bufferevent_getfd(c->bev);
	bufferevent_getcb(c->bev, &c->evhttp_read, &its_write, &its_event, &evcon);
	if (!evcon || c->fd < 0) { /* evhttp gave it up for want of memory */
		if (c->fd < 0)     /* before it took the bufferevent */
			bufferevent_free(c->bev);
		return false;
	}
	c->evcon = evcon;
	evhttp_connection_set_closecb(c->evcon, closed, arg);
	/* evhttp remembers the descriptor, and closes it; it is ours to poll. */
	bufferevent_setfd(c->bev, -1);
	return true;
}

int client_find_address(struct client *c)
{
	if (addr_from_sockaddr(evhttp_connection_get_addr(c->evcon), &c->address) != 0)
		return -1;
	/* A socket for both families, which only others open, has IPv4 clients too. */
	c->address = addr_unmapped(&c->address);
	return 0;
}

bool client_begin(struct client *c)
{
	if (evbuffer_add(
		bufferevent_get_input(c->bev), CLIENT_STAND_IN, sizeof(CLIENT_STAND_IN) - 1) != 0)
		return false;
	c->evhttp_read(c->bev, c->evcon);
	/* Without memory evhttp may have made an answer of its own, or freed the connection. */
	return c->req != NULL;
}

/*
 * Nothing is in evhttp's output, so evhttp_send_reply_end finishes the request and makes the next
 * one inside the call (2.1.12).
 */
bool client_end(struct client *c)
{
	struct evhttp_request *req = c->req;

	c->req = NULL;
	if (req)
		evhttp_send_reply_end(req);
	return c->evcon != NULL;
}
