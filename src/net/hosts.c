#include "net/hosts.h"

#include <ares.h>
#include <stddef.h>

#include "net/channel.h"
#include "net/name.h"
#include "net/record.h"

struct hosts_found {
	struct record *ipv4, *ipv6;
	bool any;
};

static void hosts_add(struct hosts_found *found, const struct addr *addr)
{
	struct record *record = addr->family == AF_INET ? found->ipv4 : found->ipv6;

	found->any = true;
	if (record)
		record_add(record, addr, RECORD_TTL_NONE);
}

/* Called by c-ares from inside ares_getaddrinfo: it has read the file. */
static void hosts_on_read(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
	struct ares_addrinfo_node *n = status == ARES_SUCCESS ? ai->nodes : NULL;
	struct addr addr;

	(void)timeouts;
	for (; n; n = n->ai_next)
		if (addr_from_sockaddr(n->ai_addr, &addr) == 0)
			hosts_add(arg, &addr);
	ares_freeaddrinfo(ai);
}

bool hosts_find(struct channel *channel, const char *name, struct record *ipv4, struct record *ipv6)
{
	static const struct ares_addrinfo_hints hints = {
	    .ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT};
	static const struct addr loopback6 = {.family = AF_INET6, .ip.v6 = IN6ADDR_LOOPBACK_INIT};
	const struct addr loopback4 = {.family = AF_INET, .ip.v4.s_addr = htonl(INADDR_LOOPBACK)};
	struct hosts_found found = {.ipv4 = ipv4, .ipv6 = ipv6};

	ares_getaddrinfo(channel_ares(channel), name, NULL, &hints, hosts_on_read, &found);
	if (!found.any && name_is_localhost(name)) {
		hosts_add(&found, &loopback6);
		hosts_add(&found, &loopback4);
	}
	return found.any;
}
