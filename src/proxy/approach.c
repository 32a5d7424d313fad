#include "proxy/approach.h"

#include "base/recycle.h"
#include "net/connector.h"
#include "net/resolver.h"
#include "proxy/config.h"
#include "proxy/route.h"
#include "proxy/upstream.h"

struct approach {
	struct approach_plan plan;
	/* Under way; one of them is not NULL. */
	struct resolver_query *query;
	struct upstream_connect *connecting;
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

static void approach_on_dialled(int fd, const struct addr *address, int error, void *arg)
{
	struct approach_result result = nowhere;

	result.fd = fd;
	if (fd >= 0)
		result.address = *address;
	else
		result.fail = route_unreachable(error);
	approach_finish(arg, &result);
}

static void approach_on_connected(struct upstream *up, int error, void *arg)
{
	struct approach_result result = nowhere;

	result.up = up;
	if (up)
		result.address = *upstream_address(up);
	else
		result.fail = route_unreachable(error);
	approach_finish(arg, &result);
}

/* Returns false when out of memory. */
static bool approach_connect(struct approach *a)
{
	const struct approach_plan *plan = &a->plan;
	const struct route *to = plan->route;
	struct timeval total = {plan->config->timeouts.connect, 0};

	if (to->target.form == TARGET_AUTHORITY)
		a->connector = connector_start(
		    plan->base, to->addrs, to->addr_count, total, approach_on_dialled, a);
	else
		a->connecting = upstream_connect_start(
		    plan->upstreams, to->addrs, to->addr_count, approach_on_connected, a);
	return a->connector || a->connecting;
}

/* ---- at once ---------------------------------------------------------------------------- */

static bool approach_reuse(const struct approach_plan *plan, struct approach_result *result)
{
	const struct route *to = plan->route;

	if (to->target.form == TARGET_AUTHORITY || !plan->reuse)
		return false;
	result->up = upstream_reuse(plan->upstreams, to->addrs, to->addr_count);
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
		if (known ? approach_connect(a)
			  : (a->query = resolver_lookup(
				 plan->resolver, host, approach_on_resolved, a)) != NULL)
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
	if (a->connecting)
		upstream_connect_cancel(a->connecting);
	if (a->connector)
		connector_cancel(a->connector);
	recycle_free(a);
}
