#include "net/wire.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "net/pace.h"

enum {
	SMALL_READ = 16 * 1024,     /* read to the stack and copied: idle buffers stay small */
	BULK_READ = 64 * 1024 - 64, /* with libevent's chain header a chain of 64 KiB */
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

/* The write event, which has no more use, is made active by hand to report from the loop. */
static void wire_break(struct wire *w, int error)
{
	if (w->broken)
		return;
	w->broken = true;
	w->break_error = error;
	outflow_drop(&w->outflow);
	event_del(&w->write_event);
	event_active(&w->write_event, EV_TIMEOUT, 1);
}

/* Send for one turn.  Returns whether anything was sent; the rest is left to the loop. */
static bool wire_send(struct wire *w)
{
	size_t sent = 0;
	int error = outflow_send(&w->outflow, w->fd, &sent);

	if (error && error != EAGAIN) {
		wire_break(w, error);
		return sent > 0;
	}
	if (wire_pending(w) == 0) {
		outflow_drop(&w->outflow);
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

int wire_write(struct wire *w, const void *bytes, size_t len)
{
	return w->broken ? 0 : outflow_add(&w->outflow, bytes, len);
}

int wire_write_text(struct wire *w, struct text *text)
{
	bool failed = text->failed;

	if (!w->broken)
		return outflow_add_text(&w->outflow, text);
	text_clear(text);
	return failed ? -1 : 0;
}

int wire_write_buffer(struct wire *w, struct evbuffer *from)
{
	return wire_write_from(w, from, evbuffer_get_length(from));
}

int wire_write_from(struct wire *w, struct evbuffer *from, size_t len)
{
	return w->broken ? evbuffer_drain(from, len) : outflow_add_from(&w->outflow, from, len);
}

void wire_flush(struct wire *w)
{
	/* While the event is waiting the socket is full: trying again would be for nothing. */
	if (wire_pending(w) > 0 && !event_pending(&w->write_event, EV_WRITE, NULL))
		wire_send(w);
}

int wire_take_pending(struct wire *w, struct evbuffer *into)
{
	return outflow_take(&w->outflow, into);
}

size_t wire_pending(const struct wire *w)
{
	return outflow_size(&w->outflow);
}

size_t wire_unacked(const struct wire *w)
{
	int bytes = 0;

	return w->base && ioctl(w->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

bool wire_is_piped(const struct wire *w)
{
	return outflow_is_piped(&w->outflow);
}

size_t wire_splice(struct wire *w, struct wire *from, struct pipe_pool *pipes, size_t max)
{
	ssize_t n;

	if (w->broken || !w->base || outflow_unsent(&w->outflow) > 0 || from->read_error ||
	    pace_waits(from->pace))
		return 0;
	n = outflow_fill(&w->outflow, from->fd, pipes, pace_most(from->pace, max));
	pace_counts(from->pace, n);
	/* Told once, like all resets: without this wire_read would find a clean end. */
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EINVAL && errno != ENOSYS)
		from->read_error = errno;
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
	*w = (struct wire){
	    .fd = fd, .base = base, .handler = handler, .arg = arg, .outflow = OUTFLOW_NOTHING};
	wire_assign_read(w);
	event_assign(&w->write_event, base, fd, EV_WRITE | EV_PERSIST, wire_on_write, w);
}

void wire_done(struct wire *w)
{
	if (!w->base)
		return;
	event_del(&w->read_event);
	event_del(&w->write_event);
	outflow_drop(&w->outflow);
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
