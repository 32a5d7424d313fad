#include "net/tunnel.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/socket.h>

#include "base/recycle.h"
#include "net/deadline.h"
#include "net/flow.h"
#include "net/pace.h"
#include "net/side.h"

struct tunnel {
	struct side client, server;
	struct flow up, down;
	struct event again; /* a turn was over before the bytes were */
	struct deadline idle;
	int idle_seconds;
	uint64_t end_ms; /* of its lifetime; 0: none */
	bool unfair;     /* a turn is over */
	bool over;
	enum tunnel_end end;
	int error; /* of the first failure */
	tunnel_done_fn *done;
	void *arg;
};

static void tunnel_fail(struct tunnel *t, const struct side *side, int error)
{
	if (t->error)
		return;
	t->error = error;
	t->end = side == &t->client ? TUNNEL_CLIENT_FAILED : TUNNEL_SERVER_FAILED;
	if (error == ENOMEM)
		t->end = TUNNEL_NO_RESOURCES;
}

/* Let one direction go on. */
static void tunnel_move(struct tunnel *t, struct flow *f)
{
	const struct flow *other = f == &t->up ? &t->down : &t->up;

	if (t->over)
		return;
	switch (flow_run(f)) {
	case FLOW_WAITS:
		break;
	case FLOW_UNFAIR:
		t->unfair = true;
		break;
	case FLOW_DELIVERED:
		/* Behind the last one the owner closes. */
		if (!other->closed || t->error)
			shutdown(f->to->fd, SHUT_WR);
		f->closed = true;
		break;
	case FLOW_SINK_FAILED:
		tunnel_fail(t, f->to, f->error);
		break;
	case FLOW_SOURCE_FAILED:
		tunnel_fail(t, f->from, f->error);
		t->over = true;
		break;
	}
}

static void tunnel_free(struct tunnel *t)
{
	side_leave(&t->client);
	side_leave(&t->server);
	event_del(&t->again);
	deadline_done(&t->idle);
	flow_done(&t->up);
	flow_done(&t->down);
	recycle_free(t);
}

static void tunnel_finish(struct tunnel *t)
{
	struct tunnel_result result = {
	    .end = t->end, .error = t->error, .up = t->up.sent, .down = t->down.sent};
	tunnel_done_fn *done = t->done;
	void *arg = t->arg;

	tunnel_free(t);
	done(&result, arg);
}

/* After a failure only what its side had sent before matters, and only after EPIPE is it waited
 * for. */
static bool tunnel_is_over(struct tunnel *t)
{
	const struct flow *rest = t->end == TUNNEL_CLIENT_FAILED ? &t->up : &t->down;

	if (t->over || (t->up.closed && t->down.closed))
		return true;
	if (!t->error)
		return false;
	return t->error != EPIPE || rest->closed || (!flow_holds(rest) && !rest->from->readable);
}

/*
 * A reset shows in reading, but not while nothing is read, nor behind an end.  libevent 2.1.12
 * reports it as readable and writable, and not as closed.
 */
static void tunnel_check(struct tunnel *t, struct flow *from, struct flow *to)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(from->from->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error == 0)
		return;
	tunnel_fail(t, from->from, error);
	flow_close(to);
}

/* Let both directions go on, first the one that `side` feeds; the last act may be done. */
static void tunnel_run(struct tunnel *t, const struct side *side, bool maybe_reset)
{
	static const struct timeval at_once = {0};
	struct flow *from = side == &t->client ? &t->up : &t->down;
	struct flow *to = side == &t->client ? &t->down : &t->up;
	bool ended = from->ended;

	t->unfair = from->moved = to->moved = false;
	tunnel_move(t, from);
	if (maybe_reset && (ended || flow_holds(from) || pace_waits(from->pace)))
		tunnel_check(t, from, to);
	tunnel_move(t, to);
	/* When the side could not be written to, what it had sent still goes on. */
	if (t->error)
		tunnel_move(t, from);
	if (tunnel_is_over(t)) {
		tunnel_finish(t);
		return;
	}
	if (from->moved || to->moved)
		deadline_set_until(&t->idle, t->idle_seconds, t->end_ms);
	/* A timer: an event made active by hand would run before others are polled. */
	if (t->unfair)
		event_add(&t->again, &at_once);
}

static void tunnel_on_ready(struct side *side, bool maybe_reset)
{
	struct tunnel *t = side->arg;

	t->up.fresh = t->down.fresh = true;
	tunnel_run(t, side, maybe_reset);
}

static void tunnel_on_again(evutil_socket_t fd, short what, void *arg)
{
	struct tunnel *t = arg;

	(void)fd;
	(void)what;
	t->up.fresh = t->down.fresh = false;
	tunnel_run(t, &t->server, false);
}

static void tunnel_on_go(void *arg)
{
	struct side *side = arg;

	tunnel_run(side->arg, side, false);
}

static void tunnel_on_idle(void *arg)
{
	struct tunnel *t = arg;

	t->end = t->end_ms != 0 && deadline_now_ms() >= t->end_ms ? TUNNEL_EXPIRED : TUNNEL_IDLE;
	t->error = 0;
	tunnel_finish(t);
}

static int tunnel_limit(struct flow *f, struct event_base *base, struct allowance allowance)
{
	if (!allowance.bucket)
		return 0;
	f->pace = pace_new(base, allowance, tunnel_on_go, f->from);
	return f->pace ? 0 : -1;
}

/* What is there already goes out at once, as far as it goes; the loop does the rest. */
static int tunnel_begin(struct tunnel *t, const struct tunnel_sides *sides)
{
	static const struct timeval at_once = {0};

	if (side_start(&t->client) != 0 || side_start(&t->server) != 0 ||
	    flow_prefix(&t->up, sides->client_prefix) != 0 ||
	    flow_prefix(&t->down, sides->server_prefix) != 0)
		return -1;
	return flow_holds(&t->up) || flow_holds(&t->down) ? event_add(&t->again, &at_once) : 0;
}

struct tunnel *tunnel_start(struct event_base *base, struct pipe_pool *pipes,
    const struct tunnel_sides *sides, struct timeval idle, tunnel_done_fn *done, void *arg)
{
	struct tunnel *t = recycle_zero(sizeof(*t));

	if (!t)
		return NULL;
	t->idle_seconds = (int)idle.tv_sec + (idle.tv_usec > 0);
	t->end = TUNNEL_FINISHED;
	t->done = done;
	t->arg = arg;
	flow_init(&t->up, &t->client, &t->server, pipes, sides->copy);
	flow_init(&t->down, &t->server, &t->client, pipes, sides->copy);
	evtimer_assign(&t->again, base, tunnel_on_again, t);
	deadline_init(&t->idle, base, tunnel_on_idle, t);
	side_init(&t->client, base, sides->client_fd, tunnel_on_ready, t);
	side_init(&t->server, base, sides->server_fd, tunnel_on_ready, t);
	if (tunnel_limit(&t->up, base, sides->allowance) != 0 ||
	    tunnel_limit(&t->down, base, sides->allowance) != 0 || tunnel_begin(t, sides) != 0) {
		tunnel_free(t);
		return NULL;
	}
	if (sides->lifetime_s > 0)
		t->end_ms = deadline_now_ms() + (uint64_t)sides->lifetime_s * 1000;
	deadline_set_until(&t->idle, t->idle_seconds, t->end_ms);
	return t;
}

void tunnel_counts(const struct tunnel *t, uint64_t *ret_up, uint64_t *ret_down)
{
	*ret_up = t->up.sent;
	*ret_down = t->down.sent;
}

void tunnel_cancel(struct tunnel *t)
{
	tunnel_free(t);
}
