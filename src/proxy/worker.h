/*
 * worker -- one thread: event loop, evhttp on each listener, resolver, pool.
 *
 * Made and freed by daemon; between worker_start and worker_free everything in it belongs to its
 * thread, but for its metrics and worker_tell.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stddef.h>

#include "base/attr.h"

struct config;
struct metrics;
struct worker;

/*
 * Counts config.  Takes the listening sockets.  ended_fd: a byte is written to it when the
 * thread is about to end.  NULL with a sentence when it cannot be.
 */
struct worker *worker_new(struct config *config, const int *listeners, size_t listener_count,
    int ended_fd, const char **ret_error);

MUST_USE int worker_start(struct worker *w); /* 0 or an errno */

enum worker_command {
	WORKER_RELOAD, /* the snapshot for the requests to come */
	WORKER_REOPEN, /* the access log */
	WORKER_DRAIN,  /* accept no more, finish what runs (timeouts.drain), end */
	WORKER_STOP    /* end at once */
};

/* From any thread.  config: counted by the worker, for WORKER_RELOAD; else NULL. */
void worker_tell(struct worker *w, enum worker_command command, struct config *config);

const struct metrics *worker_metrics(const struct worker *w);

/* Wait for the end of the thread, if it was started, and free. */
void worker_free(struct worker *w);

#endif
