/*
 * dial -- one TCP connection attempt.
 *
 * From the source, of the address's family if of any.  Non-blocking, close-on-exec, TCP_NODELAY. No
 * timer of its own: race has one.
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "base/attr.h"

struct addr;
struct dial;
struct event_base;
struct source;

/* fd: connected, now the callee's; or -1 and error (errno) says why. */
typedef void dial_done_fn(int fd, int error, void *arg);

/*
 * Calls done exactly once, from the event loop: never from inside this call, and
 * not after dial_cancel, which closes the socket.  A connect that fails at once is
 * reported through done as well.  Returns NULL with errno set when the machine lacks what it takes
 * to connect to anywhere: memory, descriptors.
 */
struct dial *dial_start(struct event_base *base, const struct addr *to, const struct source *source,
    dial_done_fn *done, void *arg);
void dial_cancel(struct dial *d);

#endif
