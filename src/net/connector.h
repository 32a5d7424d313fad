/*
 * connector -- a plain socket to the first of several addresses that answers: a race of dials.
 */
#ifndef NET_CONNECTOR_H
#define NET_CONNECTOR_H

#include <stddef.h>
#include <sys/time.h>

struct addr;
struct connector;
struct event_base;

/* fd: connected to address, now the callee's; or -1, and error (errno) says why. */
typedef void connector_done_fn(int fd, const struct addr *address, int error, void *arg);

/*
 * Copies the addresses (count at least 1).  Calls done exactly once, from the loop, as its last
 * act; not from inside this call, not after connector_cancel.  Returns NULL when out of memory.
 */
struct connector *connector_start(struct event_base *base, const struct addr *addrs, size_t count,
    struct timeval total, connector_done_fn *done, void *arg);
void connector_cancel(struct connector *c);

#endif
