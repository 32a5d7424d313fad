/*
 * relay -- moves one message body at the pace of the slower side.
 *
 * One direction of an exchange: takes what has arrived, lets body find where it ends, and
 * queues it on the sink's wire.  Chunks stay what they are: their framing is passed on where it
 * is plain, and written anew where it is not.  A body without an end of its own is put into
 * chunks, one that may not be chunked is taken out of them.  Holds no bytes itself.  Long runs
 * are spliced past all that.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "http/body.h"

struct evbuffer;
struct pipe_pool;
struct wire;

struct relay {
	struct body body;   /* as it comes; set up by the owner, freed by relay_done */
	enum body_kind out; /* as it goes: chunked, or the bare payload */
	struct wire *sink;  /* borrowed */
	size_t high;        /* the source is to stop while the sink holds this much */
	uint64_t bytes;     /* payload so far */
	bool open;          /* the last chunk that was sent has not got its CRLF */
	unsigned trust;     /* so many chunks to come are taken for large ones */
};

enum relay_state { RELAY_MORE, RELAY_ENDED, RELAY_BAD, RELAY_NO_MEMORY };

/*
 * Take everything out of `from` up to the body's end, and queue it (wire_flush is the
 * caller's).  What stands behind the end is left in `from`.
 */
MUST_USE enum relay_state relay_push(struct relay *r, struct evbuffer *from);

/*
 * When much is to come in one run and nothing is pending: move some from the socket to the sink's
 * queue inside the kernel.  1 when it did, 0 when it was not to be (then read, and push), -1
 * when out of memory.
 */
MUST_USE int relay_splice(struct relay *r, struct wire *from, struct pipe_pool *pipes);

/*
 * Send what is queued.  A spliced chunk of our own that is gone is closed too: nobody waits for
 * the next one to come.
 */
void relay_flush(struct relay *r);

/* The source has closed: RELAY_ENDED when that was the body's end, else RELAY_BAD. */
MUST_USE enum relay_state relay_close(struct relay *r);

bool relay_is_full(const struct relay *r);   /* not to be pushed to */
bool relay_is_behind(const struct relay *r); /* stop the source */
bool relay_has_room(const struct relay *r);  /* let it go on */

void relay_done(struct relay *r);

#endif
