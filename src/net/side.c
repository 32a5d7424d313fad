#include "net/side.h"

#include <event2/event.h>

enum { SIDE_LEVEL = EV_READ | EV_PERSIST, SIDE_ALL = EV_READ | EV_WRITE | EV_CLOSED | EV_PERSIST };

static void side_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct side *side = arg;

	(void)fd;
	side->readable |= (what & (EV_READ | EV_CLOSED)) != 0;
	side->writable |= (what & EV_WRITE) != 0;
	/* With an error libevent 2.1.12 tells of reading and writing, and of nothing else. */
	side->ready(side, what == (EV_READ | EV_WRITE | EV_ET) || what == (EV_READ | EV_WRITE));
}

static void side_assign(struct side *side, struct event_base *base, short what)
{
	event_assign(&side->event, base, side->fd, what, side_on_event, side);
}

void side_init(struct side *side, struct event_base *base, int fd, side_ready_fn *ready, void *arg)
{
	*side = (struct side){.fd = fd, .writable = true, .ready = ready, .arg = arg};
	side_assign(side, base, SIDE_LEVEL);
}

int side_start(struct side *side)
{
	return event_add(&side->event, NULL);
}

int side_edge(struct side *side)
{
	if (side->edged)
		return 0;
	side->edged = true;
	event_del(&side->event);
	side_assign(side, event_get_base(&side->event), SIDE_ALL | EV_ET);
	return event_add(&side->event, NULL);
}

/*
 * The descriptor's number may be used again before the next poll.  libevent 2.1.12 then merges our
 * deletion with what is added for the new socket, and lets that be edge-triggered too (evmap.c,
 * event_changelist_del_ keeps EV_ET): deleting once more without the flag takes it back.  None of
 * this is a system call.
 */
void side_leave(struct side *side)
{
	event_del(&side->event);
	if (!side->edged)
		return;
	side_assign(side, event_get_base(&side->event), SIDE_ALL);
	if (event_add(&side->event, NULL) == 0)
		event_del(&side->event);
}
