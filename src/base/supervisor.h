/*
 * supervisor -- the service manager that started us: what it hands over, and what it is told.
 *
 * systemd's protocol, which others speak too; everything it needs is in the environment.
 * Without one, every call does nothing.  For the main thread.
 */
#ifndef BASE_SUPERVISOR_H
#define BASE_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* Sockets that were handed over: descriptors first_fd, first_fd + 1, ... */
struct supervisor_sockets {
	int first_fd;
	size_t count;
	char **names; /* count of them, "unknown" where there was none; NULL when count is 0 */
};

/*
 * Take the sockets; the environment forgets them, so a second call finds none.
 * Returns 0, or -1 with errno when what the environment says of them is not true.
 */
MUST_USE int supervisor_take_sockets(struct supervisor_sockets *ret_sockets);
void supervisor_sockets_done(struct supervisor_sockets *sockets); /* closes none */

bool supervisor_is_there(void); /* one that wants to be told */

/* SUPERVISOR_ALIVE must be told within every such time; 0: it need not. */
uint64_t supervisor_watchdog_us(void);

enum supervisor_news {
	SUPERVISOR_STATUS,    /* nothing but the status */
	SUPERVISOR_READY,     /* started, or done with reloading */
	SUPERVISOR_RELOADING, /* READY follows */
	SUPERVISOR_STOPPING,
	SUPERVISOR_ALIVE
};

/* status: a line for people, or NULL.  Returns 0, or -1 with errno when it was not sent. */
MUST_USE int supervisor_tell(enum supervisor_news news, const char *status);

#endif
