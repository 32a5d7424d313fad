/*
 * metrics -- counters and gauges, one set per worker, summed when read.
 *
 * A set is written by one thread and may be read by any: relaxed atomics, no
 * lock.  Sets are made before and freed after the threads run.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum metric {
	METRIC_CLIENTS,          /* gauge: client connections open */
	METRIC_CLIENTS_TOTAL,    /* client connections accepted */
	METRIC_EXCHANGES,        /* gauge: exchanges under way, tunnels included */
	METRIC_EXCHANGES_TOTAL,  /* exchanges begun */
	METRIC_FAILURES_TOTAL,   /* exchanges that ended with a failure */
	METRIC_TUNNELS,          /* gauge: tunnels open */
	METRIC_TUNNELS_TOTAL,    /* tunnels opened */
	METRIC_ORIGINS,          /* gauge: connections to origins, idle ones included */
	METRIC_ORIGINS_IDLE,     /* gauge: of these, idle in the pool */
	METRIC_ORIGINS_TOTAL,    /* connections to origins opened */
	METRIC_ORIGINS_REUSED,   /* leases answered from the pool */
	METRIC_RETRIES_TOTAL,    /* requests sent once more on a fresh connection */
	METRIC_LOOKUPS,          /* gauge: name lookups under way */
	METRIC_LOOKUPS_WAITING,  /* gauge: name lookups that wait for their turn */
	METRIC_LOOKUPS_TOTAL,    /* name lookups sent to a server */
	METRIC_LOOKUPS_CACHED,   /* lookups answered from the cache */
	METRIC_LOOKUPS_REFUSED,  /* lookups refused because too many wait */
	METRIC_ACL_DENIED_TOTAL, /* requests denied by an access rule */
	METRIC_BLOCKLIST_DENIED, /* by a blocklist; blocklist_denied says by which */
	METRIC_AUTH_CHECKS,      /* passwords given to a checker */
	METRIC_AUTH_FAILURES,    /* of these, wrong ones */
	METRIC_AUTH_LIMITED,     /* requests of clients that had failed too often */
	METRIC_LIMIT_CLIENTS,    /* connections refused by limits.clients; below likewise */
	METRIC_LIMIT_CLIENT_CONNECTIONS,
	METRIC_LIMIT_CLIENT_CONNECTS,
	METRIC_LIMIT_CLIENT_REQUESTS,
	METRIC_LIMIT_CLIENT_TUNNELS,
	METRIC_LIMIT_ORIGIN_EXCHANGES,
	METRIC_BEATS,            /* a worker's loop has come round to its heartbeat */
	METRIC_BYTES_UP_TOTAL,   /* body and tunnel bytes, client to origin */
	METRIC_BYTES_DOWN_TOTAL, /* body and tunnel bytes, origin to client */
	METRIC_COUNT
};

struct metrics {
	_Atomic uint64_t values[METRIC_COUNT];
};

/* Only by the thread that the set belongs to. */
static inline void metrics_add(struct metrics *m, enum metric which, uint64_t n)
{
	uint64_t old = atomic_load_explicit(&m->values[which], memory_order_relaxed);

	atomic_store_explicit(&m->values[which], old + n, memory_order_relaxed);
}

static inline void metrics_sub(struct metrics *m, enum metric which, uint64_t n)
{
	metrics_add(m, which, (uint64_t)0 - n);
}

/* The sum of one metric over `count` sets. */
uint64_t metrics_sum(const struct metrics *const *sets, size_t count, enum metric which);

/* The metric's name, "penstock_clients_total". */
const char *metrics_name(enum metric which);

#endif
