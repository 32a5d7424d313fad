/*
 * acl -- who may use the proxy, and where they may go.
 *
 * Built once by config and read-only afterwards: all workers share one acl without
 * a lock.  Destinations of special purpose (loopback, link-local, metadata, multicast,
 * documentation, reserved; not private use) are denied unless allowed by an entry.
 * Addresses and entries are judged unmapped: ::ffff:127.0.0.1 is 127.0.0.1.  An IPv6
 * address that leads to an IPv4 address (NAT64, 6to4, Teredo) is judged by that one.
 */
#ifndef POLICY_ACL_H
#define POLICY_ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct acl;
struct addr;
struct network;

/* Returns new: nobody may do anything yet.  NULL when out of memory. */
struct acl *acl_new(void);
void acl_free(struct acl *acl);

/*
 * Append a copy: a network that clients may come from, ports that CONNECT may go to (both
 * ends included), a network of destinations exempt from the denial.  0, or -1 when out of
 * memory.
 */
MUST_USE int acl_add_client(struct acl *acl, const struct network *network);
MUST_USE int acl_add_connect_ports(struct acl *acl, uint16_t first, uint16_t last);
MUST_USE int acl_add_address(struct acl *acl, const struct network *network);

bool acl_allows_client(const struct acl *acl, const struct addr *client);
bool acl_allows_connect_port(const struct acl *acl, uint16_t port);
bool acl_allows_address(const struct acl *acl, const struct addr *destination);

#endif
