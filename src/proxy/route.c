#include "proxy/route.h"

#include <errno.h>
#include <string.h>

#include "http/head.h"
#include "policy/acl.h"

enum fail route_read(struct route *route, const struct head *head, const char **ret_why)
{
	route->addr_count = 0;
	route->source = (struct source){0};
	return target_parse(head->method, head->target, &route->target, ret_why);
}

struct slice route_host(const struct route *route)
{
	return (struct slice){route->target.host, route->target.host_len};
}

enum fail route_judge(const struct route *route, const struct acl *acl)
{
	if (route->target.form == TARGET_AUTHORITY &&
	    !acl_allows_connect_port(acl, route->target.port))
		return FAIL_PORT_DENIED;
	return FAIL_NONE;
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
	size_t kept = 0;

	for (size_t i = 0; i < route->addr_count; i++) {
		route->addrs[i].port = route->target.port;
		if (acl_allows_address(acl, &route->addrs[i]))
			route->addrs[kept++] = route->addrs[i];
	}
	route->addr_count = kept;
	return kept > 0 ? FAIL_NONE : FAIL_ADDRESS_DENIED;
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
