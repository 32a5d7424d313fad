#include "net/dial.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/recycle.h"
#include "net/addr.h"
#include "net/source.h"

struct dial {
	struct event event; /* writable: connected or failed */
	int fd;             /* -1: could not even begin, error says why */
	int error;
	dial_done_fn *done;
	void *arg;
};

/* Begin to connect.  Returns the socket, or -1 with errno. */
static int dial_connect(const struct addr *to, const struct source *source)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(to, &sa);
	int fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int on = 1;
	int error;

	if (fd < 0)
		return -1;
	/* Only speed depends on it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* After EINTR the connect goes on by itself, as with EINPROGRESS. */
	if (source_bind(source, to->family, fd) < 0 ||
	    (connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS &&
		errno != EINTR)) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* Why the connection failed, 0 when it did not. */
static int dial_outcome(const struct dial *d)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (d->fd < 0)
		return d->error;
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

static void dial_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	dial_done_fn *done = d->done;
	void *done_arg = d->arg;
	/* libevent 2.1.12 tells of an error as readable and writable. */
	int error = what == EV_WRITE ? 0 : dial_outcome(d);
	int connected = d->fd;

	(void)fd;
	if (error && connected >= 0) {
		close(connected);
		connected = -1;
	}
	recycle_free(d);
	done(connected, error, done_arg);
}

/* Whether it is this machine that cannot, whatever the address. */
static bool dial_is_lack(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

struct dial *dial_start(struct event_base *base, const struct addr *to, const struct source *source,
    dial_done_fn *done, void *arg)
{
	struct dial *d = recycle_zero(sizeof(*d));
	int error;

	if (!d)
		return NULL;
	d->done = done;
	d->arg = arg;
	d->fd = dial_connect(to, source);
	error = d->fd < 0 ? errno : 0;
	d->error = error;
	if (dial_is_lack(error)) {
		recycle_free(d);
		errno = error;
		return NULL;
	}
	if (d->fd < 0) {
		event_assign(&d->event, base, -1, 0, dial_on_event, d);
		event_active(&d->event, EV_TIMEOUT, 1);
		return d;
	}
	event_assign(&d->event, base, d->fd, EV_READ | EV_WRITE, dial_on_event, d);
	if (event_add(&d->event, NULL) < 0) {
		close(d->fd);
		recycle_free(d);
		errno = ENOMEM;
		return NULL;
	}
	return d;
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	event_del(&d->event);
	if (d->fd >= 0)
		close(d->fd);
	recycle_free(d);
}
