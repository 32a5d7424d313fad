/*
 * flow -- one direction of a tunnel: bytes from one side to the other.
 *
 * It reads only when everything read before has been delivered.  A small piece is passed on from
 * the stack, runs of bytes are spliced in the kernel through a pipe that is leased while it holds
 * some; where that does not work they are copied.  Embedded in the tunnel.
 */
#ifndef NET_FLOW_H
#define NET_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "net/pipe.h"

struct evbuffer;
struct pace;
struct side;

struct flow {
	struct side *from, *to;
	struct pipe_pool *pipes;
	struct pipe pipe;        /* leased while bytes move */
	struct evbuffer *copied; /* prefix, or bytes read without a pipe; NULL when empty */
	struct pace *pace;       /* of reading, freed with it; NULL: as fast as it comes */
	uint64_t sent;
	int error;   /* errno of what failed */
	bool copy;   /* splice does not work here */
	bool bulk;   /* the last piece was a large one: the next is spliced */
	bool ended;  /* the source gave its end */
	bool closed; /* the end was passed on, or the sink takes no more */
	bool fresh;  /* nothing was read since the edge: the owner sets it */
	bool moved;  /* bytes were delivered or read, or the end was: the owner takes it back */
};

/* Why it does not go on. */
enum flow_stop {
	FLOW_WAITS,       /* for one of the sides, or its pace; or it is closed */
	FLOW_UNFAIR,      /* others are to have their turn */
	FLOW_DELIVERED,   /* all there was, and the source has ended: the owner closes it */
	FLOW_SINK_FAILED, /* with `error`; closed */
	FLOW_SOURCE_FAILED
};

/* All is borrowed. */
void flow_init(
    struct flow *f, struct side *from, struct side *to, struct pipe_pool *pipes, bool copy);
void flow_done(struct flow *f);

/*
 * What came from the source before: goes out at once, as far as it goes, and the rest is held.
 * Emptied; may be NULL.  -1 when out of memory.
 */
MUST_USE int flow_prefix(struct flow *f, struct evbuffer *prefix);

/* Move what can be moved without waiting. */
enum flow_stop flow_run(struct flow *f);

/* What was read and not delivered. */
bool flow_holds(const struct flow *f);

/* Drop that: the sink takes no more. */
void flow_close(struct flow *f);

#endif
