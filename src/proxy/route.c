#include "proxy/route.h"

#include <errno.h>
#include <string.h>

#include "base/recycle.h"
#include "http/head.h"
#include "policy/blocklist.h"
#include "policy/htpasswd.h"
#include "proxy/config.h"
#include "proxy/door.h"
#include "proxy/entrance.h"
#include "proxy/users.h"

struct route *route_new(const struct config *config)
{
	bool has_terms = acl_rules(config->acl) != NULL;
	size_t terms = has_terms ? RESOLVER_ADDRS_MAX * sizeof(struct route_terms) : 0;
	struct route *route = recycle_alloc(sizeof(*route) + terms);

	if (route)
		route->has_terms = has_terms;
	return route;
}

static struct acl_facts route_asked(const struct route_asker *asker, const struct head *head)
{
	struct acl_facts facts = {.client = asker->client,
	    .method = head->method,
	    .listener = asker->listener->name,
	    .now = asker->now};

	if (asker->user) {
		facts.user = asker->user->name;
		facts.groups = asker->user->groups;
		facts.group_count = asker->user->group_count;
	}
	return facts;
}

enum fail route_read(struct route *route, const struct head *head, const struct route_asker *asker,
    const char **ret_why)
{
	route->addr_count = 0;
	route->door = asker->door;
	route->source = asker->listener->source;
	route->listed = NULL;
	route->facts = route_asked(asker, head);
	route->verdict = (struct acl_verdict){.outcome = ACL_ALLOWED};
	return target_parse(head->method, head->target, &route->target, ret_why);
}

struct slice route_host(const struct route *route)
{
	return (struct slice){route->target.host, route->target.host_len};
}

/* The host as rules know it: an address has one form only, however it was written. */
struct place {
	bool is_address;
	struct addr address;
	char text[ADDR_TEXT_MAX];
};

/* Without rules nobody asks for the host. */
static struct acl_facts route_facts(
    const struct route *route, const struct acl *acl, struct place *place)
{
	struct acl_facts facts = route->facts;

	facts.host = route_host(route);
	facts.port = route->target.port;
	facts.tunnel = route->target.form == TARGET_AUTHORITY;
	facts.listed = route->listed != NULL;
	place->is_address = acl_rules(acl) && addr_parse_loose(facts.host, &place->address) == 0;
	if (place->is_address) {
		place->address = addr_unmapped(&place->address);
		addr_format_ip(&place->address, place->text);
		facts.host = slice_of(place->text);
	}
	return facts;
}

static void route_look_up(struct route *route, const struct config *config)
{
	route->listed =
	    config->blocklist != NULL ? blocklist_find(config->blocklist, route_host(route)) : NULL;
}

enum fail route_judge(struct route *route, const struct config *config)
{
	struct place place;
	struct acl_facts facts;

	route_look_up(route, config);
	facts = route_facts(route, config->acl, &place);
	if (place.is_address)
		facts.address = &place.address;
	acl_judge(config->acl, &facts, &route->verdict);
	return route->verdict.fail;
}

/* By rules, and then never to ourselves. */
static void route_judge_address(const struct route *route, const struct acl *acl,
    const struct acl_facts *facts, struct acl_verdict *ret_verdict)
{
	acl_judge(acl, facts, ret_verdict);
	if (ret_verdict->outcome != ACL_ALLOWED || !door_is_at(route->door, facts->address))
		return;
	ret_verdict->outcome = ACL_DENIED;
	ret_verdict->fail = FAIL_ADDRESS_DENIED;
	ret_verdict->rule = NULL;
}

/* Of the address that comes next, by the verdict on it. */
static void route_set_terms(struct route *route, const struct addr *to)
{
	route->terms[route->addr_count] =
	    (struct route_terms){*to, acl_allowance(&route->verdict), acl_logs(&route->verdict)};
}

const struct route_terms *route_terms(const struct route *route, const struct addr *to)
{
	for (size_t i = 0; i < route->addr_count; i++) {
		if (addr_equal(&route->terms[i].to, to))
			return &route->terms[i];
	}
	return NULL;
}

/*
 * Append those of the addresses that rules allow, and that can be reached from the source that is
 * theirs: the same for all of them, as a request has one.  When it is none, why.
 */
static enum fail route_vet(
    struct route *route, const struct acl *acl, const struct addr *addrs, size_t count)
{
	struct place place;
	struct acl_facts facts = route_facts(route, acl, &place);
	enum fail fail = FAIL_NONE;

	for (size_t i = 0; i < count && route->addr_count < RESOLVER_ADDRS_MAX; i++) {
		struct addr *to = &route->addrs[route->addr_count];
		bool first = route->addr_count == 0;
		const struct source *source = &route->source;
		struct acl_verdict verdict;

		*to = addrs[i];
		to->port = route->target.port;
		facts.address = to;
		route_judge_address(route, acl, &facts, &verdict);
		if (first && fail == FAIL_NONE)
			route->verdict = verdict;
		if (verdict.outcome != ACL_ALLOWED) {
			fail = fail == FAIL_NONE ? verdict.fail : fail;
			continue;
		}
		if (verdict.source)
			source = &verdict.source->source;
		if (source_keep(source, to, 1) == 0)
			fail = FAIL_UNREACHABLE;
		else if (first || verdict.source == route->verdict.source) {
			route->verdict = verdict;
			route->source = *source;
			if (route->has_terms)
				route_set_terms(route, to);
			route->addr_count++;
		}
	}
	return fail;
}

static const char *route_lacks(enum family family)
{
	return family == FAMILY_IPV4
		   ? "The site has no IPv4 address, and this proxy uses no others."
		   : "The site has no IPv6 address, and this proxy uses no others.";
}

enum fail route_add(struct route *route, const struct resolver_answer *answer,
    const struct config *config, const char **ret_why)
{
	static const enum fail fails[] = {
	    [RESOLVER_NOT_FOUND] = FAIL_DNS_NOT_FOUND,
	    [RESOLVER_FAILED] = FAIL_DNS_ERROR,
	    [RESOLVER_TIMEOUT] = FAIL_DNS_TIMEOUT,
	    [RESOLVER_BUSY] = FAIL_OVERLOAD,
	    [RESOLVER_BAD_NAME] = FAIL_DNS_NOT_FOUND,
	    [RESOLVER_NO_MEMORY] = FAIL_NO_MEMORY,
	};
	bool one_family = config->family == FAMILY_IPV4 || config->family == FAMILY_IPV6;
	struct addr addrs[RESOLVER_ADDRS_MAX];
	size_t had = route->addr_count, usable;
	enum fail fail;

	if (answer->status == RESOLVER_NOT_FOUND && one_family)
		*ret_why = route_lacks(config->family);
	if (answer->status != RESOLVER_OK)
		return fails[answer->status];
	if (answer->count == 0)
		return FAIL_NONE;
	memcpy(addrs, answer->addrs, answer->count * sizeof(addrs[0]));
	usable = family_apply(config->family, addrs, answer->count);
	fail = usable > 0 ? route_vet(route, config->acl, addrs, usable) : FAIL_UNREACHABLE;
	if (route->addr_count > had)
		return FAIL_NONE;
	if (fail == FAIL_UNREACHABLE)
		*ret_why =
		    usable > 0
			? "The site has no address of the family that this proxy connects from."
			: route_lacks(config->family);
	return fail;
}

/* By name and this one address, to which it leads. */
static enum fail route_review(
    struct route *route, const struct config *config, const struct addr *to)
{
	struct place place;
	struct acl_facts facts;

	route_look_up(route, config);
	facts = route_facts(route, config->acl, &place);
	facts.address = to;
	acl_judge(config->acl, &facts, &route->verdict);
	return route->verdict.outcome == ACL_DENIED ? route->verdict.fail : FAIL_NONE;
}

enum fail route_recheck(struct route *route, const struct head *head,
    const struct route_asker *asker, const struct config *config, const struct addr *to)
{
	bool ask = users_ask(config, asker->client);
	struct route_asker now = *asker;
	const char *why = NULL;
	enum fail fail;

	route->listed = NULL;
	route->verdict = (struct acl_verdict){.outcome = ACL_ALLOWED};
	if (!acl_allows_client(config->acl, asker->client))
		return FAIL_CLIENT_DENIED;
	now.user = ask && asker->user
		       ? htpasswd_find(config->auth.table, slice_of(asker->user->name))
		       : NULL;
	if (ask && !now.user)
		return FAIL_AUTH_REQUIRED;
	fail = route_read(route, head, &now, &why);
	return fail == FAIL_NONE ? route_review(route, config, to) : fail;
}

enum fail route_unreachable(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return FAIL_REFUSED;
	case ETIMEDOUT:
		return FAIL_CONNECT_TIMEOUT;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
		return FAIL_NO_MEMORY;
	default:
		return FAIL_UNREACHABLE;
	}
}
