/*
 * loader -- reads the configuration again in a thread of its own, while traffic goes on.
 *
 * Embedded; used by one thread, which polls its descriptor.  Reading lists is left to the time that
 * nobody else wants.
 */
#ifndef PROXY_LOADER_H
#define PROXY_LOADER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "proxy/config.h"

struct loader {
	int fd; /* readable when what was started is done; -1: not there */
	bool running;
	bool joinable; /* there is a thread, which may be at its end */
	pthread_t thread;
	atomic_bool stop;
	const char *path;
	const struct config *old;
	struct config *config;
	struct config_error error;
};

/* Returns 0, or -1 with errno. */
MUST_USE int loader_init(struct loader *l);
/* What is running is broken off. */
void loader_done(struct loader *l);

/*
 * Begin to read the file, as the one that follows old.  Borrows both until it is done.  Not while
 * it is running.  Returns 0, or -1 with errno.
 */
MUST_USE int loader_start(struct loader *l, const char *path, const struct config *old);

/* When fd is readable.  Returns new, or NULL: the file was refused, and *ret_why tells. */
struct config *loader_take(struct loader *l, const char **ret_why);

#endif
