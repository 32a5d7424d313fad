/*
 * service -- what the supervisor is told of us: ready, reloading, stopping, how much there is to
 * do, and that every worker's loop goes round.
 *
 * Kept by the daemon's main thread, which asks it when its next turn is.  Without a supervisor
 * all of it does nothing.  Times are of CLOCK_MONOTONIC, in microseconds.
 */
#ifndef PROXY_SERVICE_H
#define PROXY_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/supervisor.h"

struct metrics;

#define SERVICE_WORKERS_MAX 256
#define SERVICE_STATUS_MAX 128

struct service {
	bool watched;         /* somebody wants to be told */
	uint64_t watchdog_us; /* so long without a word, and we are given up; 0: never */
	uint64_t alive_due_us, status_due_us;
	uint64_t
	    beats[SERVICE_WORKERS_MAX];  /* of each worker, when we last said that all is well */
	bool silent;                     /* a worker is stuck, and that was logged */
	char status[SERVICE_STATUS_MAX]; /* that was sent last */
};

void service_init(struct service *s);

/* METRIC_BEATS of each worker must go up within every such time; 0: it need not. */
uint64_t service_beat_us(const struct service *s);

/* Say it, with the numbers of connections and tunnels in all workers. */
void service_tell(
    struct service *s, enum supervisor_news news, const struct metrics *const *sets, size_t count);

/*
 * Do what is due: a new status, and SUPERVISOR_ALIVE when each set's METRIC_BEATS went up since
 * the last time.  A set that is NULL is of a worker that has ended.
 */
void service_turn(
    struct service *s, uint64_t now_us, const struct metrics *const *sets, size_t count);

/* For poll(2): milliseconds until the next turn, -1 when there will be none. */
int service_wait_ms(const struct service *s, uint64_t now_us);

uint64_t service_now_us(void);

#endif
