/*
 * side -- one end of a tunnel: a socket, and what the loop last said of it.
 *
 * It begins level-triggered and for reading only: a small piece needs no second read to see
 * that there is no more.  When it came to its end, or when bytes had to wait, it is made
 * edge-triggered for good, one event for everything, never changed: no epoll_ctl as bytes
 * flow, no spinning whatever is left unread, and a reset is an edge too.  The two flags
 * remember the edges until EAGAIN takes them back.  Embedded in its owner.
 */
#ifndef NET_SIDE_H
#define NET_SIDE_H

#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/attr.h"

struct side;

/* It can be read or written again, or came to its end; or, perhaps, was reset. */
typedef void side_ready_fn(struct side *side, bool maybe_reset);

struct side {
	int fd;
	bool readable, writable; /* until EAGAIN, which is for the owner to note */
	bool edged;
	struct event event;
	side_ready_fn *ready;
	void *arg; /* the owner's */
};

void side_init(struct side *side, struct event_base *base, int fd, side_ready_fn *ready, void *arg);

/* Both: -1 when out of memory. */
MUST_USE int side_start(struct side *side);
MUST_USE int side_edge(struct side *side); /* what is ready already is told again */

/* Before the descriptor is closed. */
void side_leave(struct side *side);

#endif
