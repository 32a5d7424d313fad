#include "net/deadline.h"

#include <event2/event.h>
#include <time.h>

uint64_t deadline_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t deadline_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void deadline_arm(struct deadline *d, uint64_t in_ms)
{
	struct timeval tv = {(time_t)(in_ms / 1000), (suseconds_t)(in_ms % 1000) * 1000};

	/* Fails only when the heap of timers cannot grow; then there is no memory for anything. */
	if (event_add(&d->timer, &tv) == 0)
		d->armed_ms = d->due_ms;
}

static void deadline_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct deadline *d = arg;
	uint64_t now = deadline_now_ms();

	(void)fd;
	(void)what;
	d->armed_ms = 0;
	if (d->due_ms == 0)
		return;
	if (d->due_ms > now) {
		deadline_arm(d, d->due_ms - now);
		return;
	}
	d->due_ms = 0;
	d->fire(d->arg);
}

void deadline_init(struct deadline *d, struct event_base *base, deadline_fn *fire, void *arg)
{
	evtimer_assign(&d->timer, base, deadline_on_timer, d);
	d->due_ms = 0;
	d->armed_ms = 0;
	d->fire = fire;
	d->arg = arg;
}

void deadline_set_until(struct deadline *d, int seconds, uint64_t end_ms)
{
	uint64_t now = deadline_now_ms();

	d->due_ms = now + (uint64_t)seconds * 1000;
	if (end_ms != 0 && end_ms < d->due_ms)
		d->due_ms = end_ms > now ? end_ms : now;
	if (d->armed_ms == 0 || d->armed_ms > d->due_ms)
		deadline_arm(d, d->due_ms - now);
}

void deadline_set(struct deadline *d, int seconds)
{
	deadline_set_until(d, seconds, 0);
}

void deadline_soon(struct deadline *d)
{
	d->due_ms = 1; /* long past */
	event_active(&d->timer, EV_TIMEOUT, 1);
}

void deadline_stop(struct deadline *d)
{
	d->due_ms = 0;
}

void deadline_done(struct deadline *d)
{
	event_del(&d->timer);
	d->due_ms = 0;
	d->armed_ms = 0;
}
