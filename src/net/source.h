/*
 * source -- the address that connections leave from: none in particular, one, or a
 * random one out of a prefix for each connection; of IPv4, of IPv6, or of each of them.
 *
 * A value; all zero is none in particular, which leaves it to the system.  The address need not be
 * on an interface (IP_FREEBIND): that answers find the way back is the network's business.
 */
#ifndef NET_SOURCE_H
#define NET_SOURCE_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/slice.h"
#include "net/addr.h"

struct source {
	struct network v4, v6; /* base.family 0: none.  Without both: none in particular */
};

/* Holds two of them with what is between, and the NUL. */
#define SOURCE_TEXT_MAX (2 * ADDR_TEXT_MAX + 2)

/*
 * "192.0.2.7", "2001:db8:1::/64", or one of each family: "192.0.2.7, 2001:db8:1::/64".  Not an
 * address that no connection can come from: unspecified, multicast, or link-local of IPv6 (it would
 * need an interface).  0 or -1.
 */
MUST_USE int source_parse(struct slice text, struct source *ret_source);
/* As source_parse reads it; "" for none in particular. */
void source_format(const struct source *source, char out[SOURCE_TEXT_MAX]);

bool source_is_set(const struct source *source);

/* For destinations of this family; NULL: none. */
const struct network *source_for(const struct source *source, sa_family_t family);

bool source_equal(const struct source *a, const struct source *b);

/* Only addresses of the families that it has can be reached: keeps those, in order, and counts. */
size_t source_keep(const struct source *source, struct addr *addrs, size_t count);

/* An address of the network; any bits behind the prefix are as likely as any others. */
struct addr source_pick(const struct network *from);

/*
 * Bind a TCP socket of this family that is going to connect; the port is chosen then.  0, or -1
 * with errno.
 */
MUST_USE int source_bind(const struct source *source, sa_family_t family, int fd);

#endif
