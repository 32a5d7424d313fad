/*
 * outflow -- bytes on their way to a socket.
 *
 * Three places, in this order: a text in front (a head, most often alone), a buffer, and a pipe
 * that was filled inside the kernel.  Embedded in a wire, which says when to send.
 */
#ifndef NET_OUTFLOW_H
#define NET_OUTFLOW_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/text.h"
#include "net/pipe.h"

struct pipe_pool;

struct outflow {
	struct pipe pipe; /* behind the buffer; leased while it holds something */
	struct pipe_pool *pipes;
	struct text front;
	size_t front_sent;       /* of it */
	struct evbuffer *buffer; /* made when needed, NULL while nothing is pending */
};

#define OUTFLOW_NOTHING ((struct outflow){.pipe = {.read_fd = -1, .write_fd = -1}})

/* Drop all of it: nothing is there again. */
void outflow_drop(struct outflow *o);

/* Copied, or moved out of the text, which is empty then, or the buffer.  -1 when out of memory. */
MUST_USE int outflow_add(struct outflow *o, const void *bytes, size_t len);
MUST_USE int outflow_add_text(struct outflow *o, struct text *text);
MUST_USE int outflow_add_from(struct outflow *o, struct evbuffer *from, size_t len); /* its first */

/* Move what is not piped out of it.  -1 when out of memory. */
MUST_USE int outflow_take(struct outflow *o, struct evbuffer *into);

/*
 * Send for one turn: until nothing is left, or others are to get theirs (0), or with an errno,
 * EAGAIN when the socket is full.  Adds to *sent.
 */
int outflow_send(struct outflow *o, int fd, size_t *sent);

/*
 * Fill the pipe with up to max bytes from this socket, while there is nothing but the pipe.
 * Returns as splice(2) does; 0 also when there is no pipe.
 */
MUST_USE ssize_t outflow_fill(struct outflow *o, int fd, struct pipe_pool *pipes, size_t max);

/* What lies in our own memory; and all of it. */
static inline size_t outflow_unsent(const struct outflow *o)
{
	return o->front.len - o->front_sent + (o->buffer ? evbuffer_get_length(o->buffer) : 0);
}

static inline size_t outflow_size(const struct outflow *o)
{
	return outflow_unsent(o) + o->pipe.held;
}

static inline bool outflow_is_piped(const struct outflow *o)
{
	return o->pipe.held > 0;
}

#endif
