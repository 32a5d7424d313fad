/*
 * locality -- which addresses are this machine's, as the kernel routes them.
 *
 * The kernel is asked each time, and answers within the call: addresses come and go, and whole
 * networks may be local without being the address of any interface.  Any thread.
 */
#ifndef NET_LOCALITY_H
#define NET_LOCALITY_H

#include <stdbool.h>

struct addr;
struct locality;

/* Takes a netlink socket, which the sandbox refuses: before it.  NULL with errno. */
struct locality *locality_new(void);
void locality_free(struct locality *l); /* NULL is fine */

/*
 * Whether who connects there stays on this machine; true also when that cannot be found out, as
 * with NULL.
 */
bool locality_has(struct locality *l, const struct addr *a);

#endif
