#include "net/channel.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "net/nameserver.h"

struct channel_socket {
	LIST_ENTRY(channel_socket) link;
	evutil_socket_t fd;
	struct event event;
};

struct channel {
	ares_channel ares;
	int attempts;
	struct event_base *base;
	channel_turn_fn *turn;
	void *arg;
	LIST_HEAD(channel_sockets, channel_socket) sockets;
	struct event tick; /* when c-ares wants to send again, or to give up */
};

void channel_arm(struct channel *c)
{
	struct timeval tv;

	if (!ares_timeout(c->ares, NULL, &tv)) {
		event_del(&c->tick);
		return;
	}
	/* c-ares rounds down to a millisecond: without one more we would spin in the last. */
	tv.tv_usec += 1000;
	if (tv.tv_usec >= 1000000) {
		tv.tv_sec++;
		tv.tv_usec -= 1000000;
	}
	event_add(&c->tick, &tv);
}

static void channel_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct channel *c = arg;

	(void)fd;
	(void)what;
	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	c->turn(c->arg);
}

static void channel_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct channel *c = arg;

	ares_process_fd(
	    c->ares, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	c->turn(c->arg);
}

/*
 * c-ares opened a socket, wants other events of it, or is about to close it.  Where
 * memory is out the socket stays deaf, and timers end what was asked through it.
 */
static void channel_on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct channel *c = arg;
	struct channel_socket *s = LIST_FIRST(&c->sockets);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);

	while (s && s->fd != fd)
		s = LIST_NEXT(s, link);
	if (s) {
		event_del(&s->event);
	} else {
		s = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->fd = fd;
		LIST_INSERT_HEAD(&c->sockets, s, link);
	}
	if (!readable && !writable) {
		LIST_REMOVE(s, link);
		free(s);
		return;
	}
	event_assign(&s->event, c->base, fd, what, channel_on_socket, c);
	event_add(&s->event, NULL);
}

struct channel *channel_open(struct event_base *base, struct nameserver_options options,
    channel_turn_fn *turn, void *arg, int *ret_status)
{
	struct channel *c = calloc(1, sizeof(*c));

	*ret_status = ARES_ENOMEM;
	if (!c)
		return NULL;
	c->base = base;
	c->turn = turn;
	c->arg = arg;
	LIST_INIT(&c->sockets);
	event_assign(&c->tick, base, -1, 0, channel_on_tick, c);
	options.on_socket_state = channel_on_socket_state;
	options.arg = c;
	*ret_status = nameserver_open(&options, &c->ares, &c->attempts);
	if (*ret_status == ARES_SUCCESS)
		return c;
	free(c);
	return NULL;
}

void channel_close(struct channel *c)
{
	ares_destroy(c->ares); /* closes the sockets, through the callback */
	event_del(&c->tick);
	free(c);
}

ares_channel channel_ares(struct channel *c)
{
	return c->ares;
}

int channel_attempts(const struct channel *c)
{
	return c->attempts;
}

bool channel_uses_tcp(const struct channel *c)
{
	const struct channel_socket *s;

	for (s = LIST_FIRST(&c->sockets); s; s = LIST_NEXT(s, link)) {
		int type = 0;
		socklen_t len = sizeof(type);

		if (getsockopt(s->fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM)
			return true;
	}
	return false;
}
