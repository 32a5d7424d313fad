/*
 * ground -- what origin, limit and load stand on: a CPU of their own, descriptors,
 * a listening socket, and HTTP/1.1 messages sent and received at little cost.
 *
 * One thread.  What cannot be had at the start ends the program with a sentence.
 */
#ifndef BENCH_GROUND_H
#define BENCH_GROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct epoll_event;

/* Say the program's name and the sentence on stderr, and exit with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void ground_fail(const char *format, ...);

/* The decimal number in text, which is at most most; what names it when it is none. */
uint64_t ground_number(const char *text, uint64_t most, const char *what);

void ground_pin(int cpu);

/* Raise the limit of open files to wanted where that is allowed.  Returns the limit there is. */
uint64_t ground_descriptors(uint64_t wanted);

/* Listen on 127.0.0.1:port; what is accepted has TCP_NODELAY.  Returns a non-blocking descriptor.
 */
int ground_listen(uint16_t port);

/*
 * Accept from a listener.  Returns a non-blocking descriptor, or -1 when there is none for now.
 * Being out of descriptors ends the program: what it would measure then is worth nothing.
 */
int ground_accept(int listener);

/* Print "ready" for whoever waits for this program. */
void ground_ready(void);

/* Whether an errno value says "not now" of a non-blocking descriptor. */
bool ground_blocked(int error);

uint64_t ground_now_ns(void);

/* How a program waits for events. */
struct watch {
	bool yields;
	uint64_t seen_ns; /* the last event */
};

/*
 * epoll_wait().  With yields it does not sleep until a millisecond after the last event, but lets
 * others on its CPU have their turn: then what sends to this program does not pay for waking it,
 * which between virtual CPUs is dearer than all else about a small message.
 */
int ground_wait(
    int epoll, struct epoll_event *events, int most, int timeout_ms, struct watch *watch);

/* What matters of a request's or response's head.  Pointers go into the bytes it was read from. */
struct head {
	const char *line; /* the first, without its end */
	size_t line_length;
	size_t size; /* of the whole head, with the empty line */
	int status;  /* 0: this is a request */
	uint64_t length;
	bool has_length, chunked, persists, expects_continue, is_http10;
};

/* Read a head.  Returns 1, 0 when more bytes are needed, or -1 when it is not one. */
int head_read(const char *bytes, size_t size, struct head *ret_head);

/* A body that is being received.  All but its first bytes are counted and thrown away. */
struct body {
	enum { BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE } framing;
	enum {
		CHUNK_SIZE,
		CHUNK_EXTENSION,
		CHUNK_DATA,
		CHUNK_DATA_END,
		CHUNK_TRAILER,
		CHUNK_TRAILER_LINE
	} place;
	uint64_t left; /* of the length, or of this chunk */
	uint64_t received;
	bool any_digit, complete;
	char start[24]; /* the first bytes, as text */
};

void body_init(struct body *body, const struct head *head);

/* Take bytes that were read.  Returns how many belong to the body, or -1 when they are malformed.
 */
ssize_t body_take(struct body *body, const char *bytes, size_t size);

/*
 * Receive once.  Returns like recv(); -1 with EBADMSG when the bytes are malformed or go beyond the
 * end.  At the end of the connection a body until close is complete.
 */
ssize_t body_receive(struct body *body, int fd, char *scratch, size_t scratch_size);

/* What payloads are made of: a chunk of the letter x.  Returns new. */
struct filler *filler_new(size_t chunk);

/* A body to be sent, chunked or not, made of the filler. */
struct payload {
	const struct filler *filler;
	uint64_t size;
	bool chunked;
};

/* Bytes of the payload and its framing. */
uint64_t payload_wire_size(const struct payload *payload);

/*
 * Send once what comes after the first sent bytes of head and payload.  The head may be left out,
 * but not its size, when sent is beyond it.  Returns like send().
 */
ssize_t payload_send(
    const struct payload *payload, const char *head, size_t head_size, uint64_t sent, int fd);

#endif
