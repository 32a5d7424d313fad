/*
 * intake -- one client connection; stands before evhttp's server side.
 *
 * evhttp accepts, owns the connection and its requests, and keeps it alive between
 * them; the bytes are ours.  Right behind each accept the intake puts a wire on
 * the descriptor and turns the bufferevent off.  A head is read and checked here,
 * and evhttp is handed a bare "GET / HTTP/1.1" in its place, so that nothing a client
 * sends is ever parsed by it.  What follows the head (the body, or the next
 * request) stays in intake_input().
 */
#ifndef PROXY_INTAKE_H
#define PROXY_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/attr.h"
#include "http/reply.h"
#include "proxy/tide.h"

struct addr;
struct config;
struct entrance;
struct event_base;
struct evbuffer;
struct bufferevent;
struct evhttp_request;
struct head;
struct intake;
struct limit;
struct limit_account;
struct metrics;
struct refusal;
struct wire;

/*
 * Who has the connection while a request is under way.  All are called from the loop; from
 * each of them intake_finish may be called.
 */
struct intake_user {
	/*
	 * Bytes can be read from the wire, and intake_input() is empty.  Returns true when it has
	 * moved some itself; else they are read, and on_input is called.
	 */
	bool (*on_stream)(struct wire *from, void *arg);
	void (*on_input)(void *arg);   /* bytes were added to intake_input() */
	void (*on_written)(void *arg); /* some of what was pending has been written */
	void (*on_gone)(
	    enum fail why, void *arg); /* the client closed or failed, or we shut down */
};

/*
 * A request has come: its head (borrowed until intake_finish), or NULL with the reason why it
 * cannot be read.  Must call intake_set_user and, sooner or later, intake_finish.
 */
struct intake_request {
	struct intake *intake;
	const struct head *head;
	enum fail fail;
	const char *why;
	bool to_head; /* it could not be read, but the method is HEAD */
};
typedef void intake_request_fn(const struct intake_request *request, void *arg);

/*
 * What all client connections of a worker share: kept by door, which the intakes are born
 * through.
 */
struct intake_shared {
	struct event_base *base;
	const struct config *config; /* of the heads to come */
	struct metrics *metrics;
	struct limit *limit;
	struct refusal *refusal;
	intake_request_fn *on_request;
	void *on_request_arg;
	struct intake *feeding; /* whose stand-in evhttp is reading */
	LIST_HEAD(intake_list, intake) intakes;
	size_t count;
	size_t refused;   /* of them, over the limits but still here */
	struct tide tide; /* of their count */
	bool draining;
	void (*on_empty)(void *arg); /* the last one has gone; may be NULL */
	void *on_empty_arg;
};

/*
 * evhttp has accepted, and wants a bufferevent for the connection.  Its owner becomes an intake
 * that frees itself and counts the entrance.  NULL when out of memory.
 */
struct bufferevent *intake_new(struct intake_shared *shared, struct entrance *entrance);

/* evhttp has read a stand-in; false: it was none of ours. */
bool intake_take_request(struct intake_shared *shared, struct evhttp_request *req);

/* All idle ones; all the others too, whose users get on_gone(FAIL_SHUTDOWN). */
void intake_close_idle(struct intake_shared *shared);
void intake_close_all(struct intake_shared *shared);

/* Those that are left, when the loop runs no more. */
void intake_free_all(struct intake_shared *shared);

void intake_set_user(struct intake *in, const struct intake_user *user, void *arg);
const struct addr *intake_client(const struct intake *in);

/*
 * Where the client came in.  Borrowed, and the same, until intake_finish: what a reload changes is
 * seen by the next request.
 */
const struct entrance *intake_listener(const struct intake *in);

/* The client's, while the connection is open.  NULL when out of memory. */
struct limit_account *intake_account(struct intake *in);
struct wire *intake_wire(struct intake *in); /* for writing */
bool intake_has_input(const struct intake *in);
struct evbuffer *intake_input(struct intake *in); /* NULL: out of memory */
bool intake_draining(const struct intake *in);

/* Stop and resume reading.  While paused a client that closes is still noticed. */
void intake_pause(struct intake *in);
void intake_resume(struct intake *in);

/* on_gone(FAIL_CLIENT_TIMEOUT) in so many seconds, unless it is finished before. */
void intake_allow(struct intake *in, int seconds);

/* Leave the descriptor (still owned by evhttp, which closes it at intake_finish) to a user to poll.
 */
void intake_detach(struct intake *in);

enum intake_end {
	INTAKE_KEEP,   /* on to the next request */
	INTAKE_CLOSE,  /* close: there is no answer, or the client has ended its side */
	INTAKE_LINGER, /* close in stages (farewell.h), so that the answer survives */
	INTAKE_RESET,  /* let the client see a reset */
	INTAKE_DROP    /* close at once: nobody is there to read what is pending */
};

/*
 * The request is over.  What is still pending is written first, but for DROP; with KEEP nothing
 * may be.  The user is not called any more.
 */
void intake_finish(struct intake *in, enum intake_end end);

#endif
