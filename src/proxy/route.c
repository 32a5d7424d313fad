#include "proxy/route.h"

#include <errno.h>
#include <string.h>

#include "http/head.h"

enum fail route_read(struct route *route, const struct head *head, const char **ret_why)
{
	route->addr_count = 0;
	route->source = (struct source){0};
	route->facts = (struct acl_facts){.method = head->method};
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
	place->is_address = acl_rules(acl) && addr_parse_loose(facts.host, &place->address) == 0;
	if (place->is_address) {
		addr_format_ip(&place->address, place->text);
		facts.host = (struct slice){place->text, strlen(place->text)};
	}
	return facts;
}

enum fail route_judge(struct route *route, const struct acl *acl)
{
	struct place place;
	struct acl_facts facts = route_facts(route, acl, &place);

	if (place.is_address)
		facts.address = &place.address;
	acl_judge(acl, &facts, &route->verdict);
	return route->verdict.fail;
}

enum fail route_resolved(struct route *route, const struct resolver_answer *answer)
{
	static const enum fail fails[] = {
	    [RESOLVER_NOT_FOUND] = FAIL_DNS_NOT_FOUND,
	    [RESOLVER_FAILED] = FAIL_DNS_ERROR,
	    [RESOLVER_TIMEOUT] = FAIL_DNS_TIMEOUT,
	    [RESOLVER_BUSY] = FAIL_OVERLOAD,
	    [RESOLVER_BAD_NAME] = FAIL_DNS_NOT_FOUND,
	    [RESOLVER_NO_MEMORY] = FAIL_NO_MEMORY,
	};

	if (answer->status != RESOLVER_OK)
		return fails[answer->status];
	route->addr_count = answer->count;
	memcpy(route->addrs, answer->addrs, answer->count * sizeof(answer->addrs[0]));
	return FAIL_NONE;
}

enum fail route_vet(struct route *route, const struct acl *acl)
{
	struct place place;
	struct acl_facts facts = route_facts(route, acl, &place);
	size_t kept = 0;

	for (size_t i = 0; i < route->addr_count; i++) {
		struct acl_verdict verdict;

		route->addrs[i].port = route->target.port;
		facts.address = &route->addrs[i];
		acl_judge(acl, &facts, &verdict);
		if (i == 0 || (verdict.outcome == ACL_ALLOWED && kept == 0))
			route->verdict = verdict;
		if (verdict.outcome == ACL_ALLOWED)
			route->addrs[kept++] = route->addrs[i];
	}
	route->addr_count = kept;
	if (route->verdict.source)
		route->source = route->verdict.source->source;
	return kept > 0 ? FAIL_NONE : route->verdict.fail;
}

enum fail route_choose(struct route *route, enum family family, const char **ret_why)
{
	size_t count = family_apply(family, route->addrs, route->addr_count);

	route->addr_count = source_keep(&route->source, route->addrs, count);
	if (route->addr_count > 0)
		return FAIL_NONE;
	if (count > 0)
		*ret_why = "The site has no address of the family that this proxy connects from.";
	else if (family == FAMILY_IPV4)
		*ret_why = "The site has no IPv4 address, and this proxy uses no others.";
	else
		*ret_why = "The site has no IPv6 address, and this proxy uses no others.";
	return FAIL_UNREACHABLE;
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
