#include "proxy/origin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/recycle.h"

/* All that evhttp ever gets to parse of a response. */
#define ORIGIN_WITH_BODY "HTTP/1.1 200 \r\n\r\n"
#define ORIGIN_WITHOUT_BODY "HTTP/1.1 204 \r\n\r\n"

/* Where evhttp itself would connect to: nothing that IPv6 reaches. */
#define ORIGIN_NOWHERE "0.0.0.0"
#define ORIGIN_NO_PORT 1

/* evhttp's own timers must never be the first to fire. */
#define ORIGIN_EVHTTP_TIMEOUT_S (366 * 86400)

struct origin {
	struct evhttp_connection *evcon;
	struct bufferevent *bev;         /* evcon's */
	int fd;                          /* evcon's; -1 while there is none */
	struct evhttp_request *req;      /* evcon's; NULL when evhttp is done with it */
	bufferevent_data_cb evhttp_read; /* evhttp's own callback */
	origin_body_fn *on_body;
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
	if (o->on_body(evhttp_request_get_input_buffer(req), o->arg))
		req->ntoread = 0;
}

/* evhttp is about to close the descriptor: by our word, or on its own for want of memory (2.1.12).
 */
static void origin_on_evhttp_closed(struct evhttp_connection *evcon, void *arg)
{
	struct origin *o = arg;

	(void)evcon;
	o->fd = -1;
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

	evbuffer_drain(out, evbuffer_get_length(out));
	bufferevent_getcb(o->bev, &its_read, &its_write, &its_event, &evcon);
	its_write(o->bev, evcon);
	bufferevent_getcb(o->bev, &o->evhttp_read, &its_write, &its_event, &evcon);
	bufferevent_setcb(o->bev, NULL, NULL, NULL, NULL);
}

/*
 * The descriptor is the owner's to poll, and evhttp's (which remembers it) to close.  Without it
 * the bufferevent can be turned on and off as evhttp likes, at no cost, and its buffers are not
 * frozen.
 */
static void origin_take_fd(struct origin *o)
{
	o->fd = bufferevent_getfd(o->bev);
	evhttp_connection_set_closecb(o->evcon, origin_on_evhttp_closed, o);
	bufferevent_set_timeouts(o->bev, NULL, NULL);
	bufferevent_setfd(o->bev, -1);
}

static int origin_make_request(struct origin *o)
{
	o->req = evhttp_request_new(origin_on_done, o);
	if (!o->req)
		return -1;
	evhttp_request_set_chunked_cb(o->req, origin_on_chunk);
	if (evhttp_make_request(o->evcon, o->req, EVHTTP_REQ_GET, "/") == 0 && o->req)
		return 0;
	o->req = NULL;
	return -1;
}

void origin_free(struct origin *o)
{
	if (!o)
		return;
	if (o->evcon)
		evhttp_connection_free(o->evcon);
	else if (o->bev)
		bufferevent_free(o->bev);
	recycle_free(o);
}

/* With a request begun, for which evhttp has no connection. */
static struct origin *origin_unconnected(
    struct event_base *base, origin_body_fn *on_body, void *arg)
{
	struct timeval never = {ORIGIN_EVHTTP_TIMEOUT_S, 0};
	struct origin *o = recycle_zero(sizeof(*o));

	if (!o)
		return NULL;
	o->fd = -1;
	o->on_body = on_body;
	o->arg = arg;
	/* Made here, because evhttp crashes when it cannot make one (2.1.12). */
	o->bev = bufferevent_socket_new(base, -1, BEV_OPT_DEFER_CALLBACKS);
	if (o->bev)
		o->evcon = evhttp_connection_base_bufferevent_new(
		    base, NULL, o->bev, ORIGIN_NOWHERE, ORIGIN_NO_PORT);
	if (o->evcon) {
		evhttp_connection_set_timeout_tv(o->evcon, &never);
		evhttp_connection_set_family(o->evcon, AF_INET6);
		if (origin_make_request(o) == 0)
			return o;
	}
	origin_free(o);
	return NULL;
}

/*
 * evhttp cannot be given a connected socket (2.1.12), but it can be told that it has connected.
 * Its own attempt has come to nothing, without a system call, over an address that is not of the
 * family it may use.  Of that its callback would hear when the loop comes to it; now the
 * callback is taken away, and hears of our socket.
 */
static int origin_adopt(struct origin *o, int fd)
{
	bufferevent_data_cb its_read, its_write;
	bufferevent_event_cb its_event;
	void *evcon;

	bufferevent_getcb(o->bev, &its_read, &its_write, &its_event, &evcon);
	bufferevent_setcb(o->bev, NULL, NULL, NULL, NULL);
	bufferevent_setfd(o->bev, fd);
	its_event(o->bev, BEV_EVENT_CONNECTED, evcon);
	if (!o->req)
		return -1;
	origin_take_fd(o);
	origin_skip_head(o);
	return 0;
}

struct origin *origin_new(struct event_base *base, int fd, origin_body_fn *on_body, void *arg)
{
	struct origin *o = origin_unconnected(base, on_body, arg);

	if (!o) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	if (origin_adopt(o, fd) == 0)
		return o;
	origin_free(o);
	errno = ECONNRESET;
	return NULL;
}

int origin_fd(const struct origin *o)
{
	return o->fd;
}

struct evbuffer *origin_input(struct origin *o)
{
	return bufferevent_get_input(o->bev);
}

int origin_begin(struct origin *o)
{
	/* On an idle connection evhttp sends at once: its head is in the output. */
	if (origin_make_request(o) != 0)
		return -1;
	origin_skip_head(o);
	return 0;
}

int origin_head_read(struct origin *o, bool body, struct slice rest)
{
	struct slice line = body ? SLICE(ORIGIN_WITH_BODY) : SLICE(ORIGIN_WITHOUT_BODY);
	struct evbuffer *in = origin_input(o);
	int error = -1;

	if (evbuffer_get_length(in) > 0)
		error = evbuffer_prepend(in, line.ptr, line.len);
	else if (evbuffer_expand(in, line.len + rest.len) == 0) /* one chain for both */
		error = evbuffer_add(in, line.ptr, line.len);
	if (error != 0 || evbuffer_add(in, rest.ptr, rest.len) != 0)
		return -1;
	origin_feed(o);
	return 0;
}

void origin_feed(struct origin *o)
{
	o->evhttp_read(o->bev, o->evcon);
}

bool origin_is_idle(const struct origin *o)
{
	return o->req == NULL;
}
