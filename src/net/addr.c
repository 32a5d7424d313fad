#include "net/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Longer than any host name: inet_aton allows leading zeros without end. */
#define ADDR_LOOSE_MAX 256

/* A terminated copy of text, or -1 when it does not fit or holds a NUL. */
static int addr_terminate(struct slice text, char *out, size_t size)
{
	if (text.len == 0 || text.len >= size || memchr(text.ptr, '\0', text.len))
		return -1;
	memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
	return 0;
}

int addr_parse(struct slice text, struct addr *ret_addr)
{
	struct addr a = {0};
	char copy[INET6_ADDRSTRLEN];

	if (addr_terminate(text, copy, sizeof(copy)) < 0)
		return -1;
	a.family = memchr(copy, ':', text.len) ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, copy, &a.ip) != 1)
		return -1;
	*ret_addr = a;
	return 0;
}

int addr_parse_loose(struct slice text, struct addr *ret_addr)
{
	struct addr a = {.family = AF_INET};
	char copy[ADDR_LOOSE_MAX];

	/* Most names: none of these forms ends in a letter beyond f, but for 0x. */
	if (text.len > 0 && (text.ptr[text.len - 1] | 0x20) > 'f' &&
	    (text.ptr[text.len - 1] | 0x20) != 'x')
		return -1;
	if (addr_parse(text, ret_addr) == 0)
		return 0;
	if (addr_terminate(text, copy, sizeof(copy)) < 0)
		return -1;
	/* inet_aton ignores whatever follows a space. */
	if (copy[strspn(copy, "0123456789abcdefABCDEFxX.")] != '\0')
		return -1;
	if (!inet_aton(copy, &a.ip.v4))
		return -1;
	*ret_addr = a;
	return 0;
}

/* Every line of the access log has two addresses: inet_ntop's printf would be most of its cost. */
static char *addr_put_number(char *at, unsigned number)
{
	char digits[10];
	size_t count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count > 0)
		*at++ = digits[--count];
	return at;
}

static void addr_format_v4(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	uint32_t ip = ntohl(a->ip.v4.s_addr);

	for (int shift = 24; shift >= 0; shift -= 8) {
		out = addr_put_number(out, ip >> shift & 255);
		*out++ = '.';
	}
	out[-1] = '\0';
}

void addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	size_t len;

	assert(a->family == AF_INET || a->family == AF_INET6);
	if (a->family == AF_INET) {
		addr_format_v4(a, out);
		return;
	}
	inet_ntop(AF_INET6, &a->ip, out, ADDR_TEXT_MAX);
	if (a->scope != 0) {
		len = strlen(out);
		snprintf(out + len, ADDR_TEXT_MAX - len, "%%%u", (unsigned)a->scope);
	}
}

void addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	bool brackets = a->family == AF_INET6;
	char ip[ADDR_TEXT_MAX];
	size_t len;

	/* The longest, with scope, has 56 characters, port and brackets 8. */
	addr_format_ip(a, ip);
	len = strlen(ip);
	if (brackets)
		*out++ = '[';
	memcpy(out, ip, len);
	out += len;
	if (brackets)
		*out++ = ']';
	*out++ = ':';
	out = addr_put_number(out, a->port);
	*out = '\0';
}

int addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret_addr)
{
	struct addr a = {.family = sa->sa_family};
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	/* Copied: nothing says that sa is aligned for more than its family. */
	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		a.ip.v4 = v4.sin_addr;
		a.port = ntohs(v4.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&v6, sa, sizeof(v6));
		a.ip.v6 = v6.sin6_addr;
		a.port = ntohs(v6.sin6_port);
		a.scope = v6.sin6_scope_id;
	} else {
		return -1;
	}
	*ret_addr = a;
	return 0;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_sa)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	assert(a->family == AF_INET || a->family == AF_INET6);
	memset(ret_sa, 0, sizeof(*ret_sa));
	if (a->family == AF_INET) {
		v4.sin_port = htons(a->port);
		v4.sin_addr = a->ip.v4;
		memcpy(ret_sa, &v4, sizeof(v4));
		return sizeof(v4);
	}
	v6.sin6_port = htons(a->port);
	v6.sin6_addr = a->ip.v6;
	v6.sin6_scope_id = a->scope;
	memcpy(ret_sa, &v6, sizeof(v6));
	return sizeof(v6);
}

struct addr addr_unmapped(const struct addr *a)
{
	struct addr v4 = {.family = AF_INET, .port = a->port};

	if (a->family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->ip.v6))
		return *a;
	memcpy(&v4.ip.v4, &a->ip.v6.s6_addr[12], sizeof(v4.ip.v4));
	return v4;
}

/* The bytes of the address, most significant first, and how many they are. */
static const uint8_t *addr_bytes(const struct addr *a, size_t *ret_len)
{
	*ret_len = a->family == AF_INET ? sizeof(a->ip.v4) : sizeof(a->ip.v6);
	return (const uint8_t *)&a->ip;
}

bool addr_is_unspecified(const struct addr *a)
{
	return a->family == AF_INET ? a->ip.v4.s_addr == htonl(INADDR_ANY)
				    : IN6_IS_ADDR_UNSPECIFIED(&a->ip.v6);
}

struct addr_client addr_client(const struct addr *a)
{
	struct addr plain = addr_unmapped(a);
	struct addr_client client = {.len = sizeof(plain.ip.v4)};

	if (plain.family == AF_INET) {
		memcpy(client.bytes, &plain.ip.v4, sizeof(plain.ip.v4));
		return client;
	}
	memcpy(client.bytes, &plain.ip.v6, 8);
	memcpy(client.bytes + 8, &plain.scope, 4);
	client.len = 12;
	return client;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	size_t len;

	addr_bytes(a, &len);
	return a->family == b->family && memcmp(&a->ip, &b->ip, len) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_same_ip(a, b) && a->port == b->port &&
	       (a->family != AF_INET6 || a->scope == b->scope);
}

/* A prefix length in plain decimal, no leading zero, at most max. */
static int network_parse_bits(struct slice text, unsigned max, uint8_t *ret_bits)
{
	unsigned bits = 0;

	if (text.len == 0 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0'))
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return -1;
		bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
	}
	if (bits > max)
		return -1;
	*ret_bits = (uint8_t)bits;
	return 0;
}

/* The bits of byte number i that a prefix of that many bits covers. */
static uint8_t network_mask(unsigned bits, size_t i)
{
	if (bits >= 8 * (i + 1))
		return 0xff;
	if (bits <= 8 * i)
		return 0;
	return (uint8_t)(0xff << (8 * (i + 1) - bits));
}

int network_parse(struct slice text, struct network *ret_network)
{
	const char *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
	size_t ip_len = slash ? (size_t)(slash - text.ptr) : text.len;
	struct network n = {0};
	const uint8_t *bytes;
	size_t len;

	if (addr_parse((struct slice){text.ptr, ip_len}, &n.base) < 0)
		return -1;
	bytes = addr_bytes(&n.base, &len);
	n.bits = (uint8_t)(8 * len);
	if (slash) {
		struct slice bits = {slash + 1, text.len - ip_len - 1};

		if (network_parse_bits(bits, n.bits, &n.bits) < 0)
			return -1;
	}
	for (size_t i = 0; i < len; i++)
		if (bytes[i] & ~network_mask(n.bits, i))
			return -1;
	*ret_network = n;
	return 0;
}

void network_format(const struct network *n, char out[ADDR_TEXT_MAX])
{
	size_t len;

	addr_format_ip(&n->base, out);
	len = strlen(out);
	snprintf(out + len, ADDR_TEXT_MAX - len, "/%u", (unsigned)n->bits);
}

struct network network_unmapped(const struct network *n)
{
	struct network plain = {addr_unmapped(&n->base), n->bits};

	if (plain.base.family == n->base.family || n->bits < 96)
		return *n;
	plain.bits = (uint8_t)(n->bits - 96);
	return plain;
}

bool network_contains(const struct network *n, const struct addr *a)
{
	const uint8_t *base, *ip;
	size_t len;

	if (n->base.family != a->family)
		return false;
	base = addr_bytes(&n->base, &len);
	ip = addr_bytes(a, &len);
	for (size_t i = 0; i < len && 8 * i < n->bits; i++)
		if ((base[i] ^ ip[i]) & network_mask(n->bits, i))
			return false;
	return true;
}
