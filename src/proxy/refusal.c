#include "proxy/refusal.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bucket.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "net/addr.h"
#include "net/deadline.h"

/* When somebody else's connection or exchange will end is not known. */
#define REFUSAL_RETRY_S 1

struct refusal {
	struct limit *limit;
	struct metrics *metrics;
	struct event timer; /* of the next line, if one is due */
	struct addr last;
};

static const struct {
	enum fail fail;
	enum metric metric;
} rules[LIMIT_RULES] = {
    [LIMIT_CLIENTS] = {FAIL_OVERLOAD, METRIC_LIMIT_CLIENTS},
    [LIMIT_CLIENT_CONNECTIONS] = {FAIL_CLIENT_CONNECTIONS, METRIC_LIMIT_CLIENT_CONNECTIONS},
    [LIMIT_CLIENT_CONNECTS] = {FAIL_CLIENT_CONNECTS, METRIC_LIMIT_CLIENT_CONNECTS},
    [LIMIT_CLIENT_REQUESTS] = {FAIL_CLIENT_REQUESTS, METRIC_LIMIT_CLIENT_REQUESTS},
    [LIMIT_CLIENT_TUNNELS] = {FAIL_CLIENT_TUNNELS, METRIC_LIMIT_CLIENT_TUNNELS},
    [LIMIT_ORIGIN_EXCHANGES] = {FAIL_ORIGIN_EXCHANGES, METRIC_LIMIT_ORIGIN_EXCHANGES},
};

static void refusal_log(const struct refusal *r, const uint64_t counts[LIMIT_RULES])
{
	struct text line = {0};
	char client[ADDR_TEXT_MAX];

	for (size_t i = 0; i < LIMIT_RULES; i++) {
		if (counts[i] > 0)
			text_add_format(&line, "%s%" PRIu64 " by limits.%s",
			    line.len > 0 ? ", " : "", counts[i], limit_name((enum limit_rule)i));
	}
	if (line.len > 0 && !line.failed) {
		addr_format_ip(&r->last, client);
		log_warning("refused %s; %s was one of the clients", line.ptr, client);
	}
	text_done(&line);
}

/* Now, or when a second has passed since the last line. */
static void refusal_tell(struct refusal *r)
{
	uint64_t counts[LIMIT_RULES];
	uint64_t wait = limit_tell(r->limit, deadline_now_ns(), counts), us = wait / 1000 + 1;
	struct timeval tv = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

	if (wait == 0)
		refusal_log(r, counts);
	else
		event_add(&r->timer, &tv);
}

static void refusal_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	refusal_tell(arg);
}

struct refusal *refusal_new(struct event_base *base, struct limit *limit, struct metrics *metrics)
{
	struct refusal *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->limit = limit;
	r->metrics = metrics;
	evtimer_assign(&r->timer, base, refusal_on_timer, r);
	return r;
}

void refusal_free(struct refusal *r)
{
	uint64_t counts[LIMIT_RULES];

	if (!r)
		return;
	if (event_pending(&r->timer, EV_TIMEOUT, NULL) &&
	    limit_tell(r->limit, deadline_now_ns() + BUCKET_SECOND, counts) == 0)
		refusal_log(r, counts);
	event_del(&r->timer);
	free(r);
}

/* Whole seconds, none too few. */
static int refusal_seconds(uint64_t wait_ns)
{
	return wait_ns == 0 ? REFUSAL_RETRY_S
			    : (int)((wait_ns + BUCKET_SECOND - 1) / BUCKET_SECOND);
}

enum fail refusal_add(struct refusal *r, enum limit_rule rule, const struct addr *client,
    uint64_t wait_ns, int *ret_retry_s)
{
	*ret_retry_s = refusal_seconds(wait_ns);
	if (rule >= LIMIT_RULES)
		return FAIL_NO_MEMORY;
	r->last = *client;
	metrics_add(r->metrics, rules[rule].metric, 1);
	if (!event_pending(&r->timer, EV_TIMEOUT, NULL))
		refusal_tell(r);
	return rules[rule].fail;
}
