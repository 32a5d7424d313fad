/*
 * addr -- one IP address with port, and the networks that contain it.
 *
 * Values, no allocation, any thread.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/slice.h"

struct addr {
	sa_family_t family; /* AF_INET or AF_INET6 */
	uint16_t port;      /* host order; 0 where none is meant */
	uint32_t scope;     /* sin6_scope_id */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} ip;
};

/* Holds "[IPv6%scope]:port" with its NUL. */
#define ADDR_TEXT_MAX 72

/* A dotted quad, or an IPv6 address without brackets and scope.  Sets port 0.  0 or -1. */
MUST_USE int addr_parse(struct slice text, struct addr *ret_addr);

/*
 * As addr_parse, and also every other way to write an IPv4 address that
 * inet_aton(3) knows: fewer parts, octal, hexadecimal ("127.1", "0x7f000001").
 */
MUST_USE int addr_parse_loose(struct slice text, struct addr *ret_addr);

/* "192.0.2.1:80" or "[2001:db8::1]:80"; without the port and brackets: addr_format_ip. */
void addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);
void addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX]);

MUST_USE int addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret_addr);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_sa);

/* An IPv4-mapped IPv6 address (::ffff:0:0/96) as the IPv4 address it stands for; else a itself. */
struct addr addr_unmapped(const struct addr *a);

/* 0.0.0.0 or ::, which listens on all addresses; who connects there gets to loopback. */
bool addr_is_unspecified(const struct addr *a);

/* Same family and address, whatever the ports and scopes. */
bool addr_same_ip(const struct addr *a, const struct addr *b);

/* Same family, address (with its scope) and port. */
bool addr_equal(const struct addr *a, const struct addr *b);

/*
 * Who an address stands for when clients are counted: itself, or its IPv6 /64 (with the scope),
 * as whoever has one address of that most often has them all.  For a map's key.
 */
struct addr_client {
	uint8_t bytes[12];
	size_t len;
};
struct addr_client addr_client(const struct addr *a);

struct network {
	struct addr base; /* bits behind the prefix are zero; the port means nothing */
	uint8_t bits;
};

/* "10.0.0.0/8", "::1" (all bits).  Bits behind the prefix that are not zero are an error.  0 or -1.
 */
MUST_USE int network_parse(struct slice text, struct network *ret_network);
void network_format(const struct network *n, char out[ADDR_TEXT_MAX]);
/* A network of IPv4-mapped addresses as the IPv4 network it stands for; else n itself. */
struct network network_unmapped(const struct network *n);
/* False for another family: give it addr_unmapped addresses. */
bool network_contains(const struct network *n, const struct addr *a);

#endif
