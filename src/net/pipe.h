/*
 * pipe -- kernel pipes for splice(2), kept in a small pool.
 *
 * A pool belongs to one worker and outlives its pipes.  Only empty pipes may be
 * given back; one that still holds bytes is thrown away with pipe_discard.
 */
#ifndef NET_PIPE_H
#define NET_PIPE_H

#include <stddef.h>

#include "base/attr.h"

struct pipe_pool;

struct pipe {
	int read_fd, write_fd; /* -1: none; non-blocking */
	size_t held;           /* bytes in it, kept up by its user */
};

/*
 * What is spliced into one at most.  The kernel counts a pipe's pieces, up to 64, not its bytes: a
 * piece can be a page, or 32 KiB and more of a socket.
 */
#define PIPE_HOLDS_MOST (512 * 1024)

/* At most `keep` unused pipes stay open.  NULL when out of memory. */
struct pipe_pool *pipe_pool_new(size_t keep);
void pipe_pool_free(struct pipe_pool *pool);

/* 0, or -1 with errno. */
MUST_USE int pipe_lease(struct pipe_pool *pool, struct pipe *ret_pipe);

/* Both set the descriptors to -1, and do nothing with a pipe that has none. */
void pipe_give(struct pipe_pool *pool, struct pipe *pipe);
void pipe_discard(struct pipe_pool *pool, struct pipe *pipe);

#endif
