#include "proxy/approach.h"

#include <errno.h>

#include "base/recycle.h"
#include "net/connector.h"
#include "net/deadline.h"
#include "net/preference.h"
#include "net/resolver.h"
#include "proxy/config.h"
#include "proxy/route.h"
#include "proxy/upstream.h"

struct approach {
	struct approach_plan plan;
	/* Under way; one of them is not NULL. */
	struct resolver_query *query;
	struct connector *connector;
};

static const struct approach_result nowhere = {.fd = -1};

static void approach_finish(struct approach *a, const struct approach_result *result)
{
	approach_done_fn *done = a->plan.done;
	void *arg = a->plan.arg;

	recycle_free(a);
	done(result, arg);
}

static void approach_fail(struct approach *a, enum fail fail)
{
	struct approach_result result = nowhere;

	result.fail = fail;
	approach_finish(a, &result);
}

/* ---- connecting ------------------------------------------------------------------------- */

static struct preference_origin approach_origin(const struct approach_plan *plan)
{
	return (struct preference_origin){
	    route_host(plan->route), plan->route->target.port, &plan->route->source};
}

/* A race is over: the next one for this origin begins with its winner. */
static void approach_note(const struct approach *a, const struct addr *winner)
{
	struct preference_origin origin = approach_origin(&a->plan);

	if (a->plan.route->addr_count > 1)
		preference_note(a->plan.preference, &origin, winner, deadline_now_ms());
}

static void approach_on_dialled(int fd, const struct addr *address, int error, void *arg)
{
	struct approach *a = arg;
	struct approach_result result = nowhere;
	const struct route *to = a->plan.route;

	approach_note(a, address);
	if (fd < 0) {
		result.fail = route_unreachable(error);
	} else if (to->target.form == TARGET_AUTHORITY) {
		result.fd = fd;
		result.address = *address;
	} else {
		result.up = upstream_adopt(a->plan.upstreams, fd, address, &to->source);
		if (result.up)
			result.address = *address;
		else
			result.fail = route_unreachable(errno);
	}
	approach_finish(a, &result);
}

/* Returns false when out of memory. */
static bool approach_connect(struct approach *a)
{
	const struct approach_plan *plan = &a->plan;
	struct route *to = plan->route;
	struct timeval total = {plan->config->timeouts.connect, 0};
	struct preference_origin origin = approach_origin(plan);

	if (to->addr_count > 1)
		preference_apply(
		    plan->preference, &origin, to->addrs, to->addr_count, deadline_now_ms());
	a->connector = connector_start(
	    plan->base, &to->source, to->addrs, to->addr_count, total, approach_on_dialled, a);
	return a->connector != NULL;
}

/* ---- at once ---------------------------------------------------------------------------- */

static bool approach_reuse(const struct approach_plan *plan, struct approach_result *result)
{
	const struct route *to = plan->route;

	if (to->target.form == TARGET_AUTHORITY || !plan->reuse)
		return false;
	result->up = upstream_reuse(plan->upstreams, &to->source, to->addrs, to->addr_count);
	if (!result->up)
		return false;
	result->address = *upstream_address(result->up);
	result->reused = true;
	return true;
}

/* The addresses are known.  Whether that is the end, with its result. */
static bool approach_arrive(const struct approach_plan *plan, const struct resolver_answer *answer,
    struct approach_result *result)
{
	result->fail = route_resolved(plan->route, answer);
	if (result->fail == FAIL_NONE)
		result->fail = route_vet(plan->route, plan->config->acl);
	if (result->fail == FAIL_NONE)
		result->fail = route_choose(plan->route, plan->config->family, &result->why);
	return result->fail != FAIL_NONE || approach_reuse(plan, result);
}

/* ---- asking for the name ---------------------------------------------------------------- */

static void approach_on_resolved(const struct resolver_answer *answer, void *arg)
{
	struct approach *a = arg;
	struct approach_result result = nowhere;

	a->query = NULL;
	if (approach_arrive(&a->plan, answer, &result))
		approach_finish(a, &result);
	else if (!approach_connect(a))
		approach_fail(a, FAIL_NO_MEMORY);
}

/* Returns false when out of memory. */
static bool approach_resolve(struct approach *a)
{
	a->query =
	    resolver_lookup(a->plan.resolver, route_host(a->plan.route), approach_on_resolved, a);
	if (a->query)
		resolver_whole(a->query);
	return a->query != NULL;
}

struct approach *approach_start(
    const struct approach_plan *plan, struct approach_result *ret_result)
{
	bool known = plan->route->addr_count > 0;
	struct slice host = route_host(plan->route);
	struct resolver_answer answer;
	struct approach *a;

	*ret_result = nowhere;
	if (known && approach_reuse(plan, ret_result))
		return NULL;
	if (!known && resolver_peek(plan->resolver, host, &answer)) {
		if (approach_arrive(plan, &answer, ret_result))
			return NULL;
		known = true;
	}
	a = recycle_zero(sizeof(*a));
	if (a) {
		a->plan = *plan;
		if (known ? approach_connect(a) : approach_resolve(a))
			return a;
		recycle_free(a);
	}
	ret_result->fail = FAIL_NO_MEMORY;
	return NULL;
}

void approach_cancel(struct approach *a)
{
	if (a->query)
		resolver_cancel(a->query);
	if (a->connector)
		connector_cancel(a->connector);
	recycle_free(a);
}
