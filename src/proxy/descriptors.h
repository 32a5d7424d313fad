/*
 * descriptors -- how many open files the limits need, and the right to have them.
 *
 * Clients may each hold two: their own connection and one to an origin.  To these come, for each
 * worker, the idle connections of the pool (limits.pool), the sockets listened on, and some
 * for the event loop, the log, the resolver and spare pipes.  Bodies and tunnels in full
 * flow go through kernel pipes, up to four descriptors each; without them bytes are copied, so
 * these are wished for, not needed.
 */
#ifndef PROXY_DESCRIPTORS_H
#define PROXY_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

struct config;

struct descriptors {
	uint64_t needed, wished; /* of the whole process */
};

struct descriptors descriptors_of(const struct config *config, size_t workers);

/*
 * Raise our limit of open files to what is wished for, as far as we may.  Logs a warning, with
 * the numbers, when it stays below what is needed.
 */
void descriptors_raise(const struct config *config, size_t workers);

/* What the limit will be able to become; UINT64_MAX: anything. */
uint64_t descriptors_allowed(void);

#endif
