#include "net/wire.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "net/pace.h"

enum {
	SMALL_READ = 16 * 1024,     /* read to the stack and copied: idle buffers stay small */
	BULK_READ = 64 * 1024 - 64, /* with libevent's chain header a chain of 64 KiB */
	WRITE_VECS = 64,
	JOIN_MAX = 4 * 1024, /* a body is copied behind its head: one piece is cheaper to send */
	WRITE_TURN = 1024 * 1024, /* sent in one go before others get their turn */
	WATCH_US = 500000
};

/* ---- reading ------------------------------------------------------------------------------- */

static ssize_t wire_read_small(struct wire *w, struct evbuffer *into, size_t want)
{
	char bytes[SMALL_READ];
	ssize_t n = recv(w->fd, bytes, want, 0);

	if (n > 0 && evbuffer_add(into, bytes, (size_t)n) != 0) {
		errno = ENOMEM;
		return -1;
	}
	return n;
}

/* The kernel's only copy ends in the buffer's own chain. */
static ssize_t wire_read_bulk(struct wire *w, struct evbuffer *into, size_t want)
{
	struct evbuffer_iovec vecs[2];
	int count = evbuffer_reserve_space(into, (ev_ssize_t)want, vecs, 2);
	size_t room = want;

	if (count <= 0) {
		errno = ENOMEM;
		return -1;
	}
	for (int i = 0; i < count; i++) {
		if (vecs[i].iov_len > room)
			vecs[i].iov_len = room;
		room -= vecs[i].iov_len;
	}
	ssize_t n = readv(w->fd, vecs, count);

	if (n <= 0)
		return n;
	room = (size_t)n;
	for (int i = 0; i < count; i++) {
		if (vecs[i].iov_len > room)
			vecs[i].iov_len = room;
		room -= vecs[i].iov_len;
	}
	if (evbuffer_commit_space(into, vecs, count) != 0) {
		errno = ENOMEM;
		return -1;
	}
	return n;
}

/* One system call; *ret_full tells that it got all it asked for, so there may be more. */
static ssize_t wire_read_once(struct wire *w, struct evbuffer *into, size_t max, bool *ret_full)
{
	bool bulk = w->bulk && max > SMALL_READ;
	size_t most = bulk ? BULK_READ : SMALL_READ, want = max < most ? max : most;
	ssize_t n;

	do
		n = bulk ? wire_read_bulk(w, into, want) : wire_read_small(w, into, want);
	while (n < 0 && errno == EINTR);
	*ret_full = n > 0 && (size_t)n == want;
	w->bulk = n >= SMALL_READ;
	return n;
}

/* Nothing more will come.  The event goes: it would fire for ever. */
static ssize_t wire_read_end(struct wire *w, int error)
{
	w->ended = true;
	w->reading = w->watching = false;
	event_del(&w->read_event);
	/* A write that met the reset has taken the error away from the reader. */
	if (!error && w->break_error != EPIPE)
		error = w->break_error;
	w->read_error = error;
	errno = error;
	return error ? -1 : 0;
}

ssize_t wire_read(struct wire *w, struct evbuffer *into, size_t max)
{
	size_t total = 0;
	bool full = max > 0;
	ssize_t n = -1;

	if (w->read_error)
		return wire_read_end(w, w->read_error);
	max = pace_most(w->pace, max);
	errno = EAGAIN;
	while (full && total < max) {
		n = wire_read_once(w, into, max - total, &full);
		if (n > 0)
			total += (size_t)n;
	}
	if (n < 0 && errno != EAGAIN)
		w->read_error = errno;
	pace_counts(w->pace, (ssize_t)total);
	if (total > 0)
		return (ssize_t)total;
	if (n < 0 && !w->read_error)
		return -1;
	return wire_read_end(w, w->read_error);
}

ssize_t wire_read_bytes(struct wire *w, char *into, size_t size)
{
	ssize_t n;

	if (w->read_error)
		return wire_read_end(w, w->read_error);
	do
		n = recv(w->fd, into, size, 0);
	while (n < 0 && errno == EINTR);
	w->bulk = n >= SMALL_READ;
	pace_counts(w->pace, n);
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return n;
	return wire_read_end(w, n < 0 ? errno : 0);
}

size_t wire_peek(struct wire *w, char *into, size_t size)
{
	ssize_t n;

	if (w->read_error)
		return 0;
	do
		n = recv(w->fd, into, size, MSG_PEEK);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

bool wire_is_ready(const struct wire *w)
{
	return w->read_event.ev_evcallback.evcb_flags & EVLIST_ACTIVE;
}

static bool wire_gone(const struct wire *w)
{
	struct pollfd p = {.fd = w->fd, .events = w->ended ? 0 : POLLRDHUP};

	/* poll(2) does not take the error away, as SO_ERROR or a read would. */
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLRDHUP));
}

static void wire_on_read(evutil_socket_t fd, short what, void *arg);

/*
 * A close is watched for with the ordinary read event, left on: it stays silent as long as
 * the peer does.  When unread bytes make it fire, it becomes a timer.  EV_CLOSED would not do:
 * libevent 2.1.12 reports EPOLLERR as reading and writing only, so a reset would make epoll
 * return at once, for ever, without an event to run.
 */
static void wire_watch(struct wire *w)
{
	static const struct timeval pause = {.tv_usec = WATCH_US};

	if (!wire_gone(w)) {
		event_del(&w->read_event);
		evtimer_assign(&w->read_event, w->base, wire_on_read, w);
		event_add(&w->read_event, &pause);
		return;
	}
	w->watching = false;
	event_del(&w->read_event);
	if (w->handler->on_hangup)
		w->handler->on_hangup(w->arg);
}

static void wire_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;

	(void)fd;
	(void)what;
	if (!w->reading)
		wire_watch(w);
	else if (pace_waits(w->pace))
		event_del(&w->read_event);
	else
		w->handler->on_readable(w->arg);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void wire_drop_out(struct wire *w)
{
	if (w->out)
		evbuffer_free(w->out);
	w->out = NULL;
	text_done(&w->front);
	w->front_sent = 0;
	if (wire_is_piped(w)) {
		w->pipe.held = 0;
		pipe_discard(w->pipes, &w->pipe);
	}
}

/* The write event, which has no more use, is made active by hand to report from the loop. */
static void wire_break(struct wire *w, int error)
{
	if (w->broken)
		return;
	w->broken = true;
	w->break_error = error;
	wire_drop_out(w);
	event_del(&w->write_event);
	event_active(&w->write_event, EV_TIMEOUT, 1);
}

/* What was sent goes off the front and the buffer. */
static void wire_drain(struct wire *w, size_t sent)
{
	size_t front = w->front.len - w->front_sent;

	if (sent < front) {
		w->front_sent += sent;
		return;
	}
	if (front > 0) {
		text_done(&w->front);
		w->front_sent = 0;
	}
	if (sent > front)
		evbuffer_drain(w->out, sent - front);
}

/* What is to be sent next, in WRITE_VECS pieces at most.  Returns how many there are. */
static size_t wire_collect(struct wire *w, struct iovec *vecs)
{
	size_t count = 0;

	if (w->front.len > w->front_sent) {
		vecs[0].iov_base = w->front.ptr + w->front_sent;
		vecs[0].iov_len = w->front.len - w->front_sent;
		count = 1;
	}
	if (w->out) {
		int room = WRITE_VECS - (int)count;
		int more = evbuffer_peek(w->out, WRITE_TURN, NULL, vecs + count, room);

		count += (size_t)(more < room ? more : room);
	}
	return count;
}

/* One system call.  Returns 0 when more could be sent at once, else an errno. */
static int wire_write_once(struct wire *w, size_t *sent)
{
	struct iovec vecs[WRITE_VECS];
	struct msghdr msg = {.msg_iov = vecs, .msg_iovlen = wire_collect(w, vecs)};
	size_t asked = 0;
	ssize_t n;

	for (size_t i = 0; i < msg.msg_iovlen; i++)
		asked += vecs[i].iov_len;
	do
		n = msg.msg_iovlen == 1 ? send(w->fd, vecs[0].iov_base, asked, MSG_NOSIGNAL)
					: sendmsg(w->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	wire_drain(w, (size_t)n);
	*sent += (size_t)n;
	return (size_t)n < asked ? EAGAIN : 0;
}

/* Likewise, out of the pipe. */
static int wire_write_piped(struct wire *w, size_t *sent)
{
	ssize_t n;

	do
		n = splice(w->pipe.read_fd, NULL, w->fd, NULL, w->pipe.held,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? errno : EIO;
	w->pipe.held -= (size_t)n;
	*sent += (size_t)n;
	if (w->pipe.held == 0)
		pipe_give(w->pipes, &w->pipe);
	return 0;
}

/* The bytes that lie in our own memory. */
static size_t wire_unsent(const struct wire *w)
{
	return w->front.len - w->front_sent + (w->out ? evbuffer_get_length(w->out) : 0);
}

/* Send for one turn.  Returns whether anything was sent; the rest is left to the loop. */
static bool wire_send(struct wire *w)
{
	size_t sent = 0;
	int error = 0;

	while (!error && sent < WRITE_TURN && wire_unsent(w) > 0)
		error = wire_write_once(w, &sent);
	while (!error && sent < WRITE_TURN && wire_is_piped(w))
		error = wire_write_piped(w, &sent);
	if (error && error != EAGAIN) {
		wire_break(w, error);
		return sent > 0;
	}
	if (wire_pending(w) == 0) {
		wire_drop_out(w);
		event_del(&w->write_event);
	} else if (event_add(&w->write_event, NULL) != 0) {
		wire_break(w, ENOMEM);
	}
	return sent > 0;
}

static void wire_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;

	(void)fd;
	(void)what;
	if (w->broken)
		w->handler->on_broken(w->break_error, w->arg);
	else if (wire_pending(w) > 0 && wire_send(w) && !w->broken)
		w->handler->on_written(w->arg);
}

static int wire_need_out(struct wire *w)
{
	if (!w->out)
		w->out = evbuffer_new();
	return w->out ? 0 : -1;
}

/* Whether the bytes were put behind the front, which is alone and stays small. */
static bool wire_join(struct wire *w, const void *bytes, size_t len)
{
	if (!bytes || w->front.len == 0 || w->out || w->front.len + len > JOIN_MAX)
		return false;
	text_add(&w->front, bytes, len);
	if (!w->front.failed)
		return true;
	w->front.failed = false;
	return false;
}

/* Likewise, out of a buffer. */
static bool wire_join_from(struct wire *w, struct evbuffer *from, size_t len)
{
	if (w->front.len == 0 || len > JOIN_MAX ||
	    !wire_join(w, evbuffer_pullup(from, (ev_ssize_t)len), len))
		return false;
	evbuffer_drain(from, len);
	return true;
}

int wire_write(struct wire *w, const void *bytes, size_t len)
{
	if (w->broken || len == 0)
		return 0;
	if (wire_join(w, bytes, len))
		return 0;
	if (wire_need_out(w) != 0)
		return -1;
	return evbuffer_add(w->out, bytes, len) == 0 ? 0 : -1;
}

int wire_write_text(struct wire *w, struct text *text)
{
	bool failed = text->failed;

	if (!failed && wire_unsent(w) > 0)
		failed = wire_write(w, text->ptr, text->len) != 0;
	else if (!failed && !w->broken && text->len > 0) {
		w->front = *text;
		w->front_sent = 0;
		*text = (struct text){.ptr = NULL};
		return 0;
	}
	text_clear(text);
	return failed ? -1 : 0;
}

int wire_write_buffer(struct wire *w, struct evbuffer *from)
{
	if (w->broken)
		return evbuffer_drain(from, evbuffer_get_length(from));
	if (evbuffer_get_length(from) == 0 || wire_join_from(w, from, evbuffer_get_length(from)))
		return 0;
	if (wire_need_out(w) != 0)
		return -1;
	return evbuffer_add_buffer(w->out, from) == 0 ? 0 : -1;
}

int wire_write_from(struct wire *w, struct evbuffer *from, size_t len)
{
	size_t before;

	if (len == evbuffer_get_length(from))
		return wire_write_buffer(w, from);
	if (w->broken)
		return evbuffer_drain(from, len);
	if (len == 0 || wire_join_from(w, from, len))
		return 0;
	if (wire_need_out(w) != 0)
		return -1;
	before = evbuffer_get_length(w->out);
	/* Without memory it drops bytes and returns their count all the same (2.1.12). */
	if (evbuffer_remove_buffer(from, w->out, len) != (int)len)
		return -1;
	return evbuffer_get_length(w->out) == before + len ? 0 : -1;
}

void wire_flush(struct wire *w)
{
	/* While the event is waiting the socket is full: trying again would be for nothing. */
	if (wire_pending(w) > 0 && !event_pending(&w->write_event, EV_WRITE, NULL))
		wire_send(w);
}

int wire_take_pending(struct wire *w, struct evbuffer *into)
{
	if (evbuffer_add(into, w->front.ptr ? w->front.ptr + w->front_sent : "",
		w->front.len - w->front_sent) != 0)
		return -1;
	text_done(&w->front);
	w->front_sent = 0;
	return w->out ? evbuffer_add_buffer(into, w->out) : 0;
}

size_t wire_pending(const struct wire *w)
{
	return wire_unsent(w) + w->pipe.held;
}

size_t wire_unacked(const struct wire *w)
{
	int bytes = 0;

	return w->base && ioctl(w->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

bool wire_is_piped(const struct wire *w)
{
	return w->pipe.held > 0;
}

bool wire_is_bulky(const struct wire *w)
{
	return w->bulk;
}

size_t wire_splice(struct wire *w, struct wire *from, struct pipe_pool *pipes, size_t max)
{
	ssize_t n;

	if (w->broken || !w->base || wire_unsent(w) > 0 || from->read_error ||
	    pace_waits(from->pace))
		return 0;
	if (!wire_is_piped(w) && pipe_lease(pipes, &w->pipe) != 0)
		return 0;
	w->pipes = pipes;
	if (max > PIPE_HOLDS_MOST - w->pipe.held)
		max = PIPE_HOLDS_MOST - w->pipe.held;
	max = pace_most(from->pace, max);
	n = splice(from->fd, NULL, w->pipe.write_fd, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0)
		w->pipe.held += (size_t)n;
	pace_counts(from->pace, n);
	from->bulk = w->pipe.held >= SMALL_READ;
	/* Told once, like all resets: without this wire_read would find a clean end. */
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EINVAL && errno != ENOSYS)
		from->read_error = errno;
	if (!wire_is_piped(w))
		pipe_give(pipes, &w->pipe);
	return n > 0 ? (size_t)n : 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void wire_assign_read(struct wire *w)
{
	event_assign(&w->read_event, w->base, w->fd, EV_READ | EV_PERSIST, wire_on_read, w);
}

void wire_init(
    struct wire *w, struct event_base *base, int fd, const struct wire_handler *handler, void *arg)
{
	*w = (struct wire){.fd = fd,
	    .base = base,
	    .handler = handler,
	    .arg = arg,
	    .pipe = {.read_fd = -1, .write_fd = -1}};
	wire_assign_read(w);
	event_assign(&w->write_event, base, fd, EV_WRITE | EV_PERSIST, wire_on_write, w);
}

void wire_done(struct wire *w)
{
	if (!w->base)
		return;
	event_del(&w->read_event);
	event_del(&w->write_event);
	wire_drop_out(w);
	pace_free(w->pace);
	w->pace = NULL;
	w->base = NULL;
	w->reading = w->watching = false;
	w->broken = true;
}

static void wire_poll_reads(struct wire *w)
{
	if (event_get_fd(&w->read_event) != w->fd) { /* it is a timer */
		event_del(&w->read_event);
		wire_assign_read(w);
	}
	if (!event_pending(&w->read_event, EV_READ, NULL) && event_add(&w->read_event, NULL) != 0)
		wire_break(w, ENOMEM);
}

static void wire_on_go(void *arg)
{
	struct wire *w = arg;

	if (w->reading)
		wire_poll_reads(w);
}

void wire_unpace(struct wire *w)
{
	if (!w->pace)
		return;
	pace_free(w->pace);
	w->pace = NULL;
	wire_on_go(w);
}

int wire_pace(struct wire *w, struct allowance allowance)
{
	wire_unpace(w);
	if (!allowance.bucket || !w->base)
		return 0;
	w->pace = pace_new(w->base, allowance, wire_on_go, w);
	return w->pace ? 0 : -1;
}

void wire_read_on(struct wire *w)
{
	if (w->reading || !w->base)
		return;
	w->reading = true;
	w->watching = false;
	wire_poll_reads(w);
}

void wire_read_off(struct wire *w, bool watch)
{
	if (!w->base || (!w->reading && w->watching == watch))
		return;
	w->reading = false;
	w->watching = watch;
	if (watch) {
		wire_poll_reads(w);
		return;
	}
	event_del(&w->read_event);
}

void wire_reset(int fd)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	/* Should the kernel refuse the first, closing will do it. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)connect(fd, &nobody, sizeof(nobody));
}
