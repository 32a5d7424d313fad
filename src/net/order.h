/*
 * order -- the addresses of a destination, best first: RFC 6724 6 with the RFC's own
 * policy table.
 *
 * Rules 1, 2, 5, 6, 8 and 9; where they are silent the order stays as it was.  Rules 3,
 * 4 and 7 ask what an ordinary program is not told.  Which source address the kernel
 * would take is found out by connecting UDP sockets, as getaddrinfo(3) does: nothing is
 * sent.  That knowledge is as old as the order: what is then wrong costs an attempt
 * that fails, not the connection.
 */
#ifndef NET_ORDER_H
#define NET_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "net/addr.h"

#define ORDER_MAX 16

/* A destination, and the source address that would be taken for it. */
struct order_pair {
	struct addr to, from;
	bool reachable; /* else there is no source, and the destination comes last */
};

/* Pure.  count is at most ORDER_MAX. */
void order_pairs(struct order_pair *pairs, size_t count);

/*
 * The same, sources found out: for each address three system calls, and two for each
 * family.  None for a single address, nor for IPv4 addresses of one scope alone, of
 * which the rules prefer none.
 */
void order_addrs(struct addr *addrs, size_t count);

#endif
