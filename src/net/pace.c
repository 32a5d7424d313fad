#include "net/pace.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/recycle.h"
#include "net/deadline.h"

enum { PACE_PIECES = 32, PACE_LEAST = 1024 };

/* What may come at once: also what a loop that is late can make up for. */
#define PACE_DEPTH (BUCKET_SECOND / 8)

struct pace {
	struct allowance allowance;
	size_t piece;
	struct event timer;
	bool waiting;
	size_t granted; /* what may still be read without asking the bucket again */
	pace_go_fn *go;
	void *arg;
};

static void pace_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pace *p = arg;

	(void)fd;
	(void)what;
	p->waiting = false;
	p->granted = p->piece;
	p->go(p->arg);
}

struct pace *pace_new(
    struct event_base *base, struct allowance allowance, pace_go_fn *go, void *arg)
{
	struct pace *p = recycle_zero(sizeof(*p));

	if (!p)
		return NULL;
	p->allowance = allowance;
	p->piece = allowance.rate / PACE_PIECES;
	if (p->piece < PACE_LEAST)
		p->piece = PACE_LEAST;
	p->go = go;
	p->arg = arg;
	evtimer_assign(&p->timer, base, pace_on_timer, p);
	return p;
}

void pace_free(struct pace *p)
{
	if (!p)
		return;
	event_del(&p->timer);
	recycle_free(p);
}

bool pace_must_wait(struct pace *p)
{
	struct timeval wait;
	uint64_t debt, us;

	if (p->waiting || p->granted > 0)
		return p->waiting;
	debt = bucket_debt(p->allowance.bucket, PACE_DEPTH, deadline_now_ns());
	us = debt / 1000 + 1;
	wait = (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
	if (debt > 0 && event_add(&p->timer, &wait) == 0)
		p->waiting = true;
	else /* in time, or without memory for a timer */
		p->granted = p->piece;
	return p->waiting;
}

size_t pace_piece(const struct pace *p, size_t want)
{
	size_t most = p->granted > 0 ? p->granted : p->piece;

	return want < most ? want : most;
}

void pace_count(struct pace *p, ssize_t got)
{
	const struct allowance *a = &p->allowance;

	p->granted -= (size_t)got < p->granted ? (size_t)got : p->granted;
	bucket_spend(a->bucket, bucket_cost((uint64_t)got, a->rate), deadline_now_ns());
}
