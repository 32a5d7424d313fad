#include "policy/acl.h"

#include <stdlib.h>

#include "net/addr.h"
#include "policy/special.h"

struct networks {
	struct network *items;
	size_t count;
};

struct port_range {
	uint16_t first, last;
};

struct acl {
	struct networks clients;
	struct networks addresses;
	unsigned special; /* kinds that are exempt */
	struct port_range *ports;
	size_t port_count;
	struct rulebook *rules;
};

/* Mail goes from server to server there: what a proxy would send is spam. */
static const uint16_t mail_ports[] = {25, 465, 587};

struct acl *acl_new(void)
{
	return calloc(1, sizeof(struct acl));
}

void acl_free(struct acl *acl)
{
	if (acl == NULL)
		return;
	rulebook_free(acl->rules);
	free(acl->ports);
	free(acl->addresses.items);
	free(acl->clients.items);
	free(acl);
}

static int networks_add(struct networks *networks, const struct network *network)
{
	struct network *grown =
	    reallocarray(networks->items, networks->count + 1, sizeof(*networks->items));

	if (grown == NULL)
		return -1;
	networks->items = grown;
	networks->items[networks->count++] = network_unmapped(network);
	return 0;
}

static bool networks_contain(const struct networks *networks, const struct addr *a)
{
	for (size_t i = 0; i < networks->count; i++) {
		if (network_contains(&networks->items[i], a))
			return true;
	}
	return false;
}

int acl_add_client(struct acl *acl, const struct network *network)
{
	return networks_add(&acl->clients, network);
}

int acl_add_address(struct acl *acl, const struct network *network)
{
	return networks_add(&acl->addresses, network);
}

void acl_add_special(struct acl *acl, unsigned kinds)
{
	acl->special |= kinds;
}

int acl_add_connect_ports(struct acl *acl, uint16_t first, uint16_t last)
{
	struct port_range *grown =
	    reallocarray(acl->ports, acl->port_count + 1, sizeof(*acl->ports));

	if (grown == NULL)
		return -1;
	acl->ports = grown;
	acl->ports[acl->port_count++] = (struct port_range){first, last};
	return 0;
}

void acl_set_rules(struct acl *acl, struct rulebook *rules)
{
	rulebook_free(acl->rules);
	acl->rules = rules;
}

const struct rulebook *acl_rules(const struct acl *acl)
{
	return acl->rules;
}

bool acl_allows_client(const struct acl *acl, const struct addr *client)
{
	struct addr plain = addr_unmapped(client);

	return networks_contain(&acl->clients, &plain);
}

/* ---- the built-in denials --------------------------------------------------------------- */

static bool is_mail_port(uint16_t port)
{
	for (size_t i = 0; i < ARRAY_LEN(mail_ports); i++) {
		if (port == mail_ports[i])
			return true;
	}
	return false;
}

/* A range that happens to have the ports of mail in it does not name them. */
static bool allows_port(const struct acl *acl, bool tunnel, uint16_t port)
{
	bool mail = is_mail_port(port);

	for (size_t i = 0; tunnel && i < acl->port_count; i++) {
		const struct port_range *range = &acl->ports[i];

		if (port >= range->first && port <= range->last &&
		    (!mail || range->first == range->last))
			return true;
	}
	return !tunnel && !mail;
}

static bool allows_address(const struct acl *acl, const struct addr *destination)
{
	struct addr plain = addr_unmapped(destination), carried;
	enum special kind = special_of(&plain);

	if (plain.family != AF_INET && plain.family != AF_INET6)
		return false;
	if (kind == SPECIAL_NONE || (kind & acl->special) ||
	    networks_contain(&acl->addresses, &plain))
		return true;
	return special_carries(&plain, &carried) && networks_contain(&acl->addresses, &carried);
}

/* ---- the rules -------------------------------------------------------------------------- */

/* What is known of the rules that match, on the way down to the one that decides. */
struct descent {
	struct acl_verdict *verdict;
	bool may_allow, may_deny; /* a rule that waits for the address would */
};

static unsigned lifts(const struct rule *rule)
{
	if (rule->action != RULE_ALLOWS)
		return 0;
	return (rule->conditions & 1U << RULE_HOST ? ACL_LIFTS_HOST : 0U) |
	       (rule->conditions & 1U << RULE_PORT ? ACL_LIFTS_PORT : 0U) |
	       (rule->conditions & 1U << RULE_ADDRESS ? ACL_LIFTS_ADDRESS : 0U);
}

static void take_settings(const struct rule *rule, struct acl_verdict *v)
{
	if (source_is_set(&rule->source) && v->source == NULL)
		v->source = rule;
	if (rule->bandwidth > 0 && v->bandwidth == NULL)
		v->bandwidth = rule;
	if (rule->has_log && v->log == NULL)
		v->log = rule;
}

/* Returns whether this one decides. */
static bool descend(struct descent *d, const struct rule *rule, bool waits)
{
	struct acl_verdict *v = d->verdict;

	v->lifts |= lifts(rule);
	if (!waits) {
		take_settings(rule, v);
		if (rule->action != RULE_SETS)
			v->rule = rule;
		return rule->action != RULE_SETS;
	}
	if (rule->action != RULE_SETS && v->awaits == NULL)
		v->awaits = rule;
	d->may_allow |= rule->action == RULE_ALLOWS;
	d->may_deny |= rule->action == RULE_DENIES;
	return false;
}

static void judge_by_rules(
    const struct acl *acl, const struct acl_facts *facts, struct acl_verdict *v)
{
	struct descent d = {.verdict = v};
	uint64_t bits[RULEBOOK_WORDS];
	size_t words = rulebook_match(acl->rules, facts, bits);
	bool decided = false, denies;

	for (size_t i = 0; i < words && !decided; i++) {
		for (uint64_t left = bits[i]; left != 0 && !decided; left &= left - 1) {
			const struct rule *rule =
			    rulebook_rule(acl->rules, 64 * i + (size_t)__builtin_ctzll(left));

			decided = descend(&d, rule,
			    facts->address == NULL && rule->conditions & 1U << RULE_ADDRESS);
		}
	}
	denies = v->rule != NULL && v->rule->action == RULE_DENIES;
	/* Where all that the address could change is who denies it, the name is not asked for. */
	if (denies && !d.may_allow) {
		v->outcome = ACL_DENIED;
		v->fail = FAIL_RULE_DENIED;
	} else if (d.may_allow || d.may_deny) {
		v->outcome = ACL_UNDECIDED;
	}
}

void acl_judge(
    const struct acl *acl, const struct acl_facts *facts, struct acl_verdict *ret_verdict)
{
	struct acl_verdict v = {.outcome = ACL_ALLOWED, .fail = FAIL_NONE};

	if (acl->rules != NULL)
		judge_by_rules(acl, facts, &v);
	if (v.outcome != ACL_DENIED && !(v.lifts & ACL_LIFTS_PORT) &&
	    !allows_port(acl, facts->tunnel, facts->port)) {
		v.outcome = ACL_DENIED;
		v.fail = FAIL_PORT_DENIED;
	}
	if (v.outcome != ACL_DENIED && facts->listed && !(v.lifts & ACL_LIFTS_HOST)) {
		v.outcome = ACL_DENIED;
		v.fail = FAIL_BLOCKLIST;
	}
	if (v.outcome != ACL_DENIED && facts->address != NULL && !(v.lifts & ACL_LIFTS_ADDRESS) &&
	    !allows_address(acl, facts->address)) {
		v.outcome = ACL_DENIED;
		v.fail = FAIL_ADDRESS_DENIED;
	}
	*ret_verdict = v;
}
