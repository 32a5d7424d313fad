#include "net/flow.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "net/pace.h"
#include "net/side.h"

enum {
	FLOW_SMALL = 16 * 1024, /* what is less is read to the stack and passed on from there */
	FLOW_PIECE = 64 * 1024 - 64, /* copied at once: with libevent's header a chain of 64 KiB */
	FLOW_TURN = 1024 * 1024      /* before others get their turn */
};

void flow_init(
    struct flow *f, struct side *from, struct side *to, struct pipe_pool *pipes, bool copy)
{
	*f = (struct flow){
	    .from = from, .to = to, .pipes = pipes, .pipe = {-1, -1, 0}, .copy = copy};
}

static void flow_drop(struct flow *f)
{
	pipe_discard(f->pipes, &f->pipe);
	f->pipe.held = 0;
	if (f->copied)
		evbuffer_free(f->copied);
	f->copied = NULL;
}

void flow_done(struct flow *f)
{
	flow_drop(f);
	pace_free(f->pace);
}

void flow_close(struct flow *f)
{
	flow_drop(f);
	f->closed = true;
}

bool flow_holds(const struct flow *f)
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

/* The sink is full: until it has room the source is not to be heard of. */
static int flow_block(struct flow *f)
{
	f->to->writable = false;
	return side_edge(f->to) != 0 || side_edge(f->from) != 0 ? ENOMEM : EAGAIN;
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
			f->moved = true;
		} else if (n < 0 && errno == EAGAIN) {
			return flow_block(f);
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
	char bytes[FLOW_SMALL];
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

	if (!into || evbuffer_reserve_space(into, FLOW_PIECE, &vec, 1) != 1) {
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
	ssize_t n;

	if (!f->bulk)
		return flow_pass(f);
	if (f->copy || (f->pipe.read_fd < 0 && pipe_lease(f->pipes, &f->pipe) != 0))
		return flow_read_copying(f);
	n = splice(f->from->fd, NULL, f->pipe.write_fd, NULL, pace_most(f->pace, PIPE_HOLDS_MOST),
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		f->pipe.held = (size_t)n;
		f->bulk = n >= FLOW_SMALL;
		return n;
	}
	if (n < 0 && (errno == EINVAL || errno == ENOSYS))
		f->copy = true;
	if (n == 0 || f->copy || (errno == EAGAIN && f->fresh))
		return flow_pass(f);
	return -1;
}

/* One piece from the source.  Returns its size, 0 when there is none now, or -1 with errno. */
static ssize_t flow_take(struct flow *f)
{
	ssize_t n = flow_read(f);

	pace_counts(f->pace, n);
	if (n > 0) {
		f->moved = true;
		f->fresh = false;
		return n;
	}
	if (n == 0) {
		f->ended = true;
		f->moved = true;
		if (side_edge(f->from) == 0)
			return 0;
		errno = ENOMEM;
		return -1;
	}
	if (errno == EAGAIN)
		f->from->readable = false;
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static enum flow_stop flow_fail(struct flow *f, enum flow_stop stop, int error)
{
	f->error = error;
	if (stop == FLOW_SINK_FAILED)
		flow_close(f);
	return stop;
}

static enum flow_stop flow_move(struct flow *f)
{
	size_t moved = 0;

	while (!f->closed) {
		int error = flow_send(f);
		ssize_t n;

		if (error == EAGAIN)
			break;
		if (error)
			return flow_fail(f, FLOW_SINK_FAILED, error);
		if (f->ended)
			return FLOW_DELIVERED;
		if (!f->from->readable)
			break;
		if (pace_waits(f->pace)) {
			/* Or the loop would go on about it. */
			if (side_edge(f->from) != 0)
				return flow_fail(f, FLOW_SOURCE_FAILED, ENOMEM);
			break;
		}
		if (moved >= FLOW_TURN)
			return FLOW_UNFAIR;
		n = flow_take(f);
		if (n < 0)
			return flow_fail(f, FLOW_SOURCE_FAILED, errno);
		moved += (size_t)n;
	}
	return FLOW_WAITS;
}

enum flow_stop flow_run(struct flow *f)
{
	enum flow_stop stop = flow_move(f);

	if (f->pipe.held == 0)
		pipe_give(f->pipes, &f->pipe);
	return stop;
}

int flow_prefix(struct flow *f, struct evbuffer *prefix)
{
	int n;

	if (!prefix || evbuffer_get_length(prefix) == 0)
		return 0;
	n = evbuffer_write(prefix, f->to->fd);
	f->sent += n > 0 ? (uint64_t)n : 0;
	if (evbuffer_get_length(prefix) == 0)
		return 0;
	f->copied = evbuffer_new();
	return f->copied && evbuffer_add_buffer(f->copied, prefix) == 0 ? 0 : -1;
}
