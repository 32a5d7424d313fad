#include "proxy/upstream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/recycle.h"
#include "http/head.h"
#include "net/deadline.h"
#include "net/source.h"
#include "net/wire.h"
#include "proxy/config.h"
#include "proxy/origin.h"
#include "proxy/pool.h"

/* A read of what is most often a head and a small body, to the stack; and any other. */
#define UPSTREAM_FIRST_MAX (16 * 1024)
#define UPSTREAM_READ_MAX (64 * 1024)

enum upstream_state {
	UPSTREAM_IDLE, /* in the pool */
	UPSTREAM_READING_HEAD,
	UPSTREAM_READING_BODY,
	UPSTREAM_COMPLETE, /* the response is; evhttp is idle */
	UPSTREAM_STOPPED,
	UPSTREAM_DEAD /* to be freed on the next turn */
};

struct upstream {
	struct pool_item item; /* while idle */
	struct upstream_pool *pool;
	struct addr address;
	struct source source;
	struct origin *origin;
	struct wire wire;
	struct deadline deadline; /* of idling; and to be freed */
	enum upstream_state state;
	bool silent; /* nothing has come since it was handed out */
	bool dirty;  /* bytes came behind the response */
	struct head_scan scan;
	const struct upstream_user *user;
	void *user_arg;
};

struct upstream_pool {
	struct event_base *base;
	const struct config *config;
	struct metrics *metrics;
	struct pool *idle;
};

/* ---- freeing ---------------------------------------------------------------------------- */

static void upstream_unpool(struct upstream *up)
{
	if (up->state != UPSTREAM_IDLE)
		return;
	pool_remove(up->pool->idle, &up->item);
	metrics_sub(up->pool->metrics, METRIC_ORIGINS_IDLE, 1);
}

static void upstream_free(struct upstream *up)
{
	upstream_unpool(up);
	deadline_done(&up->deadline);
	wire_done(&up->wire);
	origin_free(up->origin);
	metrics_sub(up->pool->metrics, METRIC_ORIGINS, 1);
	recycle_free(up);
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
	wire_done(&up->wire);
	deadline_soon(&up->deadline);
}

void upstream_abort(struct upstream *up)
{
	if (up->state != UPSTREAM_DEAD)
		wire_reset(up->wire.fd);
	upstream_discard(up);
}

/* ---- reading ---------------------------------------------------------------------------- */

static void upstream_fail(struct upstream *up, enum fail fail, const char *why)
{
	wire_read_off(&up->wire, false);
	up->user->on_failed(fail, why, up->user_arg);
}

static enum fail upstream_translate(enum fail fail)
{
	if (fail == FAIL_LINE_TOO_LONG || fail == FAIL_HEAD_TOO_LARGE)
		return FAIL_RESPONSE_TOO_LARGE;
	return fail == FAIL_NO_MEMORY ? fail : FAIL_BAD_RESPONSE;
}

/*
 * Without memory evhttp fails its request and closes the socket (2.1.12): forget the
 * descriptor before its number is used again.
 */
static bool upstream_is_lost(struct upstream *up)
{
	if (origin_fd(up->origin) >= 0)
		return false;
	wire_done(&up->wire);
	up->wire.fd = -1;
	return true;
}

/* One complete head.  Returns what comes behind it; *ret_good false: the user was told it failed.
 */
static enum upstream_next upstream_take_head(struct upstream *up, struct slice text, bool *ret_good)
{
	const char *why = NULL;
	struct head head;
	enum fail fail = head_parse_response(&head, text, &why);
	enum upstream_next next;

	*ret_good = fail == FAIL_NONE;
	if (fail != FAIL_NONE) {
		upstream_fail(up, upstream_translate(fail), why);
		return UPSTREAM_STOP;
	}
	next = up->user->on_head(&head, up->user_arg);
	head_done(&head);
	memset(&up->scan, 0, sizeof(up->scan));
	return next;
}

/*
 * The heads at the beginning of the bytes, interim ones first: *ret_used bytes are done with.
 * UPSTREAM_AGAIN: more is to come of a head.  False: the user has been told that it failed.
 */
static bool upstream_take_heads(
    struct upstream *up, struct slice bytes, size_t *ret_used, enum upstream_next *ret_next)
{
	size_t max = (size_t)up->pool->config->limits.head;
	struct head_limits limits = {max, max, (size_t)up->pool->config->limits.fields};
	struct head_source source = {.request = false};
	struct head_error error;
	size_t len;
	bool good;

	*ret_used = 0;
	do {
		source.data = bytes.ptr + *ret_used;
		source.len = bytes.len - *ret_used;
		*ret_next = UPSTREAM_AGAIN;
		switch (head_scan(&up->scan, &source, &limits, &len, &error)) {
		case HEAD_MORE:
			return true;
		case HEAD_BAD:
			upstream_fail(up, upstream_translate(error.fail), error.why);
			return false;
		case HEAD_COMPLETE:
			break;
		}
		*ret_next = upstream_take_head(up, (struct slice){source.data, len}, &good);
		if (!good)
			return false;
		*ret_used += len;
	} while (*ret_next == UPSTREAM_AGAIN && *ret_used < bytes.len);
	return true;
}

/* The heads are read, and the rest, if it is not in the input already, is what stood behind them.
 */
static bool upstream_go_on(struct upstream *up, enum upstream_next next, struct slice rest)
{
	struct evbuffer *in = origin_input(up->origin);
	bool body = next == UPSTREAM_BODY;
	int error;

	if (next == UPSTREAM_AGAIN || next == UPSTREAM_STOP) {
		if (next == UPSTREAM_STOP)
			up->state = UPSTREAM_STOPPED;
		/* Of nothing libevent 2.1.12 makes a chain of 1 KiB. */
		error = rest.len > 0 ? evbuffer_add(in, rest.ptr, rest.len) : 0;
	} else {
		up->state = body ? UPSTREAM_READING_BODY : UPSTREAM_COMPLETE;
		if (!body)
			up->dirty = rest.len > 0 || evbuffer_get_length(in) > 0;
		error = origin_head_read(up->origin, body, rest);
	}
	if (error == 0 && !upstream_is_lost(up))
		return up->state != UPSTREAM_DEAD;
	upstream_fail(up, FAIL_NO_MEMORY, NULL);
	return false;
}

/* Of a head a part has come before, and lies in the input.  Returns as upstream_take_heads. */
static bool upstream_read_more(struct upstream *up)
{
	struct evbuffer *in = origin_input(up->origin);
	struct slice bytes = {(const char *)evbuffer_pullup(in, -1), evbuffer_get_length(in)};
	enum upstream_next next;
	size_t used;

	if (!bytes.ptr) {
		upstream_fail(up, FAIL_NO_MEMORY, NULL);
		return false;
	}
	if (!upstream_take_heads(up, bytes, &used, &next))
		return false;
	evbuffer_drain(in, used);
	return upstream_go_on(up, next, SLICE(""));
}

/* Nearly always a whole head, and all of a small body: taken apart where it lies. */
static bool upstream_take_first(struct upstream *up, struct slice bytes)
{
	enum upstream_next next;
	size_t used;

	return upstream_take_heads(up, bytes, &used, &next) &&
	       upstream_go_on(up, next, (struct slice){bytes.ptr + used, bytes.len - used});
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

/* Returns whether a read brought bytes for the user. */
static bool upstream_has_read(struct upstream *up, ssize_t got)
{
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (!up->user) { /* idle: the origin closed, or speaks out of turn */
		upstream_discard(up);
		return false;
	}
	if (got <= 0) {
		upstream_on_end(up, got < 0 ? errno : 0);
		return false;
	}
	up->silent = false;
	return true;
}

/* Returns false when the user has been told of a failure. */
static bool upstream_take(struct upstream *up)
{
	struct evbuffer *in = origin_input(up->origin);

	switch (up->state) {
	case UPSTREAM_READING_HEAD:
		return upstream_read_more(up);
	case UPSTREAM_READING_BODY:
		origin_feed(up->origin);
		if (!upstream_is_lost(up))
			return true;
		upstream_fail(up, FAIL_NO_MEMORY, NULL);
		return false;
	default: /* behind the response, while the request goes on: nobody wants it */
		up->dirty = true;
		evbuffer_drain(in, evbuffer_get_length(in));
		wire_read_off(&up->wire, false);
		return false;
	}
}

static void upstream_on_readable(void *arg)
{
	struct upstream *up = arg;
	struct evbuffer *in = origin_input(up->origin);
	bool first = up->state == UPSTREAM_READING_HEAD && evbuffer_get_length(in) == 0;
	char bytes[UPSTREAM_FIRST_MAX];
	ssize_t got;

	if (up->state == UPSTREAM_READING_BODY && up->user &&
	    up->user->on_stream(&up->wire, up->user_arg)) {
		up->user->on_read(up->user_arg);
		return;
	}
	got = first ? wire_read_bytes(&up->wire, bytes, sizeof(bytes))
		    : wire_read(&up->wire, in, UPSTREAM_READ_MAX);
	if (upstream_has_read(up, got) &&
	    (first ? upstream_take_first(up, (struct slice){bytes, (size_t)got})
		   : upstream_take(up)) &&
	    up->user)
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

/* ---- a new one -------------------------------------------------------------------------- */

/* A request is begun: the owner writes the head, and the response comes. */
static void upstream_begin(struct upstream *up)
{
	up->state = UPSTREAM_READING_HEAD;
	up->dirty = false;
	up->silent = true;
	memset(&up->scan, 0, sizeof(up->scan));
}

static bool upstream_on_body(struct evbuffer *bytes, void *arg)
{
	struct upstream *up = arg;

	if (up->state != UPSTREAM_READING_BODY || !up->user->on_body(bytes, up->user_arg))
		return false;
	up->dirty = evbuffer_get_length(bytes) > 0;
	up->state = UPSTREAM_COMPLETE;
	return true;
}

static void upstream_on_deadline(void *arg)
{
	struct upstream *up = arg;

	if (up->state == UPSTREAM_DEAD)
		upstream_free(up);
	else
		upstream_discard(up);
}

struct upstream *upstream_adopt(
    struct upstream_pool *pool, int fd, const struct addr *address, const struct source *source)
{
	struct upstream *up = recycle_zero(sizeof(*up));

	if (!up) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	up->origin = origin_new(pool->base, fd, upstream_on_body, up);
	if (!up->origin) {
		recycle_free(up);
		return NULL;
	}
	up->pool = pool;
	up->address = *address;
	up->source = *source;
	deadline_init(&up->deadline, pool->base, upstream_on_deadline, up);
	upstream_begin(up);
	wire_init(&up->wire, pool->base, fd, &upstream_wire_handler, up);
	wire_read_on(&up->wire);
	metrics_add(pool->metrics, METRIC_ORIGINS, 1);
	metrics_add(pool->metrics, METRIC_ORIGINS_TOTAL, 1);
	return up;
}

/* ---- the pool --------------------------------------------------------------------------- */

static struct upstream *upstream_of(struct pool_item *item)
{
	return (struct upstream *)(void *)((char *)item - offsetof(struct upstream, item));
}

static void upstream_on_dropped(struct pool_item *item, void *arg)
{
	(void)arg;
	upstream_discard(upstream_of(item));
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
	pool->idle = pool_new(config->limits.pool, upstream_on_dropped, NULL);
	if (!pool->idle) {
		free(pool);
		return NULL;
	}
	return pool;
}

void upstream_pool_configure(struct upstream_pool *pool, const struct config *config)
{
	pool->config = config;
}

void upstream_pool_close(struct upstream_pool *pool)
{
	pool_clear(pool->idle);
}

void upstream_pool_free(struct upstream_pool *pool)
{
	if (!pool)
		return;
	pool_free(pool->idle);
	free(pool);
}

/* The most recently used idle connection of this way that is fit for use. */
static struct upstream *upstream_take_idle(struct upstream_pool *pool, const struct pool_way *way)
{
	struct pool_item *item;

	while ((item = pool_take(pool->idle, way)) != NULL) {
		struct upstream *up = upstream_of(item);

		metrics_sub(pool->metrics, METRIC_ORIGINS_IDLE, 1);
		deadline_stop(&up->deadline);
		up->state = UPSTREAM_COMPLETE;
		/*
		 * One that has closed or spoken out of turn is known by the loop's last poll.  What
		 * came since then is met as any client meets it: see forward's untouched.
		 */
		if (!wire_is_ready(&up->wire) && origin_begin(up->origin) == 0)
			return up;
		upstream_discard(up);
	}
	return NULL;
}

struct upstream *upstream_reuse(
    struct upstream_pool *pool, const struct source *source, const struct addr *addrs, size_t count)
{
	struct upstream *up = NULL;

	for (size_t i = 0; i < count && !up; i++)
		up = upstream_take_idle(pool, &(struct pool_way){&addrs[i], source});
	if (!up)
		return NULL;
	upstream_begin(up);
	metrics_add(pool->metrics, METRIC_ORIGINS_REUSED, 1);
	return up;
}

void upstream_give(struct upstream *up, bool reusable)
{
	const struct config *config = up->pool->config;
	struct pool_limits limits = {config->limits.pool, config->limits.pool_per_origin};
	struct pool_way way = {&up->address, &up->source};

	if (!reusable || up->state != UPSTREAM_COMPLETE || up->dirty ||
	    !origin_is_idle(up->origin) || up->wire.broken || wire_pending(&up->wire) > 0 ||
	    !pool_put(up->pool->idle, &way, &up->item, &limits)) {
		upstream_discard(up);
		return;
	}
	up->state = UPSTREAM_IDLE;
	up->user = NULL;
	wire_unpace(&up->wire);
	metrics_add(up->pool->metrics, METRIC_ORIGINS_IDLE, 1);
	deadline_set(&up->deadline, config->limits.pool_idle);
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
	*ret_input = origin_input(up->origin);
	return up->wire.fd;
}
