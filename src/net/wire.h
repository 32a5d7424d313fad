/*
 * wire -- one connected socket, read and written in large pieces.
 *
 * Around two limits of libevent 2.1.12: a bufferevent reads at most 4 KiB an event
 * (EVBUFFER_MAX_READ, with an ioctl each) and registers for writing before it
 * tries to write.  A wire has its own read and write event on the descriptor,
 * reads what there is, writes at once, and registers for writing only what did not
 * fit.  Embedded in its owner.  Never closes the descriptor.
 */
#ifndef NET_WIRE_H
#define NET_WIRE_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "base/text.h"
#include "net/outflow.h"

struct evbuffer;
struct event_base;
struct pace;
struct pipe_pool;

/*
 * All are called from the event loop, never from inside a wire function, as the
 * last thing the wire does: they may call wire_done and free the wire's memory.
 */
struct wire_handler {
	/* Bytes, the end or an error can be read.  Only while reading is on. */
	void (*on_readable)(void *arg);
	/* The loop wrote some of what was pending: look at wire_pending. */
	void (*on_written)(void *arg);
	/* Writing failed with this errno; what was pending is dropped.  Reading may go on. */
	void (*on_broken)(int error, void *arg);
	/*
	 * The peer closed its side or reset while reading is off.  Once.  After wire_read gave the
	 * end: only when the connection is gone in both directions.  May be NULL.
	 */
	void (*on_hangup)(void *arg);
};

struct wire {
	int fd;
	bool reading, watching, broken;
	bool ended;      /* the end or an error was read */
	bool bulk;       /* the last read was a large one: the next goes straight into a buffer */
	int break_error; /* why writing broke */
	int read_error;  /* an error met after bytes had been read, kept for the next wire_read */
	struct event read_event; /* a mere timer while watching met unread bytes */
	struct event write_event;
	struct pace *pace;      /* of reading; NULL: as fast as it comes */
	struct outflow outflow; /* queued, or pending */
	struct event_base *base;
	const struct wire_handler *handler;
	void *arg;
};

/* Borrows fd (connected, non-blocking) and handler.  Reading is off.  Cannot fail. */
void wire_init(
    struct wire *w, struct event_base *base, int fd, const struct wire_handler *handler, void *arg);

/* Off the loop; pending bytes are dropped; the descriptor is left as it is.  Twice is fine. */
void wire_done(struct wire *w);

/*
 * Turn reading on or off.  While it is off, the wire watches for the peer's close
 * when watch is true: at once while nothing unread has arrived, else within half a second.
 * Off with watch is free of system calls when reading was on, and so is the way back.
 * wire_read turns reading off itself at the end and at an error.
 */
void wire_read_on(struct wire *w);
void wire_read_off(struct wire *w, bool watch);

/*
 * Append up to max bytes from the socket to `into`.  Returns the count, 0 at the
 * end, or -1 with errno (EAGAIN: nothing there; ENOMEM: bytes were lost, the
 * connection is of no more use).  An end that comes after writing met a reset is an
 * error, not an end: the kernel reports a reset only once, to whoever asks first.
 */
MUST_USE ssize_t wire_read(struct wire *w, struct evbuffer *into, size_t max);

/* Likewise into memory, with one system call: for what is mostly small and taken apart at once. */
MUST_USE ssize_t wire_read_bytes(struct wire *w, char *into, size_t size);

/* Look at what is next to be read, which stays.  Returns the count, 0 when there is nothing. */
size_t wire_peek(struct wire *w, char *into, size_t size);

/*
 * From now on read no faster than this allows: on_readable comes that much later, and less is read
 * at once, but for wire_read_bytes.  Spliced bytes count for the wire they come from.  bucket
 * NULL: as fast as can be.  Borrows the bucket until wire_unpace or wire_done.  -1 when out
 * of memory.
 */
MUST_USE int wire_pace(struct wire *w, struct allowance allowance);
void wire_unpace(struct wire *w);

/* Whether the loop has seen something to read and is about to tell on this very turn. */
bool wire_is_ready(const struct wire *w);

/*
 * Queue for writing: copied, or moved out of the buffer.  Nothing is sent before
 * wire_flush, so that a head and its body leave in one call.  On a broken wire
 * the bytes are dropped.  -1 when out of memory: nothing was queued.
 */
MUST_USE int wire_write(struct wire *w, const void *bytes, size_t len);
MUST_USE int wire_write_text(struct wire *w, struct text *text); /* which is empty then */
MUST_USE int wire_write_buffer(struct wire *w, struct evbuffer *from);
MUST_USE int wire_write_from(struct wire *w, struct evbuffer *from, size_t len); /* its first len */

/*
 * Send what is queued, as far as it goes at once; the loop does the rest.  An error
 * is not returned but reported to on_broken, from the loop.
 */
void wire_flush(struct wire *w);

/*
 * Move up to max bytes from the socket of `from` to the queue of w, inside the kernel.  Only while
 * nothing else is pending on w than what went the same way; what is queued before the next flush
 * goes out in front of them, and nothing may be queued behind them until they are gone
 * (wire_is_piped).  Returns the count, or 0 when it did not work, whyever, or there is no more
 * room: wire_read has the last word then, if nothing was moved.
 */
MUST_USE size_t wire_splice(struct wire *w, struct wire *from, struct pipe_pool *pipes, size_t max);

/* Bytes that were sent and have not reached the peer's kernel, as far as is known. */
size_t wire_unacked(const struct wire *w);
bool wire_is_piped(const struct wire *w);

/* Move what is queued out: for who takes the socket over.  -1 when out of memory. */
MUST_USE int wire_take_pending(struct wire *w, struct evbuffer *into);

/* Bytes queued and not yet taken by the kernel. */
size_t wire_pending(const struct wire *w);

/*
 * End the connection with a reset, right away (connect AF_UNSPEC), whatever was queued in the
 * kernel.  Closing the descriptor, later, is the owner's.
 */
void wire_reset(int fd);

#endif
