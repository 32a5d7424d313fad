#include "proxy/origin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

/* All that evhttp ever gets to parse of a response. */
#define ORIGIN_WITH_BODY "HTTP/1.1 200 \r\n\r\n"
#define ORIGIN_WITHOUT_BODY "HTTP/1.1 204 \r\n\r\n"

/* evhttp's own timers must never be the first to fire. */
#define ORIGIN_EVHTTP_TIMEOUT_S (366 * 86400)

struct origin {
	struct evhttp_connection *evcon;
	struct bufferevent *bev;               /* evcon's */
	struct evhttp_request *req;            /* evcon's; NULL when evhttp is done with it */
	bufferevent_event_cb evhttp_connected; /* evhttp's own callbacks */
	bufferevent_data_cb evhttp_read;
	const struct origin_handler *handler;
	void *arg;
};

/* evhttp frees the request behind this call. */
static void origin_on_done(struct evhttp_request *req, void *arg)
{
	struct origin *o = arg;

	(void)req;
	o->req = NULL;
}

/* evhttp has moved body bytes to the request's input buffer. */
static void origin_on_chunk(struct evhttp_request *req, void *arg)
{
	struct origin *o = arg;

	/* What evhttp takes for a body until the connection closes ends here, by our word. */
	if (o->handler->on_body(evhttp_request_get_input_buffer(req), o->arg))
		req->ntoread = 0;
}

/*
 * evhttp has put its head into the output, where nothing has been written yet: drop it, and
 * tell evhttp that it is written.  Now it waits for the response.
 */
static void origin_skip_head(struct origin *o)
{
	struct evbuffer *out = bufferevent_get_output(o->bev);
	bufferevent_data_cb its_read, its_write;
	bufferevent_event_cb its_event;
	void *evcon;

	bufferevent_disable(o->bev, EV_WRITE);
	evbuffer_unfreeze(out, 1);
	evbuffer_drain(out, evbuffer_get_length(out));
	evbuffer_freeze(out, 1);
	bufferevent_getcb(o->bev, &its_read, &its_write, &its_event, &evcon);
	its_write(o->bev, evcon);
	bufferevent_getcb(o->bev, &o->evhttp_read, &its_write, &its_event, &evcon);
	bufferevent_setcb(o->bev, NULL, NULL, NULL, NULL);
	bufferevent_disable(o->bev, EV_READ | EV_WRITE);
}

static void origin_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct origin *o = arg;
	int error = errno, on = 1;

	bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
	/* evhttp's turn: it sets its callbacks and sends its head, as it thinks. */
	if (what & BEV_EVENT_CONNECTED)
		o->evhttp_connected(bev, what, o->evcon);
	if (!(what & BEV_EVENT_CONNECTED) || !o->req) {
		bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
		o->handler->on_connected(error != 0 ? error : ECONNREFUSED, o->arg);
		return;
	}
	setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	origin_skip_head(o);
	o->handler->on_connected(0, o->arg);
}

static int origin_make_request(struct origin *o)
{
	o->req = evhttp_request_new(origin_on_done, o);
	if (!o->req) {
		errno = ENOMEM;
		return -1;
	}
	evhttp_request_set_chunked_cb(o->req, origin_on_chunk);
	errno = 0;
	/* A connect that fails at once is reported inside the call (2.1.12): req is gone then. */
	if (evhttp_make_request(o->evcon, o->req, EVHTTP_REQ_GET, "/") == 0 && o->req)
		return 0;
	o->req = NULL;
	if (errno == 0)
		errno = ECONNREFUSED;
	return -1;
}

struct origin *origin_new(
    struct event_base *base, const struct addr *to, const struct origin_handler *handler, void *arg)
{
	struct timeval never = {ORIGIN_EVHTTP_TIMEOUT_S, 0};
	struct origin *o = calloc(1, sizeof(*o));
	char ip[ADDR_TEXT_MAX];
	bufferevent_data_cb its_read, its_write;
	void *evcon;
	int error = ENOMEM;

	if (!o)
		return NULL;
	o->handler = handler;
	o->arg = arg;
	addr_format_ip(to, ip);
	/* Made here, because evhttp crashes when it cannot make one (2.1.12). */
	o->bev = bufferevent_socket_new(base, -1, 0);
	if (o->bev)
		o->evcon = evhttp_connection_base_bufferevent_new(base, NULL, o->bev, ip, to->port);
	if (o->evcon) {
		evhttp_connection_set_timeout_tv(o->evcon, &never);
		if (origin_make_request(o) == 0) {
			bufferevent_getcb(
			    o->bev, &its_read, &its_write, &o->evhttp_connected, &evcon);
			bufferevent_setcb(o->bev, NULL, NULL, origin_on_event, o);
			return o;
		}
		error = errno;
	}
	origin_free(o);
	errno = error;
	return NULL;
}

void origin_free(struct origin *o)
{
	if (!o)
		return;
	if (o->evcon)
		evhttp_connection_free(o->evcon);
	else if (o->bev)
		bufferevent_free(o->bev);
	free(o);
}

int origin_fd(const struct origin *o)
{
	return bufferevent_getfd(o->bev);
}

struct evbuffer *origin_input(struct origin *o)
{
	struct evbuffer *in = bufferevent_get_input(o->bev);

	evbuffer_unfreeze(in, 0);
	return in;
}

int origin_begin(struct origin *o)
{
	/* On an idle connection evhttp sends at once: its head is in the output. */
	if (origin_make_request(o) != 0)
		return -1;
	origin_skip_head(o);
	return 0;
}

int origin_head_read(struct origin *o, bool body)
{
	const char *line = body ? ORIGIN_WITH_BODY : ORIGIN_WITHOUT_BODY;

	if (evbuffer_prepend(origin_input(o), line, strlen(line)) != 0)
		return -1;
	origin_feed(o);
	return 0;
}

void origin_feed(struct origin *o)
{
	o->evhttp_read(o->bev, o->evcon);
	bufferevent_disable(o->bev, EV_READ | EV_WRITE);
}

bool origin_is_idle(const struct origin *o)
{
	return o->req == NULL;
}
