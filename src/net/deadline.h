/*
 * deadline -- a timer that is moved often and fires seldom.
 *
 * Moving it later costs no call into libevent: the timer is left where it is and,
 * when it goes off too early, set again for the rest.  Embedded in its owner.
 */
#ifndef NET_DEADLINE_H
#define NET_DEADLINE_H

#include <event2/event_struct.h>
#include <stdint.h>

typedef void deadline_fn(void *arg);

struct deadline {
	struct event timer;
	uint64_t due_ms;   /* 0: stopped */
	uint64_t armed_ms; /* when the timer goes off; 0: not armed */
	deadline_fn *fire;
	void *arg;
};

void deadline_init(struct deadline *d, struct event_base *base, deadline_fn *fire, void *arg);

/* Fire once, `seconds` from now, unless it is set anew or stopped before. */
void deadline_set(struct deadline *d, int seconds);
/* Likewise, but not behind end_ms of deadline_now_ms; 0: there is no end. */
void deadline_set_until(struct deadline *d, int seconds, uint64_t end_ms);
void deadline_stop(struct deadline *d);

/* Likewise, on the next turn of the loop: for what must not be done on the stack it was found out
 * on. */
void deadline_soon(struct deadline *d);

/* Off the loop, before the owner is freed. */
void deadline_done(struct deadline *d);

/* Milliseconds on a clock that only goes forward; a few milliseconds coarse. */
uint64_t deadline_now_ms(void);

/* Nanoseconds on the same clock, exact: for what is metered. */
uint64_t deadline_now_ns(void);

#endif
