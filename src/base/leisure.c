#include "base/leisure.h"

#include <stddef.h>
#include <time.h>
#include <unistd.h>

/* A request that meets a burst waits as long at most.  Of 100 us one of 100 requests knew. */
#define BURST_NS UINT64_C(30000)
#define PAUSE_NS 1000000

/* A tenth of what another program gets that wants the CPU all the time. */
#define NICER 10

/* The process has something to do when its other threads run for a 50th of the time. */
#define BUSY_SHARE 50

#define STEPS_PER_STRIDE 16

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Whether others have run since the last call. */
static bool is_busy(struct leisure *l, uint64_t now)
{
	/* In this order, as what is asking takes is nobody else's. */
	uint64_t all = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t others = all - clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int64_t ran = (int64_t)(others - l->others_ns);
	bool busy = ran * BUSY_SHARE >= (int64_t)(now - l->asked_ns);

	l->others_ns = others;
	l->asked_ns = now;
	return busy;
}

/* Of the calling thread, to Linux. */
static void step_back(void)
{
	int ret = nice(NICER); /* where it is not allowed, the work is done all the same */

	(void)ret;
}

bool leisure_stride(struct leisure *l)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	uint64_t now;

	if (l == NULL)
		return true;
	if (l->stop != NULL && atomic_load_explicit(l->stop, memory_order_relaxed))
		return false;
	now = clock_ns(CLOCK_MONOTONIC);
	if (now - l->since_ns < BURST_NS)
		return true;
	if (l->since_ns == 0)
		step_back();
	if (is_busy(l, now))
		nanosleep(&pause, NULL);
	l->since_ns = clock_ns(CLOCK_MONOTONIC);
	return true;
}

bool leisure_step(struct leisure *l)
{
	return l == NULL || ++l->steps % STEPS_PER_STRIDE != 0 || leisure_stride(l);
}
