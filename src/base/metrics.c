#include "base/metrics.h"

#include <assert.h>

static const char *const metrics_names[METRIC_COUNT] = {
    [METRIC_CLIENTS] = "penstock_clients",
    [METRIC_CLIENTS_TOTAL] = "penstock_clients_total",
    [METRIC_EXCHANGES] = "penstock_exchanges",
    [METRIC_EXCHANGES_TOTAL] = "penstock_exchanges_total",
    [METRIC_FAILURES_TOTAL] = "penstock_failures_total",
    [METRIC_TUNNELS] = "penstock_tunnels",
    [METRIC_TUNNELS_TOTAL] = "penstock_tunnels_total",
    [METRIC_ORIGINS] = "penstock_origins",
    [METRIC_ORIGINS_IDLE] = "penstock_origins_idle",
    [METRIC_ORIGINS_TOTAL] = "penstock_origins_total",
    [METRIC_ORIGINS_REUSED] = "penstock_origins_reused_total",
    [METRIC_RETRIES_TOTAL] = "penstock_retries_total",
    [METRIC_LOOKUPS] = "penstock_lookups",
    [METRIC_LOOKUPS_WAITING] = "penstock_lookups_waiting",
    [METRIC_LOOKUPS_TOTAL] = "penstock_lookups_total",
    [METRIC_LOOKUPS_CACHED] = "penstock_lookups_cached_total",
    [METRIC_LOOKUPS_REFUSED] = "penstock_lookups_refused_total",
    [METRIC_ACL_DENIED_TOTAL] = "penstock_acl_denied_total",
    [METRIC_BLOCKLIST_DENIED] = "penstock_blocklist_denied_total",
    [METRIC_AUTH_CHECKS] = "penstock_auth_checks_total",
    [METRIC_AUTH_FAILURES] = "penstock_auth_failures_total",
    [METRIC_AUTH_LIMITED] = "penstock_auth_limited_total",
    [METRIC_LIMIT_CLIENTS] = "penstock_limit_clients_total",
    [METRIC_LIMIT_CLIENT_CONNECTIONS] = "penstock_limit_client_connections_total",
    [METRIC_LIMIT_CLIENT_CONNECTS] = "penstock_limit_client_connects_total",
    [METRIC_LIMIT_CLIENT_REQUESTS] = "penstock_limit_client_requests_total",
    [METRIC_LIMIT_CLIENT_TUNNELS] = "penstock_limit_client_tunnels_total",
    [METRIC_LIMIT_ORIGIN_EXCHANGES] = "penstock_limit_origin_exchanges_total",
    [METRIC_BEATS] = "penstock_beats_total",
    [METRIC_BYTES_UP_TOTAL] = "penstock_bytes_up_total",
    [METRIC_BYTES_DOWN_TOTAL] = "penstock_bytes_down_total",
};

uint64_t metrics_sum(const struct metrics *const *sets, size_t count, enum metric which)
{
	uint64_t sum = 0;

	/* A gauge may be below zero in one set: unsigned wrapping makes the sum right. */
	for (size_t i = 0; i < count; i++)
		sum += atomic_load_explicit(&sets[i]->values[which], memory_order_relaxed);
	return sum;
}

const char *metrics_name(enum metric which)
{
	assert(which < METRIC_COUNT);
	return metrics_names[which];
}
