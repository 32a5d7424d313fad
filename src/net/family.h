/*
 * family -- which of IPv4 and IPv6 may be used, and which goes first.
 */
#ifndef NET_FAMILY_H
#define NET_FAMILY_H

#include <stddef.h>

struct addr;

enum family {
	FAMILY_ANY, /* both, in the order they come */
	FAMILY_IPV4,
	FAMILY_IPV6,
	FAMILY_PREFER_IPV4,
	FAMILY_PREFER_IPV6
};

/* Takes out those that may not be used, and puts those in front that go first.  Returns how many
 * are left; the order is kept otherwise. */
size_t family_apply(enum family family, struct addr *addrs, size_t count);

#endif
