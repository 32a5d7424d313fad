/*
 * reserve -- descriptors that accepting leaves to what runs already.
 *
 * A client that was let in needs more of them: a connection to its origin, and pipes.  Of all
 * that the process may have, a quarter is kept for that, 1024 at most.
 */
#ifndef NET_RESERVE_H
#define NET_RESERVE_H

#include <stdbool.h>

/* Whether only the reserve is left, or less.  Three system calls. */
bool reserve_is_reached(void);

#endif
