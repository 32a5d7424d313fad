#include "net/tunnel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/recycle.h"
#include "net/deadline.h"
#include "net/pace.h"
#include "net/pipe.h"

enum {
	TUNNEL_SMALL = 16 * 1024, /* what is less is read to the stack and passed on from there */
	TUNNEL_PIECE =
	    64 * 1024 - 64,       /* copied at once: with libevent's header a chain of 64 KiB */
	TUNNEL_TURN = 1024 * 1024 /* one way, before others get their turn */
};

/*
 * A side begins level-triggered and for reading only: a small piece needs no second read to see
 * that there is no more.  When it came to its end, or when bytes had to wait, it is made
 * edge-triggered for good, one event for everything, never changed: no epoll_ctl as bytes
 * flow, no spinning whatever is left unread, and a reset is an edge too.  The two flags
 * remember the edges until EAGAIN takes them back.
 */
struct side {
	int fd;
	bool readable, writable;
	bool edged;
	struct event event;
	struct tunnel *tunnel;
};

/* One direction.  It reads only when everything read before has been delivered. */
struct flow {
	struct side *from, *to;
	struct pipe pipe;        /* leased while bytes move */
	struct evbuffer *copied; /* prefix, or bytes read without a pipe; NULL when empty */
	struct pace *pace;       /* of reading; NULL: as fast as it comes */
	uint64_t sent;
	int error;   /* of a write whose bytes are gone */
	bool bulk;   /* the last piece was a large one: the next is spliced */
	bool ended;  /* the source gave its end */
	bool closed; /* the end was passed on, or the sink takes no more */
	bool fresh;  /* nothing was read since the edge */
};

struct tunnel {
	struct side client, server;
	struct flow up, down;
	struct pipe_pool *pipes;
	struct event again; /* a turn was over before the bytes were */
	struct deadline idle;
	int idle_seconds;
	uint64_t end_ms; /* of its lifetime; 0: none */
	bool copy;       /* splice does not work here */
	bool moved;      /* bytes were delivered or read in this event */
	bool unfair;     /* a turn is over */
	bool over;
	enum tunnel_end end;
	int error; /* of the first failure */
	tunnel_done_fn *done;
	void *arg;
};

/* ---- one direction ------------------------------------------------------------------------- */

static void flow_drop(struct flow *f, struct pipe_pool *pipes)
{
	pipe_discard(pipes, &f->pipe);
	f->pipe.held = 0;
	if (f->copied)
		evbuffer_free(f->copied);
	f->copied = NULL;
}

static bool flow_holds(const struct flow *f)
{
	return f->copied || f->pipe.held > 0;
}

static ssize_t flow_send_copied(struct flow *f)
{
	ssize_t n = evbuffer_write(f->copied, f->to->fd);

	if (evbuffer_get_length(f->copied) == 0) {
		evbuffer_free(f->copied);
		f->copied = NULL;
	}
	return n;
}

static ssize_t flow_send_piped(struct flow *f)
{
	ssize_t n = splice(f->pipe.read_fd, NULL, f->to->fd, NULL, f->pipe.held,
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n > 0)
		f->pipe.held -= (size_t)n;
	return n;
}

static void tunnel_fail(struct tunnel *t, const struct side *side, int error)
{
	if (t->error)
		return;
	t->error = error;
	t->end = side == &t->client ? TUNNEL_CLIENT_FAILED : TUNNEL_SERVER_FAILED;
	if (error == ENOMEM)
		t->end = TUNNEL_NO_RESOURCES;
}

static void tunnel_on_event(evutil_socket_t fd, short what, void *arg);

/* What is ready already is told again. */
static void side_edge(struct side *side)
{
	if (side->edged)
		return;
	side->edged = true;
	event_del(&side->event);
	event_assign(&side->event, event_get_base(&side->event), side->fd,
	    EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, tunnel_on_event, side);
	if (event_add(&side->event, NULL) == 0)
		return;
	tunnel_fail(side->tunnel, side, ENOMEM);
	side->tunnel->over = true;
}

/*
 * The descriptor is about to be closed, and its number may be used again before the next poll.
 * libevent 2.1.12 then merges our deletion with what is added for the new socket, and lets that be
 * edge-triggered too (evmap.c, event_changelist_del_ keeps EV_ET): deleting once more without
 * the flag takes it back.  None of this is a system call.
 */
static void side_leave(struct side *side)
{
	event_del(&side->event);
	if (!side->edged)
		return;
	event_assign(&side->event, event_get_base(&side->event), side->fd,
	    EV_READ | EV_WRITE | EV_CLOSED | EV_PERSIST, tunnel_on_event, side);
	if (event_add(&side->event, NULL) == 0)
		event_del(&side->event);
}

/* The sink is full: until it has room the source is not to be heard of. */
static void flow_block(struct flow *f)
{
	f->to->writable = false;
	side_edge(f->to);
	side_edge(f->from);
}

/* Deliver what is held.  Returns 0, or an errno: EAGAIN when the sink is full. */
static int flow_send(struct flow *f)
{
	if (f->error)
		return f->error;
	while (flow_holds(f)) {
		if (!f->to->writable)
			return EAGAIN;
		ssize_t n = f->copied ? flow_send_copied(f) : flow_send_piped(f);

		if (n > 0) {
			f->sent += (uint64_t)n;
			f->to->tunnel->moved = true;
		} else if (n < 0 && errno == EAGAIN) {
			flow_block(f);
		} else if (n < 0 && errno != EINTR) {
			return errno;
		}
	}
	return 0;
}

/* Hold what the sink did not take at once. */
static int flow_hold(struct flow *f, const char *bytes, size_t len)
{
	f->copied = evbuffer_new();
	if (f->copied && evbuffer_add(f->copied, bytes, len) == 0)
		return 0;
	errno = ENOMEM;
	return -1;
}

/* A small piece, read and written. */
static ssize_t flow_pass(struct flow *f)
{
	char bytes[TUNNEL_SMALL];
	ssize_t n = recv(f->from->fd, bytes, pace_most(f->pace, sizeof(bytes)), 0), sent = 0;

	if (n <= 0)
		return n;
	f->bulk = (size_t)n == sizeof(bytes);
	/* Should there be more behind it after all, a reset too, the loop tells. */
	if (!f->bulk && !f->from->edged)
		f->from->readable = false;
	if (f->to->writable)
		sent = send(f->to->fd, bytes, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		f->error = errno;
		return n;
	}
	if (sent < 0)
		sent = 0;
	f->sent += (uint64_t)sent;
	return sent == n || flow_hold(f, bytes + sent, (size_t)(n - sent)) == 0 ? n : -1;
}

static ssize_t flow_read_copying(struct flow *f)
{
	struct evbuffer *into = evbuffer_new();
	struct evbuffer_iovec vec;

	if (!into || evbuffer_reserve_space(into, TUNNEL_PIECE, &vec, 1) != 1) {
		if (into)
			evbuffer_free(into);
		errno = ENOMEM;
		return -1;
	}
	ssize_t n = recv(f->from->fd, vec.iov_base, pace_most(f->pace, vec.iov_len), 0);

	if (n <= 0) {
		int error = errno;

		evbuffer_free(into);
		errno = error;
		return n;
	}
	vec.iov_len = (size_t)n;
	evbuffer_commit_space(into, &vec, 1);
	f->copied = into;
	return n;
}

/*
 * Read into the pipe, which is empty: so EAGAIN speaks of the socket.  TCP's splice comes to
 * a halt at an urgent byte, and calls that EAGAIN or the end: recv has the last word then.
 */
static ssize_t flow_read(struct flow *f)
{
	struct tunnel *t = f->from->tunnel;
	ssize_t n;

	if (!f->bulk)
		return flow_pass(f);
	if (t->copy || (f->pipe.read_fd < 0 && pipe_lease(t->pipes, &f->pipe) != 0))
		return flow_read_copying(f);
	n = splice(f->from->fd, NULL, f->pipe.write_fd, NULL, pace_most(f->pace, PIPE_HOLDS_MOST),
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		f->pipe.held = (size_t)n;
		f->bulk = n >= TUNNEL_SMALL;
		return n;
	}
	if (n < 0 && (errno == EINVAL || errno == ENOSYS))
		t->copy = true;
	if (n == 0 || t->copy || (errno == EAGAIN && f->fresh))
		return flow_pass(f);
	return -1;
}

/* ---- both ---------------------------------------------------------------------------------- */

/* One piece from the source.  Returns its size, or 0 when there is no going on. */
static size_t flow_take(struct flow *f)
{
	struct tunnel *t = f->from->tunnel;
	ssize_t n = flow_read(f);

	pace_counts(f->pace, n);
	if (n > 0) {
		t->moved = true;
		f->fresh = false;
		return (size_t)n;
	}
	if (n == 0) {
		f->ended = true;
		t->moved = true;
		side_edge(f->from);
	} else if (errno == EAGAIN) {
		f->from->readable = false;
	} else if (errno != EINTR) {
		tunnel_fail(t, f->from, errno);
		t->over = true;
	}
	return 0;
}

/* Move what can be moved without waiting. */
static void flow_run(struct flow *f)
{
	struct tunnel *t = f->from->tunnel;
	size_t moved = 0;

	while (!f->closed && !t->over) {
		int error = flow_send(f);

		if (error == EAGAIN)
			break;
		if (error) {
			tunnel_fail(t, f->to, error);
			flow_drop(f, t->pipes);
			f->closed = true;
		} else if (f->ended) {
			/* Behind the last one the owner closes. */
			if (!(f == &t->up ? &t->down : &t->up)->closed || t->error)
				shutdown(f->to->fd, SHUT_WR);
			f->closed = true;
		} else if (!f->from->readable) {
			break;
		} else if (pace_waits(f->pace)) {
			side_edge(f->from); /* or the loop would go on about it */
			break;
		} else if (moved >= TUNNEL_TURN) {
			t->unfair = true;
			break;
		} else {
			moved += flow_take(f);
		}
	}
	if (f->pipe.held == 0)
		pipe_give(t->pipes, &f->pipe);
}

static void tunnel_free(struct tunnel *t)
{
	side_leave(&t->client);
	side_leave(&t->server);
	event_del(&t->again);
	deadline_done(&t->idle);
	flow_drop(&t->up, t->pipes);
	flow_drop(&t->down, t->pipes);
	pace_free(t->up.pace);
	pace_free(t->down.pace);
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
	flow_drop(to, t->pipes);
	to->closed = true;
}

/* Let both directions go on, first the one that `side` feeds; the last act may be done. */
static void tunnel_run(struct tunnel *t, const struct side *side, bool maybe_reset)
{
	static const struct timeval at_once = {0};
	struct flow *from = side == &t->client ? &t->up : &t->down;
	struct flow *to = side == &t->client ? &t->down : &t->up;
	bool ended = from->ended;

	t->moved = t->unfair = false;
	flow_run(from);
	if (maybe_reset && (ended || flow_holds(from) || pace_waits(from->pace)))
		tunnel_check(t, from, to);
	flow_run(to);
	/* When the side could not be written to, what it had sent still goes on. */
	if (t->error)
		flow_run(from);
	if (tunnel_is_over(t)) {
		tunnel_finish(t);
		return;
	}
	if (t->moved)
		deadline_set_until(&t->idle, t->idle_seconds, t->end_ms);
	/* A timer: an event made active by hand would run before others are polled. */
	if (t->unfair)
		event_add(&t->again, &at_once);
}

static void tunnel_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct side *side = arg;
	struct tunnel *t = side->tunnel;

	(void)fd;
	side->readable |= (what & (EV_READ | EV_CLOSED)) != 0;
	side->writable |= (what & EV_WRITE) != 0;
	t->up.fresh = t->down.fresh = true;
	/* With an error libevent 2.1.12 tells of reading and writing, and of nothing else. */
	tunnel_run(t, side, what == (EV_READ | EV_WRITE | EV_ET) || what == (EV_READ | EV_WRITE));
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
	struct flow *f = arg;

	tunnel_run(f->from->tunnel, f->from, false);
}

static void tunnel_on_idle(void *arg)
{
	struct tunnel *t = arg;

	t->end = t->end_ms != 0 && deadline_now_ms() >= t->end_ms ? TUNNEL_EXPIRED : TUNNEL_IDLE;
	t->error = 0;
	tunnel_finish(t);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void side_init(
    struct side *side, struct tunnel *t, struct event_base *base, evutil_socket_t fd)
{
	*side = (struct side){.fd = fd, .tunnel = t, .writable = true};
	event_assign(&side->event, base, fd, EV_READ | EV_PERSIST, tunnel_on_event, side);
}

static int flow_limit(struct flow *f, struct event_base *base, struct allowance allowance)
{
	if (!allowance.bucket)
		return 0;
	f->pace = pace_new(base, allowance, tunnel_on_go, f);
	return f->pace ? 0 : -1;
}

/* What is there already goes out at once, as far as it goes; the loop does the rest. */
static int flow_prefix(struct flow *f, struct evbuffer *prefix)
{
	static const struct timeval at_once = {0};
	int n;

	if (!prefix || evbuffer_get_length(prefix) == 0)
		return 0;
	n = evbuffer_write(prefix, f->to->fd);
	f->sent += n > 0 ? (uint64_t)n : 0;
	if (evbuffer_get_length(prefix) == 0)
		return 0;
	f->copied = evbuffer_new();
	if (!f->copied || evbuffer_add_buffer(f->copied, prefix) != 0)
		return -1;
	return event_add(&f->to->tunnel->again, &at_once);
}

struct tunnel *tunnel_start(struct event_base *base, struct pipe_pool *pipes,
    const struct tunnel_sides *sides, struct timeval idle, tunnel_done_fn *done, void *arg)
{
	struct tunnel *t = recycle_zero(sizeof(*t));

	if (!t)
		return NULL;
	t->pipes = pipes;
	t->copy = sides->copy;
	t->idle_seconds = (int)idle.tv_sec + (idle.tv_usec > 0);
	t->end = TUNNEL_FINISHED;
	t->done = done;
	t->arg = arg;
	t->up = (struct flow){.from = &t->client, .to = &t->server, .pipe = {-1, -1, 0}};
	t->down = (struct flow){.from = &t->server, .to = &t->client, .pipe = {-1, -1, 0}};
	evtimer_assign(&t->again, base, tunnel_on_again, t);
	deadline_init(&t->idle, base, tunnel_on_idle, t);
	side_init(&t->client, t, base, sides->client_fd);
	side_init(&t->server, t, base, sides->server_fd);
	if (event_add(&t->client.event, NULL) != 0 || event_add(&t->server.event, NULL) != 0 ||
	    flow_limit(&t->up, base, sides->allowance) != 0 ||
	    flow_limit(&t->down, base, sides->allowance) != 0 ||
	    flow_prefix(&t->up, sides->client_prefix) != 0 ||
	    flow_prefix(&t->down, sides->server_prefix) != 0) {
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
