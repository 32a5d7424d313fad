#include "proxy/admission.h"

#include "http/head.h"
#include "net/wire.h"
#include "proxy/intake.h"
#include "proxy/route.h"

/* What may become a tunnel is counted as one from the start: too late to refuse it afterwards. */
static bool may_be_tunnel(const struct head *head)
{
	return slice_is(head->method, "CONNECT") || head->upgrade;
}

enum limit_rule admission_request(struct admission *a, const struct admission_gate *gate,
    const struct head *head, uint64_t now, uint64_t *ret_wait)
{
	const struct limit_rules *rules = gate->rules;
	struct wire *client = intake_wire(gate->intake);
	bool tunnel = may_be_tunnel(head);
	struct limit_account *account;
	enum limit_rule rule;

	*ret_wait = 0;
	if (!limit_is_for_clients(rules)) {
		wire_unpace(client);
		return LIMIT_NONE;
	}
	account = intake_account(gate->intake);
	if (!account)
		return LIMIT_NO_MEMORY;
	rule = limit_request(gate->limit, rules, account, tunnel, now, ret_wait);
	if (rule != LIMIT_NONE)
		return rule;
	if (tunnel)
		a->tunnelling = account;
	if (rules->client_bandwidth > 0) {
		a->allowance.bucket = limit_bandwidth(account);
		a->allowance.rate = (uint32_t)rules->client_bandwidth;
	}
	return wire_pace(client, a->allowance) == 0 ? LIMIT_NONE : LIMIT_NO_MEMORY;
}

enum limit_rule admission_origin(
    struct admission *a, const struct admission_gate *gate, const struct route *route)
{
	return limit_exchange(
	    gate->limit, gate->rules, route_host(route), route->target.port, &a->origin);
}

int admission_rule(
    struct admission *a, const struct admission_gate *gate, struct allowance allowance)
{
	if (!allowance.bucket || a->by_rule)
		return 0;
	a->allowance = allowance;
	a->by_rule = true;
	return wire_pace(intake_wire(gate->intake), allowance);
}

void admission_detach(struct admission *a)
{
	a->by_rule = false;
}

void admission_end(struct admission *a, const struct admission_gate *gate)
{
	if (a->tunnelling)
		limit_end_tunnel(a->tunnelling);
	limit_end_exchange(gate->limit, a->origin);
	if (a->by_rule)
		wire_unpace(intake_wire(gate->intake));
}
