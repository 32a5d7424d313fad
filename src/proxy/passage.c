#include "proxy/passage.h"

#include "base/log.h"
#include "base/recycle.h"
#include "http/headers.h"
#include "policy/acl.h"
#include "policy/blocklist.h"
#include "proxy/config.h"
#include "proxy/route.h"

void passage_init(struct passage *p)
{
	*p = (struct passage){.max_forwards = -1};
}

void passage_drop_route(struct passage *p)
{
	recycle_free(p->route);
	p->route = NULL;
}

static enum fail passage_read(struct passage *p, const struct head *head,
    const struct route_asker *asker, const struct config *config, const char **ret_why)
{
	enum fail fail;

	p->route = route_new(config);
	if (!p->route)
		return FAIL_NO_MEMORY;
	fail = route_read(p->route, head, asker, ret_why);
	if (fail != FAIL_NONE)
		passage_drop_route(p);
	return fail;
}

void passage_heed(struct passage *p, enum fail fail, const char **ret_why)
{
	const struct route *route = p->route;
	const struct acl_verdict *verdict = &route->verdict;

	p->unlogged = !acl_logs(verdict);
	if (fail == FAIL_BLOCKLIST) {
		p->listed = route->listed;
		*ret_why = route->listed->sentence;
	} else if (fail == FAIL_RULE_DENIED) {
		log_debug("access.rules[%u], line %u, denies %s:%u", verdict->rule->number,
		    verdict->rule->line, route->target.host, (unsigned)route->target.port);
		*ret_why = verdict->rule->say;
	}
}

enum fail passage_judge(struct passage *p, const struct head *head, const struct route_asker *asker,
    const struct config *config, const char **ret_why)
{
	enum fail fail = passage_read(p, head, asker, config, ret_why);

	if (fail != FAIL_NONE)
		return fail;
	p->home = p->route->target.form == TARGET_ORIGIN;
	if (p->home)
		return FAIL_NONE;
	fail = headers_check_loop(head, config->name);
	if (fail == FAIL_NONE)
		fail = headers_max_forwards(head, &p->max_forwards, ret_why);
	if (fail != FAIL_NONE)
		return fail;
	p->home = p->route->target.form == TARGET_ASTERISK || p->max_forwards == 0;
	if (p->home)
		return FAIL_NONE;
	if (p->max_forwards > 0)
		p->max_forwards--;
	fail = route_judge(p->route, config);
	passage_heed(p, fail, ret_why);
	return fail;
}

struct allowance passage_arrive(struct passage *p, const struct addr *to)
{
	const struct route *route = p->route;
	const struct route_terms *terms = route->has_terms ? route_terms(route, to) : NULL;

	/* Which of its addresses it would be was not known. */
	p->unlogged = terms && !terms->logs;
	return terms ? terms->allowance : (struct allowance){0};
}

enum fail passage_recheck(struct passage *p, const struct head *head,
    const struct route_asker *asker, const struct config *config, const struct addr *to)
{
	struct route route;
	enum fail fail = route_recheck(&route, head, asker, config, to);

	if (fail == FAIL_NONE)
		return fail;
	p->unlogged = !acl_logs(&route.verdict);
	if (fail == FAIL_BLOCKLIST)
		p->listed = route.listed;
	return fail;
}
