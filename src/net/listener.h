/*
 * listener -- a place we accept on.
 *
 * Opens a non-blocking, close-on-exec TCP socket that listens; IPv6 ones take
 * IPv6 only.  SO_REUSEADDR always; SO_REUSEPORT, so that each worker has its own.
 * One that was inherited (from systemd) keeps the options it came with.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>

#include "base/attr.h"

struct addr;

/* Returns the descriptor, or -1 with errno set. */
MUST_USE int listener_open(const struct addr *at, int backlog);

/*
 * Make a socket that we were handed ours: non-blocking, close-on-exec, no delay.  NULL, or why it
 * cannot be used: it is not a TCP socket that listens.
 */
const char *listener_adopt(int fd);

/*
 * Whether nobody listens there.  SO_REUSEPORT lets a second process of the same user share the
 * port in silence; this finds it out.  If not: false, with errno.
 */
bool listener_is_free(const struct addr *at);

/* Whether we could share the port with whoever has it: of our user, with SO_REUSEPORT, too. */
bool listener_may_share(const struct addr *at);

/*
 * Let nobody new in: who asks for a connection gets no answer, and asks again in a second.  Those
 * whose handshake is under way still come in, and can be accepted.  Off: as before.
 */
void listener_hold(int fd, bool on);

/* Whether a connection waits to be accepted. */
bool listener_has_waiting(int fd);

/* Whether an IPv6 one takes IPv4, too: one that we were handed may. */
bool listener_takes_both(int fd);

/* The address a socket is bound to (the port that the kernel chose for 0). */
MUST_USE int listener_address(int fd, struct addr *ret_addr);

#endif
