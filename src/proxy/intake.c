#include "proxy/intake.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "base/recycle.h"
#include "base/spare.h"
#include "net/addr.h"
#include "net/deadline.h"
#include "net/wire.h"
#include "proxy/client.h"
#include "proxy/config.h"
#include "proxy/entrance.h"
#include "proxy/farewell.h"
#include "proxy/inflow.h"
#include "proxy/visit.h"

/* A read of what is most often one small head, to the stack. */
#define INTAKE_FIRST_MAX (16 * 1024)

/* One read; and what a client may send ahead of its turn before we stop reading. */
#define INTAKE_READ_MAX (64 * 1024)
#define INTAKE_AHEAD_MAX (64 * 1024)

/* When the end has come: how long we wait for the request of who has just come in. */
#define INTAKE_LATE_S 1

/* Those over the limits that may linger at a time; others of them are closed at once. */
#define INTAKE_REFUSED_MAX 32

enum intake_state {
	INTAKE_NEW,     /* accepted by evhttp, not yet ours: on the next turn */
	INTAKE_IDLE,    /* no byte of the next request */
	INTAKE_HEAD,    /* some bytes */
	INTAKE_BUSY,    /* a user has it */
	INTAKE_GIVEN,   /* detached: a user polls the descriptor */
	INTAKE_FLUSH,   /* finished, the rest of the answer is being written */
	INTAKE_LINGERS, /* what comes is dropped */
	INTAKE_CLOSED   /* to be freed on the next turn */
};

struct intake {
	LIST_ENTRY(intake) all;
	struct intake_shared *shared;
	struct entrance *entrance;
	struct client client;
	struct wire *wire; /* on it; NULL when detached */
	struct deadline deadline;
	enum intake_state state;
	enum intake_end end; /* what comes behind FLUSH */
	struct visit visit;
	bool known;   /* has had a request */
	bool refused; /* over the limits, but still here */
	struct farewell farewell;
	struct inflow inflow;
	const struct intake_user *user;
	void *user_arg;
};

/* ---- closing ---------------------------------------------------------------------------- */

static void intake_drop_wire(struct intake *in)
{
	if (in->wire)
		wire_done(in->wire);
	recycle_free(in->wire);
	in->wire = NULL;
}

static void intake_free(struct intake *in)
{
	struct intake_shared *shared = in->shared;

	LIST_REMOVE(in, all);
	tide_set(&shared->tide, --shared->count);
	metrics_sub(shared->metrics, METRIC_CLIENTS, 1);
	deadline_done(&in->deadline);
	intake_drop_wire(in);
	if (in->client.evcon && in->end == INTAKE_RESET)
		wire_reset(in->client.fd);
	client_done(&in->client);
	inflow_drop_input(&in->inflow);
	inflow_drop_head(&in->inflow);
	entrance_unref(in->entrance);
	visit_end(&in->visit, shared->limit);
	if (in->refused)
		shared->refused--;
	recycle_free(in);
	if (shared->count == 0 && shared->on_empty)
		shared->on_empty(shared->on_empty_arg);
}

/* Free it on the next turn of the loop: callers up the stack may still look at it. */
static void intake_close(struct intake *in)
{
	in->state = INTAKE_CLOSED;
	if (in->wire)
		wire_done(in->wire);
	deadline_soon(&in->deadline);
}

static void intake_linger(struct intake *in)
{
	in->state = INTAKE_LINGERS;
	inflow_drop_input(&in->inflow);
	farewell_begin(&in->farewell, in->wire);
	deadline_set(&in->deadline, FAREWELL_STEP_S);
}

static void intake_flushed(struct intake *in)
{
	if (in->end == INTAKE_LINGER)
		intake_linger(in);
	else
		intake_close(in);
}

/* Between requests; of the last answer the peer's kernel may not have all. */
static void intake_part(struct intake *in)
{
	if (in->known && wire_unacked(in->wire) > 0) {
		in->end = INTAKE_LINGER;
		intake_linger(in);
		return;
	}
	intake_close(in);
}

/* Behind what is still pending. */
static void intake_leave(struct intake *in)
{
	if (wire_pending(in->wire) == 0) {
		intake_flushed(in);
		return;
	}
	in->state = INTAKE_FLUSH;
	wire_read_off(in->wire, true);
	deadline_set(&in->deadline, in->shared->config->timeouts.body);
}

static void intake_look_back(struct intake *in)
{
	switch (farewell_look(&in->farewell, in->wire, in->shared->config)) {
	case FAREWELL_LASTS:
		deadline_set(&in->deadline, FAREWELL_STEP_S);
		return;
	case FAREWELL_IN_VAIN:
		in->end = INTAKE_RESET;
		intake_close(in);
		return;
	case FAREWELL_OVER:
		intake_close(in);
		return;
	}
}

/* The client is gone, or has to go, in whatever state this is. */
static void intake_lose(struct intake *in, enum fail why)
{
	const struct intake_user *user = in->user;

	if (in->state == INTAKE_BUSY && user)
		user->on_gone(why, in->user_arg);
	else if (in->state != INTAKE_CLOSED && in->state != INTAKE_GIVEN)
		intake_close(in);
}

/* ---- handing a request up --------------------------------------------------------------- */

static void intake_raise(struct intake *in, enum fail fail, const char *why)
{
	struct intake_request request = {.intake = in,
	    .head = fail == FAIL_NONE ? inflow_head(&in->inflow) : NULL,
	    .fail = fail,
	    .why = why,
	    .to_head = inflow_is_to_head(&in->inflow)};

	in->state = INTAKE_BUSY;
	in->known = true;
	in->entrance = entrance_latest(in->entrance);
	deadline_stop(&in->deadline);
	in->shared->on_request(&request, in->shared->on_request_arg);
}

static bool intake_feed_evhttp(struct intake *in)
{
	bool begun;

	in->shared->feeding = in;
	begun = client_begin(&in->client);
	in->shared->feeding = NULL;
	return begun;
}

bool intake_take_request(struct intake_shared *shared, struct evhttp_request *req)
{
	if (!shared->feeding)
		return false;
	shared->feeding->client.req = req;
	return true;
}

/* The whole head is there. */
static void intake_accept_head(struct intake *in)
{
	enum fail fail = FAIL_NONE;

	/* A CONNECT is none of evhttp's business: it lasts as long as the connection does. */
	if (!slice_is(inflow_head(&in->inflow)->method, "CONNECT") &&
	    (!spare_refill() || !intake_feed_evhttp(in)))
		fail = FAIL_NO_MEMORY;
	intake_raise(in, fail, NULL);
}

/* Look for a head: in these bytes, which are the first that came, or without them in the input. */
static void intake_look(struct intake *in, const struct slice *first)
{
	const struct config *config = in->shared->config;
	struct head_limits limits = {.line = (size_t)config->limits.request_line,
	    .size = (size_t)config->limits.head,
	    .fields = (size_t)config->limits.fields};
	struct head_error error;

	switch (first ? inflow_take(&in->inflow, *first, &limits, &error)
		      : inflow_look(&in->inflow, &limits, &error)) {
	case HEAD_MORE:
		if (in->state == INTAKE_IDLE) {
			in->state = INTAKE_HEAD;
			deadline_set(&in->deadline, config->timeouts.head);
		}
		return;
	case HEAD_BAD:
		intake_raise(in, error.fail, error.why);
		return;
	case HEAD_COMPLETE:
		intake_accept_head(in);
		return;
	}
}

/* ---- the wire --------------------------------------------------------------------------- */

/* Returns whether a read brought bytes; at the end and at an error the client is lost. */
static bool intake_has_read(struct intake *in, ssize_t got)
{
	if (got > 0)
		return true;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	wire_read_off(in->wire, false);
	intake_lose(in, FAIL_CLIENT_GONE);
	return false;
}

static void intake_read_first(struct intake *in)
{
	char bytes[INTAKE_FIRST_MAX];
	ssize_t got = wire_read_bytes(in->wire, bytes, sizeof(bytes));

	if (intake_has_read(in, got))
		intake_look(in, &(struct slice){bytes, (size_t)got});
}

static void intake_on_readable(void *arg)
{
	struct intake *in = arg;
	bool empty = !intake_has_input(in);
	ssize_t got;

	if (in->state == INTAKE_IDLE && empty) {
		intake_read_first(in);
		return;
	}
	if (in->state == INTAKE_LINGERS) {
		(void)intake_has_read(in, farewell_drop(&in->farewell, in->wire));
		return;
	}
	if (in->state == INTAKE_BUSY && empty && in->user->on_stream(in->wire, in->user_arg))
		return;
	if (!intake_input(in)) {
		intake_lose(in, FAIL_NO_MEMORY);
		return;
	}
	got = wire_read(in->wire, in->inflow.input, INTAKE_READ_MAX);
	if (!intake_has_read(in, got))
		return;
	switch (in->state) {
	case INTAKE_IDLE:
	case INTAKE_HEAD:
		intake_look(in, NULL);
		return;
	case INTAKE_BUSY:
		in->user->on_input(in->user_arg);
		if (in->state == INTAKE_BUSY &&
		    evbuffer_get_length(in->inflow.input) >= INTAKE_AHEAD_MAX)
			wire_read_off(in->wire, true);
		return;
	default:
		return;
	}
}

static void intake_on_written(void *arg)
{
	struct intake *in = arg;

	if (in->state == INTAKE_BUSY)
		in->user->on_written(in->user_arg);
	else if (in->state == INTAKE_FLUSH && wire_pending(in->wire) == 0)
		intake_flushed(in);
}

static void intake_on_broken(int error, void *arg)
{
	(void)error;
	intake_lose(arg, FAIL_CLIENT_GONE);
}

static void intake_on_hangup(void *arg)
{
	intake_lose(arg, FAIL_CLIENT_GONE);
}

static const struct wire_handler intake_wire_handler = {
    .on_readable = intake_on_readable,
    .on_written = intake_on_written,
    .on_broken = intake_on_broken,
    .on_hangup = intake_on_hangup,
};

/* ---- accepting -------------------------------------------------------------------------- */

static void intake_on_evhttp_closed(struct evhttp_connection *evcon, void *arg)
{
	struct intake *in = arg;

	(void)evcon;
	client_forget(&in->client);
	if (in->wire)
		wire_done(in->wire);
}

/* Whether the connection is within the limits. */
static bool intake_enter(struct intake *in)
{
	const struct intake_shared *shared = in->shared;
	struct visit_gate gate = {shared->limit, shared->refusal, shared->config};

	return visit_begin(&in->visit, &gate, &in->client.address, in->wire);
}

/* It was told why.  No limit counts it. */
static void intake_refuse(struct intake *in)
{
	if (in->shared->refused >= INTAKE_REFUSED_MAX) {
		intake_close(in);
		return;
	}
	in->refused = true;
	in->shared->refused++;
	in->end = INTAKE_LINGER;
	intake_leave(in);
}

/*
 * evhttp has accepted and set the connection up; now it becomes ours.  Runs in the
 * same turn of the loop as the accept, before anything can be read.
 */
static void intake_adopt(struct intake *in)
{
	if (!client_adopt(&in->client, intake_on_evhttp_closed, in)) {
		intake_free(in);
		return;
	}
	wire_init(in->wire, in->shared->base, in->client.fd, &intake_wire_handler, in);
	in->state = INTAKE_IDLE;
	if (client_find_address(&in->client) != 0) {
		intake_close(in);
		return;
	}
	if (!intake_enter(in)) {
		intake_refuse(in);
		return;
	}
	wire_read_on(in->wire);
	deadline_set(&in->deadline,
	    in->shared->draining ? INTAKE_LATE_S : in->shared->config->timeouts.idle);
	/* The request has most often come by now: that saves a turn of the loop. */
	intake_read_first(in);
}

/*
 * A request that has come is taken; who has never sent one may be about to, and who has had an
 * answer may not be surprised by a close.
 */
static void intake_close_if_idle(struct intake *in)
{
	if (intake_has_input(in))
		return; /* its turn comes */
	intake_read_first(in);
	if (in->state != INTAKE_IDLE)
		return;
	if (in->known)
		intake_part(in);
	else
		deadline_set(&in->deadline, INTAKE_LATE_S);
}

static void intake_on_deadline(void *arg)
{
	struct intake *in = arg;

	switch (in->state) {
	case INTAKE_NEW:
		intake_adopt(in);
		return;
	case INTAKE_IDLE:
		if (intake_has_input(in)) /* a pipelined request lies there already */
			intake_look(in, NULL);
		else if (in->shared->draining && in->known)
			intake_close_if_idle(in);
		else
			intake_part(in);
		return;
	case INTAKE_HEAD:
		intake_raise(in, FAIL_HEAD_TIMEOUT, NULL);
		return;
	case INTAKE_BUSY:
		in->user->on_gone(FAIL_CLIENT_TIMEOUT, in->user_arg);
		return;
	case INTAKE_GIVEN:
		return;
	case INTAKE_FLUSH:
		intake_close(in);
		return;
	case INTAKE_LINGERS:
		intake_look_back(in);
		return;
	case INTAKE_CLOSED:
		intake_free(in);
		return;
	}
}

struct bufferevent *intake_new(struct intake_shared *shared, struct entrance *entrance)
{
	struct intake *in = recycle_zero(sizeof(*in));

	if (!in)
		return NULL;
	in->wire = recycle_zero(sizeof(*in->wire));
	if (!in->wire || client_init(&in->client, shared->base) != 0) {
		recycle_free(in->wire);
		recycle_free(in);
		return NULL;
	}
	in->shared = shared;
	in->entrance = entrance_ref(entrance);
	in->state = INTAKE_NEW;
	deadline_init(&in->deadline, shared->base, intake_on_deadline, in);
	LIST_INSERT_HEAD(&shared->intakes, in, all);
	tide_set(&shared->tide, ++shared->count);
	metrics_add(shared->metrics, METRIC_CLIENTS, 1);
	metrics_add(shared->metrics, METRIC_CLIENTS_TOTAL, 1);
	deadline_soon(&in->deadline);
	return in->client.bev;
}

void intake_close_idle(struct intake_shared *shared)
{
	struct intake *in;

	LIST_FOREACH(in, &shared->intakes, all)
	{
		/* cppcheck-suppress uninitvar */
		if (in->state == INTAKE_IDLE)
			intake_close_if_idle(in);
	}
}

void intake_close_all(struct intake_shared *shared)
{
	struct intake *in, *next;

	for (in = LIST_FIRST(&shared->intakes); in; in = next) {
		next = LIST_NEXT(in, all);
		if ((in->state == INTAKE_BUSY || in->state == INTAKE_GIVEN) && in->user)
			in->user->on_gone(FAIL_SHUTDOWN, in->user_arg);
		else if (in->state != INTAKE_CLOSED && in->state != INTAKE_NEW)
			intake_close(in);
	}
}

void intake_free_all(struct intake_shared *shared)
{
	struct intake *in, *next;

	for (in = LIST_FIRST(&shared->intakes); in; in = next) {
		next = LIST_NEXT(in, all);
		intake_free(in);
	}
}

/* ---- for the user ----------------------------------------------------------------------- */

void intake_set_user(struct intake *in, const struct intake_user *user, void *arg)
{
	in->user = user;
	in->user_arg = arg;
}

const struct addr *intake_client(const struct intake *in)
{
	return &in->client.address;
}

const struct entrance *intake_listener(const struct intake *in)
{
	return in->entrance;
}

struct limit_account *intake_account(struct intake *in)
{
	return visit_account(&in->visit, in->shared->limit, &in->client.address);
}

struct wire *intake_wire(struct intake *in)
{
	return in->wire;
}

bool intake_has_input(const struct intake *in)
{
	return inflow_waits(&in->inflow);
}

struct evbuffer *intake_input(struct intake *in)
{
	return inflow_input(&in->inflow);
}

void intake_allow(struct intake *in, int seconds)
{
	deadline_set(&in->deadline, seconds);
}

bool intake_draining(const struct intake *in)
{
	return in->shared->draining;
}

void intake_pause(struct intake *in)
{
	wire_read_off(in->wire, true);
}

void intake_resume(struct intake *in)
{
	wire_read_on(in->wire);
}

void intake_detach(struct intake *in)
{
	in->state = INTAKE_GIVEN;
	intake_drop_wire(in);
}

static void intake_next(struct intake *in)
{
	if (!client_end(&in->client)) {
		intake_close(in);
		return;
	}
	in->state = INTAKE_IDLE;
	inflow_next(&in->inflow);
	wire_read_on(in->wire);
	if (intake_has_input(in) || in->shared->draining)
		deadline_soon(&in->deadline);
	else
		deadline_set(&in->deadline, in->shared->config->timeouts.idle);
}

void intake_finish(struct intake *in, enum intake_end end)
{
	bool given = in->state == INTAKE_GIVEN;

	in->user = NULL;
	inflow_drop_head(&in->inflow);
	in->end = end;
	if (end == INTAKE_KEEP && in->client.evcon && !given && spare_refill()) {
		intake_next(in);
		return;
	}
	if (given || end == INTAKE_DROP) {
		intake_close(in);
		return;
	}
	intake_leave(in);
}
