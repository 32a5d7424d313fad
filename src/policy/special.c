#include "policy/special.h"

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "net/addr.h"

struct block4 {
	uint32_t base;
	uint8_t bits;
	uint8_t kind;
};

/* The upper and the lower half, each in host order. */
struct half {
	uint64_t high, low;
};

struct block6 {
	struct half base;
	uint8_t bits;
	uint8_t kind;
};

#define IPV4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define HALF(a, b, c, d) ((uint64_t)(a) << 48 | (uint64_t)(b) << 32 | (uint64_t)(c) << 16 | (d))
#define IPV6(a, b, c, d)                                                                           \
	{                                                                                          \
		HALF(a, b, c, d), 0                                                                \
	}
#define IPV6_LOW(a, b, c, d, low)                                                                  \
	{                                                                                          \
		HALF(a, b, c, d), (low)                                                            \
	}

/* The first that holds an address says its kind. */
static const struct block4 blocks4[] = {
    {IPV4(100, 100, 100, 200), 32, SPECIAL_METADATA},
    {IPV4(168, 63, 129, 16), 32, SPECIAL_METADATA},
    {IPV4(169, 254, 169, 254), 32, SPECIAL_METADATA},
    {IPV4(169, 254, 170, 2), 32, SPECIAL_METADATA}, /* of containers */
    {IPV4(192, 0, 0, 192), 32, SPECIAL_METADATA},
    {IPV4(0, 0, 0, 0), 8, SPECIAL_RESERVED}, /* this network, RFC 791 */
    {IPV4(10, 0, 0, 0), 8, SPECIAL_PRIVATE},
    {IPV4(100, 64, 0, 0), 10, SPECIAL_RESERVED}, /* shared by carriers, RFC 6598 */
    {IPV4(127, 0, 0, 0), 8, SPECIAL_LOOPBACK}, {IPV4(169, 254, 0, 0), 16, SPECIAL_LINK_LOCAL},
    {IPV4(172, 16, 0, 0), 12, SPECIAL_PRIVATE},
    {IPV4(192, 0, 0, 0), 24, SPECIAL_RESERVED},    /* protocol assignments, all nine of them */
    {IPV4(192, 0, 2, 0), 24, SPECIAL_RESERVED},    /* documentation, RFC 5737 */
    {IPV4(192, 31, 196, 0), 24, SPECIAL_RESERVED}, /* AS112, RFC 7535 */
    {IPV4(192, 52, 193, 0), 24, SPECIAL_RESERVED}, /* AMT, RFC 7450 */
    {IPV4(192, 88, 99, 0), 24, SPECIAL_RESERVED},  /* 6to4 relays, RFC 7526; 6a44, RFC 6751 */
    {IPV4(192, 168, 0, 0), 16, SPECIAL_PRIVATE},
    {IPV4(192, 175, 48, 0), 24, SPECIAL_RESERVED}, /* AS112, RFC 7534 */
    {IPV4(198, 18, 0, 0), 15, SPECIAL_RESERVED},   /* benchmarks, RFC 2544 */
    {IPV4(198, 51, 100, 0), 24, SPECIAL_RESERVED}, /* documentation */
    {IPV4(203, 0, 113, 0), 24, SPECIAL_RESERVED},  /* documentation */
    {IPV4(224, 0, 0, 0), 4, SPECIAL_RESERVED},     /* multicast */
    {IPV4(240, 0, 0, 0), 4, SPECIAL_RESERVED},     /* reserved, and broadcast */
};

static const struct block6 blocks6[] = {
    {IPV6_LOW(0xfd00, 0x42, 0, 0, 0x42), 128, SPECIAL_METADATA},
    {IPV6_LOW(0xfd00, 0xc1, 0, 0, 0xa9fea9fe), 128, SPECIAL_METADATA},
    {IPV6_LOW(0xfd00, 0xec2, 0, 0, 0x23), 128, SPECIAL_METADATA}, /* of containers */
    {IPV6_LOW(0xfd00, 0xec2, 0, 0, 0x254), 128, SPECIAL_METADATA},
    {IPV6_LOW(0xfd20, 0xce, 0, 0, 0x254), 128, SPECIAL_METADATA},
    {IPV6_LOW(0, 0, 0, 0, 1), 128, SPECIAL_LOOPBACK},
    {IPV6(0, 0, 0, 0), 96, SPECIAL_RESERVED}, /* unspecified, IPv4-compatible, RFC 4291 2.5.5.1 */
    {IPV6(0x64, 0xff9b, 1, 0), 48, SPECIAL_RESERVED},      /* local translation, RFC 8215: where the
							      IPv4 address is, is local too */
    {IPV6(0x100, 0, 0, 0), 64, SPECIAL_RESERVED},          /* discarded, RFC 6666 */
    {IPV6(0x100, 0, 0, 1), 64, SPECIAL_RESERVED},          /* dummy, RFC 9780 */
    {IPV6(0x2001, 0, 0, 0), 23, SPECIAL_RESERVED},         /* protocol assignments, RFC 2928:
							      benchmarks, AMT, AS112, ORCHID, DRIP */
    {IPV6(0x2001, 0xdb8, 0, 0), 32, SPECIAL_RESERVED},     /* documentation, RFC 3849 */
    {IPV6(0x2620, 0x4f, 0x8000, 0), 48, SPECIAL_RESERVED}, /* AS112, RFC 7534 */
    {IPV6(0x3fff, 0, 0, 0), 20, SPECIAL_RESERVED},         /* documentation, RFC 9637 */
    {IPV6(0x5f00, 0, 0, 0), 16, SPECIAL_RESERVED},         /* segment routing, RFC 9602 */
    {IPV6(0xfc00, 0, 0, 0), 7, SPECIAL_PRIVATE},           /* unique local, RFC 4193 */
    {IPV6(0xfe80, 0, 0, 0), 10, SPECIAL_LINK_LOCAL},
    {IPV6(0xfec0, 0, 0, 0), 10, SPECIAL_RESERVED}, /* site-local, RFC 3879 */
    {IPV6(0xff00, 0, 0, 0), 8, SPECIAL_RESERVED},  /* multicast */
};

/* IPv6 networks whose addresses lead to an IPv4 address that they carry. */
static const struct carrier {
	struct half base;
	uint8_t bits;
	uint8_t offset; /* of the IPv4 address, in bytes */
	uint8_t mask;   /* each byte of it is written xor this */
} carriers[] = {
    {IPV6_LOW(0x64, 0xff9b, 0, 0, 0), 96, 12, 0x00},                    /* NAT64, RFC 6052 */
    {IPV6_LOW(0, 0, 0, 0, UINT64_C(0xffff000000000000)), 96, 12, 0x00}, /* translated, RFC 2765 */
    {IPV6(0x2002, 0, 0, 0), 16, 2, 0x00},                               /* 6to4, RFC 3056 */
    {IPV6(0x2001, 0, 0, 0), 32, 12, 0xff},                              /* Teredo, RFC 4380 */
};

#define TEREDO 0x20010000 /* the first 32 bits */

static const struct {
	const char *name;
	enum special kinds;
} names[] = {
    {"private", SPECIAL_PRIVATE},
    {"loopback", SPECIAL_LOOPBACK},
    {"link-local", SPECIAL_LINK_LOCAL},
    {"metadata", SPECIAL_METADATA},
    {"special", SPECIAL_ALL},
};

static struct half half_of(const struct addr *a)
{
	struct half h = {0, 0};

	for (size_t i = 0; i < 8; i++) {
		h.high = h.high << 8 | a->ip.v6.s6_addr[i];
		h.low = h.low << 8 | a->ip.v6.s6_addr[8 + i];
	}
	return h;
}

static bool half_begins(struct half a, struct half base, unsigned bits)
{
	if (bits <= 64)
		return ((a.high ^ base.high) >> (64 - bits)) == 0;
	return a.high == base.high && ((a.low ^ base.low) >> (128 - bits)) == 0;
}

static enum special special_of4(uint32_t ip)
{
	for (size_t i = 0; i < ARRAY_LEN(blocks4); i++) {
		if (((ip ^ blocks4[i].base) >> (32 - blocks4[i].bits)) == 0)
			return blocks4[i].kind;
	}
	return SPECIAL_NONE;
}

static enum special special_of6(struct half ip)
{
	for (size_t i = 0; i < ARRAY_LEN(blocks6); i++) {
		if (half_begins(ip, blocks6[i].base, blocks6[i].bits))
			return blocks6[i].kind;
	}
	return SPECIAL_NONE;
}

/* A Teredo address names its server too; one that is special leads nowhere good. */
static bool has_bad_server(struct half ip)
{
	return ip.high >> 32 == TEREDO && special_of4((uint32_t)ip.high) != SPECIAL_NONE;
}

bool special_carries(const struct addr *a, struct addr *ret_v4)
{
	struct addr v4 = {.family = AF_INET, .port = a->port};
	uint8_t bytes[4];
	struct half ip;

	if (a->family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&a->ip.v6)) {
		*ret_v4 = addr_unmapped(a);
		return true;
	}
	ip = half_of(a);
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
		const struct carrier *c = &carriers[i];

		if (!half_begins(ip, c->base, c->bits) || has_bad_server(ip))
			continue;
		for (size_t k = 0; k < 4; k++)
			bytes[k] = a->ip.v6.s6_addr[c->offset + k] ^ c->mask;
		memcpy(&v4.ip.v4, bytes, sizeof(bytes));
		*ret_v4 = v4;
		return true;
	}
	return false;
}

enum special special_of(const struct addr *a)
{
	struct addr v4;

	if (a->family == AF_INET)
		return special_of4(ntohl(a->ip.v4.s_addr));
	if (a->family != AF_INET6)
		return SPECIAL_RESERVED;
	return special_carries(a, &v4) ? special_of4(ntohl(v4.ip.v4.s_addr))
				       : special_of6(half_of(a));
}

unsigned special_parse(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_is(name, names[i].name))
			return names[i].kinds;
	}
	return SPECIAL_NONE;
}

const char *special_name(enum special kind)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].kinds == kind)
			return names[i].name;
	}
	return "reserved";
}
