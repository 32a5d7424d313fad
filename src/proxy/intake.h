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

#include "base/attr.h"
#include "http/reply.h"

struct addr;
struct config;
struct event_base;
struct evbuffer;
struct evhttp;
struct head;
struct intake;
struct intake_server;
struct metrics;
struct wire;

/*
 * Who has the connection while a request is under way.  All are called from the loop; from
 * each of them intake_finish may be called.
 */
struct intake_user {
	void (*on_input)(void *arg);   /* bytes were added to intake_input() */
	void (*on_written)(void *arg); /* some of what was pending has been written */
	void (*on_gone)(enum fail why, void *arg); /* the client closed or failed, or we shut down */
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
};
typedef void intake_request_fn(const struct intake_request *request, void *arg);

/* Borrows config (see intake_server_configure) and metrics.  NULL when out of memory. */
struct intake_server *intake_server_new(struct event_base *base, const struct config *config,
    struct metrics *metrics, intake_request_fn *on_request, void *arg);

/* Accept on a listening socket; takes it.  -1 when out of memory. */
MUST_USE int intake_server_listen(struct intake_server *server, int fd);

/* From the next head on, these limits and timers. */
void intake_server_configure(struct intake_server *server, const struct config *config);

/*
 * Stop accepting, close idle clients; the others close after their request.  Then, or at
 * once, on_empty is called (may be NULL).
 */
typedef void intake_empty_fn(void *arg);
void intake_server_drain(struct intake_server *server, intake_empty_fn *on_empty, void *arg);

/* End everything: users get on_gone(FAIL_SHUTDOWN).  The memory goes with intake_server_free. */
void intake_server_stop(struct intake_server *server);
size_t intake_server_count(const struct intake_server *server);
void intake_server_free(struct intake_server *server);

void intake_set_user(struct intake *in, const struct intake_user *user, void *arg);
const struct addr *intake_client(const struct intake *in);
struct wire *intake_wire(struct intake *in); /* for writing */
struct evbuffer *intake_input(struct intake *in);
bool intake_draining(const struct intake *in);

/* Stop and resume reading.  While paused a client that closes is still noticed. */
void intake_pause(struct intake *in);
void intake_resume(struct intake *in);

/*
 * Hand out the descriptor (still owned by evhttp, which closes it at intake_finish): nothing
 * polls it any more.
 */
int intake_detach(struct intake *in);

enum intake_end {
	INTAKE_KEEP,   /* on to the next request */
	INTAKE_CLOSE,  /* close */
	INTAKE_LINGER, /* say that we are done, read on for a while so that the answer survives, close */
	INTAKE_RESET   /* let the client see a reset */
};

/* The request is over and its response written.  The user is not called any more. */
void intake_finish(struct intake *in, enum intake_end end);

#endif
