/*
 * leisure -- work of seconds, done in a thread of its own while others serve requests.
 *
 * The thread works in short bursts, with long pauses when the process has something else to do: a
 * second's work then takes forty.  The pauses are what counts.  To the kernel (Linux 6.18) a CPU
 * that runs such a thread has something to do, so that it does not fetch the threads that wait for
 * another CPU until the next tick; without pauses one of 100 requests waited for milliseconds.
 *
 * It steps back behind other programs, too, but not behind all of them: as SCHED_IDLE, on a machine
 * whose CPUs others take whole, half a second's work took minutes, and no thread comes back from
 * there without a privilege.
 */
#ifndef BASE_LEISURE_H
#define BASE_LEISURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* One of a thread.  All zero but stop, borrowed, which may be NULL. */
struct leisure {
	const atomic_bool *stop;
	unsigned steps;
	uint64_t since_ns;            /* a burst's beginning */
	uint64_t asked_ns, others_ns; /* when it last saw how long other threads have run */
};

/*
 * To be called between steps of a microsecond or less.  May pause.  Returns whether to go on: false
 * when *stop has turned true.  NULL: all the time that there is, without an end.
 */
MUST_USE bool leisure_step(struct leisure *l);
/* The same between steps that are longer, some ten of them. */
MUST_USE bool leisure_stride(struct leisure *l);

#endif
