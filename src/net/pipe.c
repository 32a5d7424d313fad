#include "net/pipe.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Larger pipes save system calls, but all pipes of a user together have a soft limit of 64 MiB
 * (fs.pipe-user-pages-soft); above it new ones come with two pages.  So only the first few,
 * which are those the pool hands out again and again, are made large.
 */
enum { PIPE_LARGE = 256 * 1024, PIPE_LARGE_MOST = 32 };

struct pipe_pool {
	size_t open; /* unused and leased */
	size_t keep, unused;
	struct pipe pipes[];
};

struct pipe_pool *pipe_pool_new(size_t keep)
{
	struct pipe_pool *pool = malloc(sizeof(*pool) + keep * sizeof(pool->pipes[0]));

	if (pool)
		*pool = (struct pipe_pool){.keep = keep};
	return pool;
}

void pipe_pool_free(struct pipe_pool *pool)
{
	if (!pool)
		return;
	while (pool->unused > 0)
		pipe_discard(pool, &pool->pipes[--pool->unused]);
	free(pool);
}

int pipe_lease(struct pipe_pool *pool, struct pipe *ret_pipe)
{
	int fds[2];

	if (pool->unused > 0) {
		*ret_pipe = pool->pipes[--pool->unused];
		return 0;
	}
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	if (pool->open++ < PIPE_LARGE_MOST)
		(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_LARGE);
	*ret_pipe = (struct pipe){.read_fd = fds[0], .write_fd = fds[1]};
	return 0;
}

void pipe_give(struct pipe_pool *pool, struct pipe *pipe)
{
	assert(pipe->read_fd < 0 || pipe->held == 0);
	if (pipe->read_fd < 0)
		return;
	if (pool->unused == pool->keep) {
		pipe_discard(pool, pipe);
		return;
	}
	pool->pipes[pool->unused++] = *pipe;
	pipe->read_fd = pipe->write_fd = -1;
}

void pipe_discard(struct pipe_pool *pool, struct pipe *pipe)
{
	if (pipe->read_fd < 0)
		return;
	close(pipe->read_fd);
	close(pipe->write_fd);
	pool->open--;
	*pipe = (struct pipe){.read_fd = -1, .write_fd = -1};
}
