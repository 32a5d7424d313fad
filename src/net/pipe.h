/*
 * pipe -- kernel pipes for splice(2), kept in a small pool.
 *
 * A pool belongs to one worker.  Only empty pipes may be given back; one that
 * still holds bytes is thrown away with pipe_discard.
 */
#ifndef NET_PIPE_H
#define NET_PIPE_H

#include <stddef.h>

struct pipe_pool;

struct pipe {
	int read_fd, write_fd; /* -1: none */
	size_t held;           /* bytes in it, kept up by its user */
	size_t capacity;
};

struct pipe_pool *pipe_pool_new(size_t keep); /* at most `keep` unused pipes stay open */
void pipe_pool_free(struct pipe_pool *pool);

/* 0, or -1 with errno. */
int pipe_lease(struct pipe_pool *pool, struct pipe *ret_pipe);
void pipe_give(struct pipe_pool *pool, struct pipe *pipe); /* sets the descriptors to -1 */
void pipe_discard(struct pipe *pipe);                      /* likewise */

#endif
