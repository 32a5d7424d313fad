#include "net/source.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

bool source_is_set(const struct source *source)
{
	return source->v4.base.family != 0 || source->v6.base.family != 0;
}

const struct network *source_for(const struct source *source, sa_family_t family)
{
	const struct network *from = family == AF_INET ? &source->v4 : &source->v6;

	return from->base.family != 0 ? from : NULL;
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

static int source_parse_one(struct slice text, struct source *source)
{
	struct network from, *place;

	if (network_parse(slice_trim(text), &from) < 0 || !source_is_usable(&from))
		return -1;
	place = from.base.family == AF_INET ? &source->v4 : &source->v6;
	if (place->base.family != 0)
		return -1;
	*place = from;
	return 0;
}

int source_parse(struct slice text, struct source *ret_source)
{
	const char *comma = text.len > 0 ? memchr(text.ptr, ',', text.len) : NULL;
	struct source source = {0};
	struct slice first = text;

	if (comma) {
		first.len = (size_t)(comma - text.ptr);
		text = (struct slice){comma + 1, text.len - first.len - 1};
		if (source_parse_one(text, &source) < 0)
			return -1;
	}
	if (source_parse_one(first, &source) < 0)
		return -1;
	*ret_source = source;
	return 0;
}

static unsigned bits_max(const struct network *n)
{
	return n->base.family == AF_INET ? 32 : 128;
}

static void network_write(const struct network *n, char out[ADDR_TEXT_MAX])
{
	out[0] = '\0';
	if (n->base.family == 0)
		return;
	if (n->bits == bits_max(n))
		addr_format_ip(&n->base, out);
	else
		network_format(n, out);
}

void source_format(const struct source *source, char out[SOURCE_TEXT_MAX])
{
	char v4[ADDR_TEXT_MAX], v6[ADDR_TEXT_MAX];

	network_write(&source->v4, v4);
	network_write(&source->v6, v6);
	snprintf(out, SOURCE_TEXT_MAX, "%s%s%s", v4, v4[0] && v6[0] ? ", " : "", v6);
}

static bool networks_equal(const struct network *a, const struct network *b)
{
	if (a->base.family == 0 || b->base.family == 0)
		return a->base.family == b->base.family;
	return a->bits == b->bits && addr_equal(&a->base, &b->base);
}

bool source_equal(const struct source *a, const struct source *b)
{
	return networks_equal(&a->v4, &b->v4) && networks_equal(&a->v6, &b->v6);
}

size_t source_keep(const struct source *source, struct addr *addrs, size_t count)
{
	size_t kept = 0;

	if (!source_is_set(source))
		return count;
	for (size_t i = 0; i < count; i++) {
		if (source_for(source, addrs[i].family))
			addrs[kept++] = addrs[i];
	}
	return kept;
}

struct addr source_pick(const struct network *from)
{
	struct addr a = from->base;
	size_t bits = from->bits, max = bits_max(from);
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

int source_bind(const struct source *source, sa_family_t family, int fd)
{
	const struct network *from = source_for(source, family);
	bool v6 = family == AF_INET6;
	struct addr a;
	struct sockaddr_storage sa;
	socklen_t len;
	int on = 1;

	if (!from)
		return 0;
	a = source_pick(from);
	len = addr_to_sockaddr(&a, &sa);
	/* Without it ports would run out over all destinations together, not for each. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on,
		sizeof(on)) < 0)
		return -1;
	return bind(fd, (const struct sockaddr *)&sa, len);
}
