/*
 * hosts -- what this machine itself says of a name: its hosts file, and "localhost".
 *
 * For dns only.  A name that the hosts file has is not asked for, of whatever family its
 * addresses are; nor is "localhost" and what is below it (RFC 6761 6.3).
 */
#ifndef NET_HOSTS_H
#define NET_HOSTS_H

#include <stdbool.h>

struct channel;
struct record;

/*
 * Reads the file.  True: all is known, and the addresses were added to the records; a record that
 * is NULL is not wanted.
 */
bool hosts_find(
    struct channel *channel, const char *name, struct record *ipv4, struct record *ipv6);

#endif
