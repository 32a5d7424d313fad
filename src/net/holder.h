/*
 * holder -- the process that listens at an address, looked up in /proc.
 *
 * For a message to an operator.  What we may not look into is not found: processes of
 * other users, unless we are root, and all of them in a sandbox that hides /proc/net.
 */
#ifndef NET_HOLDER_H
#define NET_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

struct addr;

struct holder {
	pid_t pid;
	char name[32]; /* of the program; any bytes */
};

/*
 * A process that listens there, or at all addresses with that port.  Of several that share the
 * socket the one with the preferred name.  False when none is found.
 */
bool holder_find(const struct addr *at, const char *preferred, struct holder *ret_holder);

#endif
