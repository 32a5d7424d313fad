/*
 * tunnel -- joins two connections until both are done.
 *
 * Runs of bytes are spliced in the kernel, small pieces copied, both ways at once; pipes are
 * leased when data moves and given back when none is held.  A side's end of stream is passed on as
 * a half-close, after everything before it was delivered, but for the last one, which the
 * owner passes on by closing; the tunnel is done when
 * both directions have ended, when one side is reset, or when nothing moved for
 * the idle time, or its lifetime is over.  Where splice does not work (EINVAL) or no pipe can be
 * had, bytes are copied.  An idle tunnel is its struct and nothing else.
 *
 * A side that reset is noticed at once, also while nothing is read from it; what it
 * had sent before goes on if the other side takes it without waiting.  A side that had
 * closed and resets what is still written to it (EPIPE) ends the tunnel only when all
 * it sent was delivered: an answer that came with the close is not lost.
 *
 * SIGPIPE has to be ignored: splice(2) knows no MSG_NOSIGNAL.
 */
#ifndef NET_TUNNEL_H
#define NET_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

#include "base/bucket.h"

struct evbuffer;
struct event_base;
struct pipe_pool;
struct tunnel;

enum tunnel_end {
	TUNNEL_FINISHED,      /* both directions came to their end */
	TUNNEL_CLIENT_FAILED, /* reading from or writing to the client failed (reset) */
	TUNNEL_SERVER_FAILED,
	TUNNEL_IDLE,
	TUNNEL_EXPIRED,     /* its lifetime is over */
	TUNNEL_NO_RESOURCES /* no pipe and no memory */
};

struct tunnel_result {
	enum tunnel_end end;
	int error;         /* errno of a failure */
	uint64_t up, down; /* bytes delivered: to the server, to the client; prefixes count */
};

struct tunnel_sides {
	/*
	 * Borrowed, non-blocking.  Once the tunnel runs nobody else may poll them: it becomes
	 * edge-triggered.  An event for reading (level-triggered) that is on the client's may be
	 * deleted right behind tunnel_start: the kernel need not hear of it then.
	 */
	int client_fd, server_fd;
	/* Came from the client already: goes to the server first.  Emptied.  May be NULL. */
	struct evbuffer *client_prefix;
	struct evbuffer *server_prefix; /* likewise, for the client */
	/* Of what is read from both sides.  The bucket is borrowed. */
	struct allowance allowance;
	bool copy;      /* do not even try to splice */
	int lifetime_s; /* when this is over it ends, however busy; 0: never */
};

/* Calls done exactly once, as its very last act: from the event loop, not from inside this call. */
typedef void tunnel_done_fn(const struct tunnel_result *result, void *arg);

/*
 * The descriptors stay open when it is done: closing them (with a reset when the other side
 * had one) is the owner's.  idle is rounded up to seconds.  Returns NULL when out of memory.
 */
struct tunnel *tunnel_start(struct event_base *base, struct pipe_pool *pipes,
    const struct tunnel_sides *sides, struct timeval idle, tunnel_done_fn *done, void *arg);

/* Bytes so far, for a tunnel that is cancelled. */
void tunnel_counts(const struct tunnel *t, uint64_t *ret_up, uint64_t *ret_down);

/* Stop and free; done is not called. */
void tunnel_cancel(struct tunnel *t);

#endif
