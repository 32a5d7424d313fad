#include "net/outflow.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
	WRITE_VECS = 64,
	JOIN_MAX = 4 * 1024, /* a body is copied behind its head: one piece is cheaper to send */
	WRITE_TURN = 1024 * 1024, /* sent in one go before others get their turn */
};

void outflow_drop(struct outflow *o)
{
	if (o->buffer)
		evbuffer_free(o->buffer);
	o->buffer = NULL;
	text_done(&o->front);
	o->front_sent = 0;
	if (outflow_is_piped(o)) {
		o->pipe.held = 0;
		pipe_discard(o->pipes, &o->pipe);
	}
}

/* ---- adding ----------------------------------------------------------------------------- */

static int outflow_need_buffer(struct outflow *o)
{
	if (!o->buffer)
		o->buffer = evbuffer_new();
	return o->buffer ? 0 : -1;
}

/* Whether the bytes were put behind the front, which is alone and stays small. */
static bool outflow_join(struct outflow *o, const void *bytes, size_t len)
{
	if (!bytes || o->front.len == 0 || o->buffer || o->front.len + len > JOIN_MAX)
		return false;
	text_add(&o->front, bytes, len);
	if (!o->front.failed)
		return true;
	o->front.failed = false;
	return false;
}

/* Likewise, out of a buffer. */
static bool outflow_join_from(struct outflow *o, struct evbuffer *from, size_t len)
{
	if (o->front.len == 0 || len > JOIN_MAX ||
	    !outflow_join(o, evbuffer_pullup(from, (ev_ssize_t)len), len))
		return false;
	evbuffer_drain(from, len);
	return true;
}

int outflow_add(struct outflow *o, const void *bytes, size_t len)
{
	if (len == 0 || outflow_join(o, bytes, len))
		return 0;
	if (outflow_need_buffer(o) != 0)
		return -1;
	return evbuffer_add(o->buffer, bytes, len) == 0 ? 0 : -1;
}

int outflow_add_text(struct outflow *o, struct text *text)
{
	bool failed = text->failed;

	if (!failed && outflow_unsent(o) > 0)
		failed = outflow_add(o, text->ptr, text->len) != 0;
	else if (!failed && text->len > 0) {
		o->front = *text;
		o->front_sent = 0;
		*text = (struct text){.ptr = NULL};
		return 0;
	}
	text_clear(text);
	return failed ? -1 : 0;
}

int outflow_add_from(struct outflow *o, struct evbuffer *from, size_t len)
{
	size_t before;

	if (len == 0 || outflow_join_from(o, from, len))
		return 0;
	if (outflow_need_buffer(o) != 0)
		return -1;
	if (len == evbuffer_get_length(from))
		return evbuffer_add_buffer(o->buffer, from) == 0 ? 0 : -1;
	before = evbuffer_get_length(o->buffer);
	/* Without memory it drops bytes and returns their count all the same (2.1.12). */
	if (evbuffer_remove_buffer(from, o->buffer, len) != (int)len)
		return -1;
	return evbuffer_get_length(o->buffer) == before + len ? 0 : -1;
}

int outflow_take(struct outflow *o, struct evbuffer *into)
{
	if (evbuffer_add(into, o->front.ptr ? o->front.ptr + o->front_sent : "",
		o->front.len - o->front_sent) != 0)
		return -1;
	text_done(&o->front);
	o->front_sent = 0;
	return o->buffer ? evbuffer_add_buffer(into, o->buffer) : 0;
}

/* ---- sending ---------------------------------------------------------------------------- */

/* What was sent goes off the front and the buffer. */
static void outflow_drain(struct outflow *o, size_t sent)
{
	size_t front = o->front.len - o->front_sent;

	if (sent < front) {
		o->front_sent += sent;
		return;
	}
	if (front > 0) {
		text_done(&o->front);
		o->front_sent = 0;
	}
	if (sent > front)
		evbuffer_drain(o->buffer, sent - front);
}

/* What is to be sent next, in WRITE_VECS pieces at most.  Returns how many there are. */
static size_t outflow_collect(struct outflow *o, struct iovec *vecs)
{
	size_t count = 0;

	if (o->front.len > o->front_sent) {
		vecs[0].iov_base = o->front.ptr + o->front_sent;
		vecs[0].iov_len = o->front.len - o->front_sent;
		count = 1;
	}
	if (o->buffer) {
		int room = WRITE_VECS - (int)count;
		int more = evbuffer_peek(o->buffer, WRITE_TURN, NULL, vecs + count, room);

		count += (size_t)(more < room ? more : room);
	}
	return count;
}

/* One system call.  Returns 0 when more could be sent at once, else an errno. */
static int outflow_send_once(struct outflow *o, int fd, size_t *sent)
{
	struct iovec vecs[WRITE_VECS];
	struct msghdr msg = {.msg_iov = vecs, .msg_iovlen = outflow_collect(o, vecs)};
	size_t asked = 0;
	ssize_t n;

	for (size_t i = 0; i < msg.msg_iovlen; i++)
		asked += vecs[i].iov_len;
	do
		n = msg.msg_iovlen == 1 ? send(fd, vecs[0].iov_base, asked, MSG_NOSIGNAL)
					: sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	outflow_drain(o, (size_t)n);
	*sent += (size_t)n;
	return (size_t)n < asked ? EAGAIN : 0;
}

/* Likewise, out of the pipe. */
static int outflow_send_piped(struct outflow *o, int fd, size_t *sent)
{
	ssize_t n;

	do
		n = splice(o->pipe.read_fd, NULL, fd, NULL, o->pipe.held,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? errno : EIO;
	o->pipe.held -= (size_t)n;
	*sent += (size_t)n;
	if (o->pipe.held == 0)
		pipe_give(o->pipes, &o->pipe);
	return 0;
}

int outflow_send(struct outflow *o, int fd, size_t *sent)
{
	int error = 0;

	while (!error && *sent < WRITE_TURN && outflow_unsent(o) > 0)
		error = outflow_send_once(o, fd, sent);
	while (!error && *sent < WRITE_TURN && outflow_is_piped(o))
		error = outflow_send_piped(o, fd, sent);
	return error;
}

ssize_t outflow_fill(struct outflow *o, int fd, struct pipe_pool *pipes, size_t max)
{
	ssize_t n;
	int error;

	if (!outflow_is_piped(o) && pipe_lease(pipes, &o->pipe) != 0)
		return 0;
	o->pipes = pipes;
	if (max > PIPE_HOLDS_MOST - o->pipe.held)
		max = PIPE_HOLDS_MOST - o->pipe.held;
	n = splice(fd, NULL, o->pipe.write_fd, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0)
		o->pipe.held += (size_t)n;
	error = errno;
	if (!outflow_is_piped(o))
		pipe_give(pipes, &o->pipe);
	errno = error;
	return n;
}
