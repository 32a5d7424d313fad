/*
 * special -- addresses that are no ordinary place in the internet, and of what kind they are.
 *
 * All of IANA's two special-purpose address registries (RFC 6890), multicast, what is reserved,
 * and the metadata services of cloud machines.  An address is judged unmapped (::ffff:127.0.0.1
 * is 127.0.0.1), and one that leads to an IPv4 address which it carries (NAT64, 6to4, Teredo) by
 * that one.  Pure functions of tables; any thread.
 */
#ifndef POLICY_SPECIAL_H
#define POLICY_SPECIAL_H

#include <stdbool.h>

#include "base/slice.h"

struct addr;

/* An address is of one kind: metadata services are it wherever they are. */
enum special {
	SPECIAL_NONE = 0,
	SPECIAL_PRIVATE = 1,    /* RFC 1918, and fc00::/7 */
	SPECIAL_LOOPBACK = 2,   /* 127.0.0.0/8, ::1 */
	SPECIAL_LINK_LOCAL = 4, /* 169.254.0.0/16, fe80::/10 */
	SPECIAL_METADATA = 8,   /* 169.254.169.254 and its like */
	SPECIAL_RESERVED = 16,  /* all the rest */
	SPECIAL_ALL = 31
};

enum special special_of(const struct addr *a);

/* "private", "loopback", "link-local", "metadata", and "special" for all: the kinds; 0: no name. */
unsigned special_parse(struct slice name);
const char *special_name(enum special kind); /* of one kind, or of SPECIAL_ALL */

/* Whether reaching a means reaching an IPv4 address that it carries, mapped or translated. */
bool special_carries(const struct addr *a, struct addr *ret_v4);

#endif
