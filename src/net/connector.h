/*
 * connector -- a plain socket to the first of several addresses that answers: a race of dials.
 *
 * Those that lose are closed before a byte is written to them.
 */
#ifndef NET_CONNECTOR_H
#define NET_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

struct addr;
struct connector;
struct event_base;
struct source;

/* fd: connected to address, now the callee's; or -1, and error (errno) says why. */
typedef void connector_done_fn(int fd, const struct addr *address, int error, void *arg);

/*
 * Copies the source and the addresses (count at least 1, of the source's family).  Calls done
 * exactly once, from the loop, as its last act; not from inside this call, not after
 * connector_cancel.  Returns NULL when out of memory.
 */
struct connector *connector_start(struct event_base *base, const struct source *source,
    const struct addr *addrs, size_t count, struct timeval total, connector_done_fn *done,
    void *arg);

/* More addresses, one that is known to answer, and whether there will be any: see race. */
void connector_add(struct connector *c, const struct addr *addrs, size_t count);
void connector_hurry(struct connector *c, const struct addr *to);
void connector_expect(struct connector *c, bool more);

void connector_cancel(struct connector *c);

#endif
