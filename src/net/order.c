#include "net/order.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"

#define ANY_PORT 443 /* for the kernel's choice of a route; nothing is sent */
#define SUBNET_PREFIX                                                                              \
	64 /* RFC 6724 2.2: no longer than the prefix of the source; SLAAC's is this */

enum { SCOPE_LINK = 2, SCOPE_SITE = 5, SCOPE_GLOBAL = 14 }; /* RFC 6724 3.1, RFC 4291 2.7 */

/* RFC 6724 2.1.  The longest prefix that matches counts: longest first. */
static const struct policy {
	unsigned char prefix[16];
	unsigned bits;
	int precedence, label;
} policies[] = {
    {{[15] = 1}, 128, 50, 0},                /* ::1 */
    {{[10] = 0xff, [11] = 0xff}, 96, 35, 4}, /* IPv4 */
    {{0}, 96, 1, 3},                         /* IPv4-compatible */
    {{0x20, 0x01}, 32, 5, 5},                /* Teredo */
    {{0x20, 0x02}, 16, 30, 2},               /* 6to4 */
    {{0x3f, 0xfe}, 16, 1, 12},               /* 6bone */
    {{0xfe, 0xc0}, 10, 1, 11},               /* site-local */
    {{0xfc}, 7, 3, 13},                      /* unique local */
    {{0}, 0, 40, 1},                         /* all else */
};

struct ip {
	unsigned char bytes[16];
};

/* How IPv4 stands in the table: IPv4-mapped. */
static struct ip ip_of(const struct addr *a)
{
	struct ip ip = {{[10] = 0xff, [11] = 0xff}};

	if (a->family == AF_INET)
		memcpy(ip.bytes + 12, &a->ip.v4, sizeof(a->ip.v4));
	else
		memcpy(ip.bytes, &a->ip.v6, sizeof(ip.bytes));
	return ip;
}

static unsigned common_bits(const unsigned char a[16], const unsigned char b[16])
{
	unsigned bits = 0;

	while (bits < 128 && !((a[bits / 8] ^ b[bits / 8]) & 0x80 >> bits % 8))
		bits++;
	return bits;
}

static const struct policy *policy_of(const struct addr *a)
{
	struct ip ip = ip_of(a);
	const struct policy *p = policies;

	while (common_bits(p->prefix, ip.bytes) < p->bits)
		p++;
	return p;
}

static int scope_of(const struct addr *a)
{
	struct ip ip = ip_of(a);
	const unsigned char *b = ip.bytes;

	if (policy_of(a)->label == 4) /* 3.2: loopback counts as link-local, private as global */
		return b[12] == 127 || (b[12] == 169 && b[13] == 254) ? SCOPE_LINK : SCOPE_GLOBAL;
	if (b[0] == 0xff)
		return b[1] & 0xf;
	if ((b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || IN6_IS_ADDR_LOOPBACK(&a->ip.v6))
		return SCOPE_LINK;
	return b[0] == 0xfe && (b[1] & 0xc0) == 0xc0 ? SCOPE_SITE : SCOPE_GLOBAL;
}

static unsigned subnet_bits(const struct order_pair *p)
{
	struct ip to = ip_of(&p->to), from = ip_of(&p->from);
	unsigned bits = common_bits(to.bytes, from.bytes);

	return bits < SUBNET_PREFIX ? bits : SUBNET_PREFIX;
}

/* Above 0: a before b; below: b before a; 0: no rule has a preference. */
static int compare(const struct order_pair *a, const struct order_pair *b)
{
	const struct policy *pa = policy_of(&a->to), *pb = policy_of(&b->to);
	int scope_a = scope_of(&a->to), scope_b = scope_of(&b->to);
	bool same_a, same_b;

	if (a->reachable != b->reachable) /* 1: avoid unusable destinations */
		return a->reachable ? 1 : -1;
	if (a->reachable) {
		same_a = scope_a == scope_of(&a->from);
		same_b = scope_b == scope_of(&b->from);
		if (same_a != same_b) /* 2: prefer matching scope */
			return same_a ? 1 : -1;
		same_a = pa->label == policy_of(&a->from)->label;
		same_b = pb->label == policy_of(&b->from)->label;
		if (same_a != same_b) /* 5: prefer matching label */
			return same_a ? 1 : -1;
	}
	if (pa->precedence != pb->precedence) /* 6: prefer higher precedence */
		return pa->precedence - pb->precedence;
	if (scope_a != scope_b) /* 8: prefer smaller scope */
		return scope_b - scope_a;
	/* 9: prefer the longest matching prefix; for IPv4 it would undo the server's turns */
	if (a->reachable && a->to.family == AF_INET6 && b->to.family == AF_INET6)
		return (int)subnet_bits(a) - (int)subnet_bits(b);
	return 0;
}

/* By insertion: stable, and there are few. */
void order_pairs(struct order_pair *pairs, size_t count)
{
	assert(count <= ORDER_MAX);
	for (size_t i = 1; i < count; i++) {
		struct order_pair p = pairs[i];
		size_t k = i;

		for (; k > 0 && compare(&p, &pairs[k - 1]) > 0; k--)
			pairs[k] = pairs[k - 1];
		pairs[k] = p;
	}
}

/* Which address the kernel would send from, by a socket that was connected elsewhere before. */
static bool find_source(int fd, const struct addr *to, struct addr *ret_from)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	struct addr there = *to;
	struct sockaddr_storage sa;
	socklen_t len;

	there.port = ANY_PORT;
	len = addr_to_sockaddr(&there, &sa);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, len) != 0)
		return false;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
	    addr_from_sockaddr((const struct sockaddr *)&sa, ret_from) != 0)
		return false;
	/* Else the source that was chosen would be kept for the next. */
	(void)connect(fd, &nowhere, sizeof(nowhere));
	return true;
}

static bool in_order_already(const struct addr *addrs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (addrs[i].family != AF_INET || scope_of(&addrs[i]) != scope_of(&addrs[0]))
			return count == 1;
	return true;
}

void order_addrs(struct addr *addrs, size_t count)
{
	struct order_pair pairs[ORDER_MAX];
	int fds[2] = {-1, -1};
	bool opened[2] = {false, false};

	assert(count <= ORDER_MAX);
	if (in_order_already(addrs, count))
		return;
	for (size_t i = 0; i < count; i++) {
		bool six = addrs[i].family == AF_INET6;

		if (!opened[six])
			fds[six] = socket(addrs[i].family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		opened[six] = true;
		pairs[i] = (struct order_pair){.to = addrs[i]};
		pairs[i].reachable = find_source(fds[six], &addrs[i], &pairs[i].from);
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	order_pairs(pairs, count);
	for (size_t i = 0; i < count; i++)
		addrs[i] = pairs[i].to;
}
