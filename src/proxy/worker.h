/*
 * worker -- one thread: event loop, evhttp on each listener, resolver, pool.
 *
 * Made and freed by daemon; between worker_start and worker_free everything in it belongs to its
 * thread, but for its metrics and worker_tell.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct auth;
struct checker;
struct config;
struct entrance;
struct limit;
struct locality;
struct metrics;
struct worker;

#define WORKER_MAX 256

/* How many the key `workers` means: 0 is one for each CPU. */
size_t worker_wanted(int workers);

/* What a worker writes to its report pipe, each in one piece. */
struct worker_report {
	enum {
		WORKER_HAS_LEFT, /* the socket fd is not used any more */
		WORKER_HAS_ENDED /* the thread is about to end */
	} what;
	int fd;
};

/* What all workers share; borrowed. */
struct worker_shared {
	struct limit *limit;
	struct auth *auth;
	struct checker *checker;
	struct locality *locality; /* NULL: not to be had */
	int report_fd;             /* where reports are written to */
};

/* Counts config.  NULL with a sentence when it cannot be. */
struct worker *worker_new(
    struct config *config, const struct worker_shared *shared, const char **ret_error);

/* Before worker_start: METRIC_BEATS goes up so often while the loop goes round; 0: never. */
void worker_beat_every(struct worker *w, uint64_t us);

MUST_USE int worker_start(struct worker *w); /* 0 or an errno */

enum worker_command {
	WORKER_LISTEN,  /* accept on this socket, too; borrowed until WORKER_HAS_LEFT */
	WORKER_RENAME,  /* clients of this socket come in by that entrance, from WORKER_RELOAD on */
	WORKER_LEAVE,   /* no more, once its queue is empty */
	WORKER_ABANDON, /* no more: who is in its queue is for others to accept */
	WORKER_RELOAD,  /* the snapshot for the requests to come */
	WORKER_REOPEN,  /* the access log */
	WORKER_DRAIN,   /* finish what runs (timeouts.drain); end when all sockets are left, too */
	WORKER_STOP     /* end at once */
};

struct worker_order {
	enum worker_command command;
	struct config *config;     /* counted by the worker; for WORKER_RELOAD, else NULL */
	int fd;                    /* for the first four */
	struct entrance *entrance; /* for the first two, else NULL; taken */
};

/* From any thread.  -1 when it cannot be reached, which is logged. */
int worker_tell(struct worker *w, const struct worker_order *order);

const struct metrics *worker_metrics(const struct worker *w);
bool worker_has_ended(const struct worker *w); /* its loop goes round no more */

/* Wait for the end of the thread, if it was started, and free. */
void worker_free(struct worker *w);

#endif
