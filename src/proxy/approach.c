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
	struct resolver_query *query; /* NULL: all addresses are known */
	struct connector *connector;  /* NULL: none is known yet that may be connected to */
	/* Why there is none. */
	enum fail fail;
	const char *why;
};

static const struct approach_result nowhere = {.fd = -1};

void approach_cancel(struct approach *a)
{
	if (a->query)
		resolver_cancel(a->query);
	if (a->connector)
		connector_cancel(a->connector);
	recycle_free(a);
}

static void approach_finish(struct approach *a, const struct approach_result *result)
{
	approach_done_fn *done = a->plan.done;
	void *arg = a->plan.arg;

	approach_cancel(a);
	done(result, arg);
}

static void approach_fail(struct approach *a, enum fail fail, const char *why)
{
	struct approach_result result = nowhere;

	result.fail = fail;
	result.why = why;
	approach_finish(a, &result);
}

/* ---- connecting ------------------------------------------------------------------------- */

static struct preference_origin approach_origin(const struct approach_plan *plan)
{
	return (struct preference_origin){
	    route_host(plan->route), plan->route->target.port, &plan->route->source};
}

/* Whether one of these has won before; then it is put in front. */
static bool approach_prefers(const struct approach_plan *plan, struct addr *addrs, size_t count)
{
	struct preference_origin origin = approach_origin(plan);

	return preference_apply(plan->preference, &origin, addrs, count, deadline_now_ms());
}

/*
 * A race is over: the next one for this origin begins with its winner, also where the other
 * family was not known yet.
 */
static void approach_note(const struct approach *a, const struct addr *winner)
{
	struct preference_origin origin = approach_origin(&a->plan);

	if (a->plan.route->addr_count > 1 || a->query)
		preference_note(a->plan.preference, &origin, winner, deadline_now_ms());
}

static void approach_on_dialled(int fd, const struct addr *address, int error, void *arg)
{
	struct approach *a = arg;
	struct approach_result result = nowhere;
	const struct route *to = a->plan.route;

	a->connector = NULL;
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
	/* That we lack descriptors or memory says nothing of the addresses. */
	if (fd >= 0 || result.fail != FAIL_NO_MEMORY)
		approach_note(a, address);
	approach_finish(a, &result);
}

/* Returns false when out of memory. */
static bool approach_connect(struct approach *a)
{
	const struct approach_plan *plan = &a->plan;
	struct route *to = plan->route;
	struct timeval total = {plan->config->timeouts.connect, 0};

	if (to->addr_count > 1)
		(void)approach_prefers(plan, to->addrs, to->addr_count);
	a->connector = connector_start(
	    plan->base, &to->source, to->addrs, to->addr_count, total, approach_on_dialled, a);
	if (a->connector && a->query)
		connector_expect(a->connector, true);
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

/* ---- asking for the name ---------------------------------------------------------------- */

/* More, from this one on, while others are being connected to. */
static void approach_extend(struct approach *a, size_t from)
{
	struct route *to = a->plan.route;
	size_t count = to->addr_count - from;

	if (count > 0 && approach_prefers(&a->plan, &to->addrs[from], count)) {
		connector_hurry(a->connector, &to->addrs[from++]);
		count--;
	}
	if (count > 0)
		connector_add(a->connector, &to->addrs[from], count);
	connector_expect(a->connector, a->query != NULL);
}

static void approach_on_resolved(const struct resolver_answer *answer, void *arg)
{
	struct approach *a = arg;
	struct route *to = a->plan.route;
	struct approach_result result = nowhere;
	size_t had = to->addr_count;
	const char *why = NULL;
	enum fail fail = route_add(to, answer, a->plan.config, &why);

	if (!answer->more)
		a->query = NULL;
	if (fail != FAIL_NONE) {
		a->fail = fail;
		a->why = why;
	}
	if (to->addr_count > had && approach_reuse(&a->plan, &result))
		approach_finish(a, &result);
	else if (a->connector)
		approach_extend(a, had);
	else if (to->addr_count > 0 && !approach_connect(a))
		approach_fail(a, FAIL_NO_MEMORY, NULL);
	else if (to->addr_count == 0 && !answer->more)
		approach_fail(a, a->fail, a->why);
}

/* Returns false when out of memory. */
static bool approach_resolve(struct approach *a)
{
	a->query =
	    resolver_lookup(a->plan.resolver, route_host(a->plan.route), approach_on_resolved, a);
	return a->query != NULL;
}

struct approach *approach_start(
    const struct approach_plan *plan, struct approach_result *ret_result)
{
	struct route *to = plan->route;
	struct resolver_answer answer;
	struct approach *a;

	*ret_result = nowhere;
	if (to->addr_count == 0 && resolver_peek(plan->resolver, route_host(to), &answer)) {
		ret_result->fail = route_add(to, &answer, plan->config, &ret_result->why);
		if (ret_result->fail != FAIL_NONE)
			return NULL;
	}
	if (to->addr_count > 0 && approach_reuse(plan, ret_result))
		return NULL;
	a = recycle_zero(sizeof(*a));
	if (a) {
		a->plan = *plan;
		if (to->addr_count > 0 ? approach_connect(a) : approach_resolve(a))
			return a;
		recycle_free(a);
	}
	ret_result->fail = FAIL_NO_MEMORY;
	return NULL;
}
