#include "net/source.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

static bool source_is_set(const struct source *source)
{
	return source->from.base.family != 0;
}

static bool source_is_usable(const struct network *n)
{
	const struct in6_addr *v6 = &n->base.ip.v6;

	if (n->bits == 0)
		return false;
	if (n->base.family == AF_INET)
		return n->base.ip.v4.s_addr != INADDR_ANY &&
		       !IN_MULTICAST(ntohl(n->base.ip.v4.s_addr));
	return !IN6_IS_ADDR_UNSPECIFIED(v6) && !IN6_IS_ADDR_MULTICAST(v6) &&
	       !IN6_IS_ADDR_LINKLOCAL(v6);
}

int source_parse(struct slice text, struct source *ret_source)
{
	struct source source;

	if (network_parse(text, &source.from) < 0 || !source_is_usable(&source.from))
		return -1;
	*ret_source = source;
	return 0;
}

static unsigned source_bits_max(const struct source *source)
{
	return source->from.base.family == AF_INET ? 32 : 128;
}

void source_format(const struct source *source, char out[ADDR_TEXT_MAX])
{
	if (!source_is_set(source))
		out[0] = '\0';
	else if (source->from.bits == source_bits_max(source))
		addr_format_ip(&source->from.base, out);
	else
		network_format(&source->from, out);
}

bool source_equal(const struct source *a, const struct source *b)
{
	if (!source_is_set(a) || !source_is_set(b))
		return source_is_set(a) == source_is_set(b);
	return a->from.bits == b->from.bits && addr_equal(&a->from.base, &b->from.base);
}

size_t source_keep(const struct source *source, struct addr *addrs, size_t count)
{
	size_t kept = 0;

	if (!source_is_set(source))
		return count;
	for (size_t i = 0; i < count; i++) {
		if (addrs[i].family == source->from.base.family)
			addrs[kept++] = addrs[i];
	}
	return kept;
}

struct addr source_pick(const struct source *source)
{
	struct addr a = source->from.base;
	size_t bits = source->from.bits, max = source_bits_max(source);
	uint8_t *ip = (uint8_t *)&a.ip, random[sizeof(a.ip)] = {0};

	/* So few bytes are given whole, and wait only while the machine is booting. */
	if (bits < max && getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random)) {
		if (bits % 8 != 0)
			ip[bits / 8] |= random[bits / 8] & (0xff >> bits % 8);
		for (size_t i = (bits + 7) / 8; i < max / 8; i++)
			ip[i] = random[i];
	}
	a.port = 0;
	return a;
}

int source_bind(const struct source *source, int fd)
{
	bool v6 = source->from.base.family == AF_INET6;
	struct addr a;
	struct sockaddr_storage sa;
	socklen_t len;
	int on = 1;

	if (!source_is_set(source))
		return 0;
	a = source_pick(source);
	len = addr_to_sockaddr(&a, &sa);
	/* Without it ports would run out over all destinations together, not for each. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on,
		sizeof(on)) < 0)
		return -1;
	return bind(fd, (const struct sockaddr *)&sa, len);
}
