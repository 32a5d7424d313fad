#include "proxy/upstream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/map.h"
#include "base/metrics.h"
#include "http/head.h"
#include "net/deadline.h"
#include "net/race.h"
#include "net/wire.h"
#include "proxy/config.h"

/* All that evhttp ever gets to parse of a response. */
#define UPSTREAM_WITH_BODY "HTTP/1.1 200 \r\n\r\n"
#define UPSTREAM_WITHOUT_BODY "HTTP/1.1 204 \r\n\r\n"

#define UPSTREAM_READ_MAX (64 * 1024)

/* evhttp's own timers must never be the first to fire. */
#define UPSTREAM_EVHTTP_TIMEOUT_S (366 * 86400)

enum upstream_state {
	UPSTREAM_CONNECTING,
	UPSTREAM_IDLE, /* in the pool */
	UPSTREAM_READING_HEAD,
	UPSTREAM_READING_BODY,
	UPSTREAM_COMPLETE, /* the response is; evhttp is idle */
	UPSTREAM_STOPPED,
	UPSTREAM_DEAD /* to be freed on the next turn */
};

struct upstream {
	TAILQ_ENTRY(upstream) idle; /* in its origin's list */
	TAILQ_ENTRY(upstream) aged; /* in the pool's list */
	struct upstream_pool *pool;
	struct origin *origin; /* while idle */
	struct addr address;
	struct evhttp_connection *evcon;
	struct bufferevent *bev;    /* evcon's */
	struct evhttp_request *req; /* evhttp's; NULL when it is done with */
	bufferevent_event_cb evhttp_connected; /* evhttp's own callbacks */
	bufferevent_data_cb evhttp_read;
	struct wire wire;
	struct deadline idle_deadline;
	struct event turn;
	enum upstream_state state;
	bool wired, reused, silent;
	bool dirty; /* bytes came behind the response */
	struct race *race;  /* while connecting */
	struct head_scan scan;
	const struct upstream_user *user;
	void *user_arg;
};

TAILQ_HEAD(upstream_list, upstream);

/* The idle connections to one address, the one used last in front. */
struct origin {
	struct upstream_list idle;
	int count;
};

struct upstream_pool {
	struct event_base *base;
	const struct config *config;
	struct metrics *metrics;
	struct map *origins;       /* address to struct origin */
	struct upstream_list aged; /* all idle ones, the one used longest ago in front */
	int count;
};

struct upstream_connect {
	struct upstream_pool *pool;
	struct race *race;
	upstream_connected_fn *done;
	void *arg;
};

/* ---- freeing ---------------------------------------------------------------------------- */

static void upstream_unpool(struct upstream *up)
{
	if (!up->origin)
		return;
	TAILQ_REMOVE(&up->origin->idle, up, idle);
	TAILQ_REMOVE(&up->pool->aged, up, aged);
	up->origin->count--;
	up->origin = NULL;
	up->pool->count--;
	metrics_sub(up->pool->metrics, METRIC_ORIGINS_IDLE, 1);
}

static void upstream_free(struct upstream *up)
{
	upstream_unpool(up);
	event_del(&up->turn);
	deadline_done(&up->idle_deadline);
	if (up->wired)
		wire_done(&up->wire);
	if (up->evcon)
		evhttp_connection_free(up->evcon);
	metrics_sub(up->pool->metrics, METRIC_ORIGINS, 1);
	free(up);
}

static void upstream_on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	upstream_free(arg);
}

/*
 * evhttp asserts when its connection is freed inside one of its callbacks (2.1.12), and our
 * own callers may still look at it: on the next turn of the loop.
 */
void upstream_discard(struct upstream *up)
{
	if (up->state == UPSTREAM_DEAD)
		return;
	upstream_unpool(up);
	up->state = UPSTREAM_DEAD;
	up->user = NULL;
	if (up->wired)
		wire_done(&up->wire);
	deadline_stop(&up->idle_deadline);
	bufferevent_setcb(up->bev, NULL, NULL, NULL, NULL);
	bufferevent_disable(up->bev, EV_READ | EV_WRITE);
	event_active(&up->turn, 0, 0);
}

/* ---- evhttp's side ---------------------------------------------------------------------- */

/* evhttp is done with the request; it frees it behind this call. */
static void upstream_on_evhttp_done(struct evhttp_request *req, void *arg)
{
	struct upstream *up = arg;

	(void)req;
	up->req = NULL;
}

/* Body bytes have been moved to the request's input buffer. */
static void upstream_on_evhttp_chunk(struct evhttp_request *req, void *arg)
{
	struct upstream *up = arg;
	struct evbuffer *bytes = evhttp_request_get_input_buffer(req);

	if (up->state != UPSTREAM_READING_BODY || !up->user)
		return;
	if (!up->user->on_body(bytes, up->user_arg))
		return;
	up->dirty = evbuffer_get_length(bytes) > 0;
	up->state = UPSTREAM_COMPLETE;
	/* What evhttp takes for a body until the connection closes ends here, by our word. */
	req->ntoread = 0;
}

static struct evhttp_request *upstream_new_request(struct upstream *up)
{
	struct evhttp_request *req = evhttp_request_new(upstream_on_evhttp_done, up);

	if (req)
		evhttp_request_set_chunked_cb(req, upstream_on_evhttp_chunk);
	return req;
}

/*
 * evhttp has put its head into the output, where nothing has been written yet: drop it
 * and tell evhttp that it is written.  From here on it waits for the response, and
 * what we write to the wire is its business no more.
 */
static void upstream_skip_head(struct upstream *up)
{
	struct evbuffer *out = bufferevent_get_output(up->bev);
	bufferevent_data_cb its_read, its_write;
	bufferevent_event_cb its_event;
	void *evcon;

	bufferevent_disable(up->bev, EV_WRITE);
	evbuffer_unfreeze(out, 1);
	evbuffer_drain(out, evbuffer_get_length(out));
	evbuffer_freeze(out, 1);
	bufferevent_getcb(up->bev, &its_read, &its_write, &its_event, &evcon);
	its_write(up->bev, evcon);
	bufferevent_getcb(up->bev, &up->evhttp_read, &its_write, &its_event, &evcon);
	bufferevent_setcb(up->bev, NULL, NULL, NULL, NULL);
	bufferevent_disable(up->bev, EV_READ | EV_WRITE);
	up->state = UPSTREAM_READING_HEAD;
	up->dirty = false;
	up->silent = true;
	memset(&up->scan, 0, sizeof(up->scan));
}

/* Let evhttp read what is in its input. */
static void upstream_feed_evhttp(struct upstream *up)
{
	up->evhttp_read(up->bev, up->evcon);
	bufferevent_disable(up->bev, EV_READ | EV_WRITE);
}

/* ---- reading ---------------------------------------------------------------------------- */

static void upstream_fail(struct upstream *up, enum fail fail, const char *why)
{
	wire_read_off(&up->wire, false);
	up->user->on_failed(fail, why, up->user_arg);
}

/*
 * Put a stand-in where the head was.  evhttp reads it at once, and what follows as the
 * body.
 */
static void upstream_stand_in(struct upstream *up, bool body)
{
	struct evbuffer *in = bufferevent_get_input(up->bev);
	const char *line = body ? UPSTREAM_WITH_BODY : UPSTREAM_WITHOUT_BODY;

	up->state = body ? UPSTREAM_READING_BODY : UPSTREAM_COMPLETE;
	if (!body)
		up->dirty = evbuffer_get_length(in) > 0;
	if (evbuffer_prepend(in, line, strlen(line)) != 0) {
		upstream_fail(up, FAIL_NO_MEMORY, NULL);
		return;
	}
	upstream_feed_evhttp(up);
}

static enum fail upstream_translate(enum fail fail)
{
	if (fail == FAIL_LINE_TOO_LONG || fail == FAIL_HEAD_TOO_LARGE)
		return FAIL_RESPONSE_TOO_LARGE;
	return fail == FAIL_NO_MEMORY ? fail : FAIL_BAD_RESPONSE;
}

/* A complete head lies at the beginning of the input.  Returns whether to look for another. */
static bool upstream_take_head(struct upstream *up, const char *text, size_t len)
{
	struct evbuffer *in = bufferevent_get_input(up->bev);
	const char *why = NULL;
	struct head head;
	enum fail fail = head_parse_response(&head, (struct slice){text, len}, &why);
	enum upstream_next next;

	if (fail != FAIL_NONE) {
		upstream_fail(up, upstream_translate(fail), why);
		return false;
	}
	next = up->user->on_head(&head, up->user_arg);
	head_done(&head);
	evbuffer_drain(in, len);
	memset(&up->scan, 0, sizeof(up->scan));
	if (next == UPSTREAM_BODY || next == UPSTREAM_NO_BODY)
		upstream_stand_in(up, next == UPSTREAM_BODY);
	else if (next == UPSTREAM_STOP)
		up->state = UPSTREAM_STOPPED;
	return next == UPSTREAM_AGAIN;
}

/* Returns false when the user has been told that it failed. */
static bool upstream_read_heads(struct upstream *up)
{
	struct evbuffer *in = bufferevent_get_input(up->bev);
	size_t max = (size_t)up->pool->config->limits.head;
	struct head_limits limits = {max, max, (size_t)up->pool->config->limits.fields};
	struct head_source source = {.request = false};
	struct head_error error;
	size_t len;

	do {
		source.len = evbuffer_get_length(in);
		if (source.len == 0)
			return true;
		source.data = (const char *)evbuffer_pullup(in, -1);
		if (!source.data) {
			upstream_fail(up, FAIL_NO_MEMORY, NULL);
			return false;
		}
		switch (head_scan(&up->scan, &source, &limits, &len, &error)) {
		case HEAD_MORE:
			return true;
		case HEAD_BAD:
			upstream_fail(up, upstream_translate(error.fail), error.why);
			return false;
		case HEAD_COMPLETE:
			break;
		}
	} while (upstream_take_head(up, source.data, len));
	return up->state != UPSTREAM_DEAD;
}

static void upstream_on_end(struct upstream *up, int error)
{
	enum fail fail = FAIL_TRUNCATED;

	if (up->state == UPSTREAM_READING_HEAD)
		fail = FAIL_NO_RESPONSE;
	else if (up->state == UPSTREAM_READING_BODY && error == 0)
		fail = FAIL_NONE;
	upstream_fail(up, fail, NULL);
}

static void upstream_on_readable(void *arg)
{
	struct upstream *up = arg;
	struct evbuffer *in = bufferevent_get_input(up->bev);
	ssize_t got;

	evbuffer_unfreeze(in, 0);
	got = wire_read(&up->wire, in, UPSTREAM_READ_MAX);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (!up->user) { /* idle: the origin closed, or speaks out of turn */
		upstream_discard(up);
		return;
	}
	if (got <= 0) {
		upstream_on_end(up, got < 0 ? errno : 0);
		return;
	}
	up->silent = false;
	switch (up->state) {
	case UPSTREAM_READING_HEAD:
		if (!upstream_read_heads(up))
			return;
		break;
	case UPSTREAM_READING_BODY:
		upstream_feed_evhttp(up);
		break;
	default:
		up->dirty = true;
		wire_read_off(&up->wire, false);
		return;
	}
	if (up->user)
		up->user->on_read(up->user_arg);
}

static void upstream_on_written(void *arg)
{
	struct upstream *up = arg;

	if (up->user)
		up->user->on_written(up->user_arg);
}

static void upstream_on_broken(int error, void *arg)
{
	struct upstream *up = arg;

	(void)error;
	if (up->user)
		up->user->on_broken(up->user_arg);
	else
		upstream_discard(up);
}

static const struct wire_handler upstream_wire_handler = {
    .on_readable = upstream_on_readable,
    .on_written = upstream_on_written,
    .on_broken = upstream_on_broken,
    .on_hangup = NULL,
};

/* ---- connecting ------------------------------------------------------------------------- */

static void upstream_on_evhttp_event(struct bufferevent *bev, short what, void *arg)
{
	struct upstream *up = arg;
	struct race *race = up->race;
	int error = errno, fd = bufferevent_getfd(bev), on = 1;
	bufferevent_data_cb its_read, its_write;
	bufferevent_event_cb its_event;
	void *evcon;

	up->race = NULL;
	if (what & BEV_EVENT_CONNECTED) {
		/* evhttp's turn: it sends its head, as it thinks. */
		its_event = up->evhttp_connected;
		its_event(bev, what, up->evcon);
	}
	bufferevent_getcb(bev, &its_read, &its_write, &its_event, &evcon);
	if (!(what & BEV_EVENT_CONNECTED) || !up->req || !its_write) {
		upstream_discard(up);
		race_lost(race, up, error != 0 ? error : ECONNREFUSED);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	upstream_skip_head(up);
	wire_init(&up->wire, up->pool->base, fd, &upstream_wire_handler, up);
	up->wired = true;
	wire_read_on(&up->wire);
	metrics_add(up->pool->metrics, METRIC_ORIGINS_TOTAL, 1);
	race_won(race, up);
}

static void upstream_on_idle_deadline(void *arg)
{
	upstream_discard(arg);
}

static struct upstream *upstream_new(struct upstream_pool *pool, const struct addr *to)
{
	struct timeval never = {UPSTREAM_EVHTTP_TIMEOUT_S, 0};
	struct upstream *up = calloc(1, sizeof(*up));
	char ip[ADDR_TEXT_MAX];

	if (!up)
		return NULL;
	up->pool = pool;
	up->address = *to;
	deadline_init(&up->idle_deadline, pool->base, upstream_on_idle_deadline, up);
	event_assign(&up->turn, pool->base, -1, 0, upstream_on_turn, up);
	metrics_add(pool->metrics, METRIC_ORIGINS, 1);
	addr_format_ip(to, ip);
	up->evcon = evhttp_connection_base_new(pool->base, NULL, ip, to->port);
	up->req = upstream_new_request(up);
	if (!up->evcon || !up->req) {
		if (up->req)
			evhttp_request_free(up->req);
		upstream_free(up);
		return NULL;
	}
	up->bev = evhttp_connection_get_bufferevent(up->evcon);
	evhttp_connection_set_timeout_tv(up->evcon, &never);
	return up;
}

/*
 * One attempt of the race.  evhttp may report a failure inside evhttp_make_request (2.1.12, a
 * connect that fails at once); then its request is gone.
 */
static void *upstream_attempt(struct race *race, const struct addr *to, void *arg)
{
	struct upstream_connect *connect = arg;
	struct upstream *up = upstream_new(connect->pool, to);
	bufferevent_data_cb its_read, its_write;
	void *evcon;
	int error;

	if (!up) {
		errno = ENOMEM;
		return NULL;
	}
	up->race = race;
	errno = 0;
	if (evhttp_make_request(up->evcon, up->req, EVHTTP_REQ_GET, "/") != 0 || !up->req) {
		error = errno;
		upstream_free(up);
		errno = error != 0 ? error : ECONNREFUSED;
		return NULL;
	}
	bufferevent_getcb(up->bev, &its_read, &its_write, &up->evhttp_connected, &evcon);
	bufferevent_setcb(up->bev, NULL, NULL, upstream_on_evhttp_event, up);
	return up;
}

static void upstream_attempt_cancel(void *handle, void *arg)
{
	struct upstream *up = handle;

	(void)arg;
	up->race = NULL;
	upstream_discard(up);
}

static const struct race_attempt upstream_attempts = {
    .start = upstream_attempt,
    .cancel = upstream_attempt_cancel,
};

static void upstream_on_raced(void *winner, const struct addr *address, int error, void *arg)
{
	struct upstream_connect *connect = arg;
	upstream_connected_fn *done = connect->done;
	void *done_arg = connect->arg;

	(void)address;
	free(connect);
	done(winner, error, done_arg);
}

struct upstream_connect *upstream_connect_start(struct upstream_pool *pool,
    const struct addr *addrs, size_t count, upstream_connected_fn *done, void *arg)
{
	struct upstream_connect *connect = calloc(1, sizeof(*connect));
	struct timeval total = {pool->config->timeouts.connect, 0};

	if (!connect)
		return NULL;
	connect->pool = pool;
	connect->done = done;
	connect->arg = arg;
	connect->race = race_start(pool->base, addrs, count, race_share(total, count), total,
	    &upstream_attempts, upstream_on_raced, connect);
	if (!connect->race) {
		free(connect);
		return NULL;
	}
	return connect;
}

void upstream_connect_cancel(struct upstream_connect *connect)
{
	race_cancel(connect->race);
	free(connect);
}

/* ---- the pool --------------------------------------------------------------------------- */

struct origin_key {
	unsigned char bytes[20];
};

static struct origin_key origin_key(const struct addr *a)
{
	struct origin_key key = {{0}};

	key.bytes[0] = a->family == AF_INET6;
	memcpy(key.bytes + 2, &a->port, sizeof(a->port));
	if (a->family == AF_INET6)
		memcpy(key.bytes + 4, &a->ip.v6, sizeof(a->ip.v6));
	else
		memcpy(key.bytes + 4, &a->ip.v4, sizeof(a->ip.v4));
	return key;
}

static void origin_drop(void *value, void *arg)
{
	struct origin *origin = value;
	struct upstream *up;

	(void)arg;
	while ((up = TAILQ_FIRST(&origin->idle)) != NULL)
		upstream_discard(up);
	free(origin);
}

static struct origin *origin_of(struct upstream_pool *pool, const struct addr *a)
{
	struct origin_key key = origin_key(a);
	struct origin *origin = map_get(pool->origins, &key, sizeof(key));

	if (origin)
		return origin;
	origin = calloc(1, sizeof(*origin));
	if (!origin)
		return NULL;
	TAILQ_INIT(&origin->idle);
	if (map_put(pool->origins, &key, sizeof(key), origin) != 0) {
		free(origin);
		return NULL;
	}
	return origin;
}

struct upstream_pool *upstream_pool_new(
    struct event_base *base, const struct config *config, struct metrics *metrics)
{
	struct upstream_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->base = base;
	pool->config = config;
	pool->metrics = metrics;
	TAILQ_INIT(&pool->aged);
	/* An origin without idle connections costs little: it stays until it is pushed out. */
	pool->origins = map_new((size_t)config->limits.pool + 1, origin_drop, NULL);
	if (!pool->origins) {
		free(pool);
		return NULL;
	}
	return pool;
}

void upstream_pool_configure(struct upstream_pool *pool, const struct config *config)
{
	pool->config = config;
}

void upstream_pool_free(struct upstream_pool *pool)
{
	struct upstream *up;

	if (!pool)
		return;
	while ((up = TAILQ_FIRST(&pool->aged)) != NULL)
		upstream_free(up);
	map_free(pool->origins);
	free(pool);
}

/* Nothing to read, not even the end: the origin has said nothing since its last response. */
static bool upstream_is_quiet(const struct upstream *up)
{
	char byte;

	return recv(up->wire.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* The most recently used idle connection to this address that is fit for use. */
static struct upstream *upstream_take_idle(struct upstream_pool *pool, const struct addr *a)
{
	struct origin_key key = origin_key(a);
	struct origin *origin = map_get(pool->origins, &key, sizeof(key));
	struct upstream *up;

	while (origin && (up = TAILQ_FIRST(&origin->idle)) != NULL) {
		upstream_unpool(up);
		deadline_stop(&up->idle_deadline);
		if (upstream_is_quiet(up) && (up->req = upstream_new_request(up)) != NULL)
			return up;
		upstream_discard(up);
	}
	return NULL;
}

struct upstream *upstream_reuse(struct upstream_pool *pool, const struct addr *addrs, size_t count)
{
	struct upstream *up = NULL;

	for (size_t i = 0; i < count && !up; i++)
		up = upstream_take_idle(pool, &addrs[i]);
	if (!up)
		return NULL;
	up->reused = true;
	/* On an idle connection this sends at once: its head is in the output when it returns. */
	if (evhttp_make_request(up->evcon, up->req, EVHTTP_REQ_GET, "/") != 0) {
		up->req = NULL;
		upstream_discard(up);
		return NULL;
	}
	upstream_skip_head(up);
	metrics_add(pool->metrics, METRIC_ORIGINS_REUSED, 1);
	return up;
}

void upstream_give(struct upstream *up, bool reusable)
{
	struct upstream_pool *pool = up->pool;
	struct origin *origin;

	if (!reusable || up->state != UPSTREAM_COMPLETE || up->dirty || up->req ||
	    up->wire.broken || wire_pending(&up->wire) > 0 || pool->config->limits.pool == 0 ||
	    pool->config->limits.pool_per_origin == 0 ||
	    !(origin = origin_of(pool, &up->address))) {
		upstream_discard(up);
		return;
	}
	if (origin->count >= pool->config->limits.pool_per_origin)
		upstream_discard(TAILQ_LAST(&origin->idle, upstream_list));
	else if (pool->count >= pool->config->limits.pool)
		upstream_discard(TAILQ_FIRST(&pool->aged));
	up->state = UPSTREAM_IDLE;
	up->user = NULL;
	up->origin = origin;
	TAILQ_INSERT_HEAD(&origin->idle, up, idle);
	TAILQ_INSERT_TAIL(&pool->aged, up, aged);
	origin->count++;
	pool->count++;
	metrics_add(pool->metrics, METRIC_ORIGINS_IDLE, 1);
	deadline_set(&up->idle_deadline, pool->config->limits.pool_idle);
	wire_read_on(&up->wire);
}

/* ---- for the owner ---------------------------------------------------------------------- */

void upstream_set_user(struct upstream *up, const struct upstream_user *user, void *arg)
{
	up->user = user;
	up->user_arg = arg;
}

const struct addr *upstream_address(const struct upstream *up)
{
	return &up->address;
}

bool upstream_was_reused(const struct upstream *up)
{
	return up->reused;
}

bool upstream_is_silent(const struct upstream *up)
{
	return up->silent;
}

struct wire *upstream_wire(struct upstream *up)
{
	return &up->wire;
}

void upstream_pause(struct upstream *up)
{
	wire_read_off(&up->wire, false);
}

void upstream_resume(struct upstream *up)
{
	wire_read_on(&up->wire);
}

int upstream_detach(struct upstream *up, struct evbuffer **ret_input)
{
	wire_done(&up->wire);
	*ret_input = bufferevent_get_input(up->bev);
	return up->wire.fd;
}
