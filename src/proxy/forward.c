#include "proxy/forward.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/recycle.h"
#include "base/text.h"
#include "http/headers.h"
#include "net/deadline.h"
#include "net/wire.h"
#include "proxy/config.h"
#include "proxy/intake.h"
#include "proxy/patience.h"
#include "proxy/relay.h"
#include "proxy/upstream.h"

/* Interim responses gain time, but not more than so many times the ordinary. */
#define FORWARD_INTERIM_TIMES 10

/* Longer than any timer here. */
#define FORWARD_LONG_S 86400

/*
 * The callbacks below run inside a read of either side.  They note what has happened;
 * forward_settle, the last thing each of them calls, draws the conclusions: it alone writes to
 * the sockets, pauses and resumes the sources, and ends it all.
 */
struct forward {
	struct forward_request request;
	struct upstream *up; /* NULL once it was given back */
	struct relay up_relay, down_relay;
	struct deadline deadline;
	struct patience patience;
	uint64_t due_ms; /* when nothing moves; the deadline may come before, to have a look */
	uint64_t answer_due_ms; /* behind interim responses; 0: there was none */
	uint64_t interim_at;    /* the request's bytes at the first of them */
	struct event kick;      /* the first settling */
	struct text text;       /* heads are written here */
	bool request_done, response_done;
	bool upload_dead;  /* the origin takes no more */
	bool awaiting;     /* the request is sent, and the deadline of the response head runs */
	bool origin_spoke; /* a response head came, interim ones counted */
	bool origin_keep, client_keep;
	bool upgrade; /* the origin may switch protocols */
	struct forward_result result;
	forward_done_fn *done;
	void *arg;
};

static void forward_settle(struct forward *f);

/* ---- the end ---------------------------------------------------------------------------- */

static void forward_finish(struct forward *f)
{
	struct forward_result result = f->result;
	forward_done_fn *done = f->done;
	void *arg = f->arg;

	result.up = f->up_relay.bytes;
	result.down = f->down_relay.bytes;
	result.request_done = f->request_done;
	result.keep = result.fail == FAIL_NONE && f->request_done && f->client_keep;
	if (f->up && !result.switched)
		upstream_abort(f->up);
	intake_set_user(f->request.intake, NULL, NULL);
	event_del(&f->kick);
	deadline_done(&f->deadline);
	relay_done(&f->up_relay);
	relay_done(&f->down_relay);
	text_done(&f->text);
	recycle_free(f);
	done(&result, arg);
}

static void forward_fail(struct forward *f, enum fail fail, const char *why)
{
	if (f->result.fail != FAIL_NONE)
		return;
	f->result.fail = fail;
	f->result.why = why;
	/* A body that ends with the connection looks whole when the connection closes. */
	f->result.reset = f->result.answered && f->down_relay.out == BODY_CLOSE;
}

/* ---- timers ----------------------------------------------------------------------------- */

/* The deadline comes when nothing moves, or before that, to see what a sink has taken. */
static void forward_look_again(struct forward *f)
{
	int seconds = patience_step(&f->patience, f->request.config, FORWARD_LONG_S);

	deadline_set_until(&f->deadline, seconds, f->due_ms);
}

/* Something moved.  While the response head is awaited that gains no time: it may trickle in. */
static void forward_touch(struct forward *f)
{
	const struct config *config = f->request.config;
	int seconds = config->timeouts.body;
	uint64_t end_ms = 0;
	bool awaiting =
	    f->request_done && !f->result.answered && wire_pending(upstream_wire(f->up)) == 0;

	if (awaiting && f->awaiting)
		return;
	f->awaiting = awaiting;
	if (f->request_done && !f->result.answered)
		seconds = config->timeouts.first_byte;
	else if (f->response_done && f->up)
		seconds = config->timeouts.linger;
	if (!f->result.answered && f->up_relay.bytes == f->interim_at)
		end_ms = f->answer_due_ms;
	f->due_ms = deadline_now_ms() + (uint64_t)seconds * 1000;
	if (end_ms != 0 && end_ms < f->due_ms)
		f->due_ms = end_ms;
	forward_look_again(f);
}

static enum fail forward_late(const struct forward *f)
{
	bool origin_stalls = wire_pending(upstream_wire(f->up)) > 0 ||
			     (f->request.head->expect_continue && !f->origin_spoke);

	if (f->result.answered)
		return wire_pending(intake_wire(f->request.intake)) > 0 ? FAIL_CLIENT_TIMEOUT
									: FAIL_ORIGIN_TIMEOUT;
	if (f->request_done || f->upload_dead || origin_stalls)
		return FAIL_RESPONSE_TIMEOUT;
	return FAIL_BODY_TIMEOUT;
}

/*
 * A request's body is owed until the origin has begun to answer: then it may be a conversation.
 * A response's body is if its length is known: any other may be a stream of events.
 */
static void forward_flows(
    const struct forward *f, struct patience_flow *ret_up, struct patience_flow *ret_down)
{
	bool held = f->request.head->expect_continue && !f->origin_spoke;
	bool talking = f->result.answered && !f->response_done;
	bool paced = f->request.allowance.bucket != NULL; /* by us */

	*ret_up = (struct patience_flow){.relay = &f->up_relay,
	    .open = f->up && !f->upload_dead,
	    .owed = f->up && !f->upload_dead && !f->request_done && !held && !talking && !paced};
	*ret_down = (struct patience_flow){.relay = &f->down_relay,
	    .open = true,
	    .owed = talking && !paced && f->down_relay.body.kind == BODY_LENGTH};
}

/* See whether all keep up.  f may be gone behind it. */
static void forward_judge(struct forward *f, bool moved)
{
	struct patience_flow up, down;
	enum patience_end end;

	forward_flows(f, &up, &down);
	end = patience_note(&f->patience, f->request.config, &up, &down);
	if (end == PATIENCE_LASTS) {
		if (moved)
			forward_touch(f);
		else
			forward_look_again(f);
		return;
	}
	if (end == PATIENCE_CLIENT_TAKES)
		forward_fail(f, FAIL_CLIENT_TIMEOUT, NULL);
	else if (f->response_done) { /* only the rest of an upload is left */
		f->upload_dead = true;
		forward_settle(f);
		return;
	} else if (end == PATIENCE_CLIENT_SENDS)
		forward_fail(f, FAIL_BODY_TIMEOUT, NULL);
	else
		forward_fail(
		    f, f->result.answered ? FAIL_ORIGIN_TIMEOUT : FAIL_RESPONSE_TIMEOUT, NULL);
	forward_finish(f);
}

static void forward_on_deadline(void *arg)
{
	struct forward *f = arg;
	struct patience_flow up, down;
	bool moved;

	forward_flows(f, &up, &down);
	moved = patience_sees_progress(&f->patience, &up, &down);
	if (moved || deadline_now_ms() < f->due_ms) {
		forward_judge(f, moved);
		return;
	}
	if (f->response_done && f->up) { /* the origin has answered and takes no more */
		f->upload_dead = true;
		forward_settle(f);
		return;
	}
	forward_fail(f, f->up ? forward_late(f) : FAIL_CLIENT_TIMEOUT, NULL);
	forward_finish(f);
}

/* ---- settling --------------------------------------------------------------------------- */

static void forward_take_body(struct forward *f)
{
	struct evbuffer *input;

	if (f->request_done || f->upload_dead || !f->up || relay_is_full(&f->up_relay))
		return;
	input = intake_input(f->request.intake);
	switch (input ? relay_push(&f->up_relay, input) : RELAY_NO_MEMORY) {
	case RELAY_ENDED:
		f->request_done = true;
		return;
	case RELAY_MORE:
		return;
	case RELAY_BAD:
		forward_fail(f, FAIL_BAD_BODY, NULL);
		return;
	case RELAY_NO_MEMORY:
		forward_fail(f, FAIL_NO_MEMORY, NULL);
		return;
	}
}

/*
 * Whether the request is done with, when the response is complete.  A refusal ends it; behind a
 * success the origin may still be reading, and gets what comes as long as it takes it.
 */
static bool forward_upload_is_over(const struct forward *f)
{
	bool sent = f->request_done && wire_pending(upstream_wire(f->up)) == 0;

	return sent || f->upload_dead || f->result.status >= 300;
}

/* The origin's part ends here, whatever of the request is left. */
static void forward_release(struct forward *f)
{
	struct upstream *up = f->up;

	f->up = NULL;
	if (f->request_done && !f->upload_dead)
		upstream_give(up, f->origin_keep);
	else
		upstream_abort(up);
}

/* Stop a source while its sink is full, until that has room again. */
static void forward_pace(struct forward *f)
{
	if (!f->up)
		return;
	if (relay_is_behind(&f->down_relay))
		upstream_pause(f->up);
	else if (relay_has_room(&f->down_relay))
		upstream_resume(f->up);
	if (f->request_done || f->upload_dead)
		return;
	if (relay_is_behind(&f->up_relay))
		intake_pause(f->request.intake);
	else if (relay_has_room(&f->up_relay))
		intake_resume(f->request.intake);
}

/* Draw the conclusions.  f may be gone behind it. */
static void forward_settle(struct forward *f)
{
	struct wire *client = intake_wire(f->request.intake);

	if (f->result.fail == FAIL_NONE)
		forward_take_body(f);
	if (f->result.fail != FAIL_NONE || f->result.switched) {
		if (!f->result.switched)
			wire_flush(client);
		forward_finish(f);
		return;
	}
	if (f->up)
		relay_flush(&f->up_relay);
	relay_flush(&f->down_relay);
	if (f->response_done && f->up && forward_upload_is_over(f))
		forward_release(f);
	if (f->response_done && !f->up && wire_pending(client) == 0) {
		forward_finish(f);
		return;
	}
	forward_pace(f);
	forward_judge(f, true);
}

/* ---- the client ------------------------------------------------------------------------- */

static bool forward_on_client_stream(struct wire *from, void *arg)
{
	struct forward *f = arg;
	int moved;

	if (f->request_done || f->upload_dead || !f->up)
		return false;
	moved = relay_splice(&f->up_relay, from, f->request.pipes);
	if (moved < 0)
		forward_fail(f, FAIL_NO_MEMORY, NULL);
	if (moved != 0)
		forward_settle(f);
	return moved != 0;
}

static void forward_on_client_input(void *arg)
{
	struct forward *f = arg;

	/* Pipelined requests and what an upload that was stopped still sends can wait. */
	if (!f->request_done && !f->upload_dead && f->up)
		forward_settle(f);
}

static void forward_on_client_written(void *arg)
{
	forward_settle(arg);
}

static void forward_on_client_gone(enum fail why, void *arg)
{
	struct forward *f = arg;

	forward_fail(f, why, NULL);
	forward_finish(f);
}

static const struct intake_user forward_client = {
    .on_stream = forward_on_client_stream,
    .on_input = forward_on_client_input,
    .on_written = forward_on_client_written,
    .on_gone = forward_on_client_gone,
};

/* ---- the origin ------------------------------------------------------------------------- */

/* Queue f->text for the client. */
static void forward_say(struct forward *f)
{
	struct wire *client = intake_wire(f->request.intake);

	if (wire_write_text(client, &f->text) != 0)
		forward_fail(f, FAIL_NO_MEMORY, NULL);
}

static enum upstream_next forward_interim(struct forward *f, const struct head *head)
{
	if (f->answer_due_ms == 0 || f->up_relay.bytes != f->interim_at)
		f->answer_due_ms =
		    deadline_now_ms() +
		    FORWARD_INTERIM_TIMES * 1000 * (uint64_t)f->request.config->timeouts.first_byte;
	f->interim_at = f->up_relay.bytes;
	f->awaiting = false; /* a sign of life */
	if (f->request.head->minor == 0)
		return UPSTREAM_AGAIN;
	headers_write_interim(&f->text, head, f->request.config->name);
	forward_say(f);
	return f->result.fail == FAIL_NONE ? UPSTREAM_AGAIN : UPSTREAM_STOP;
}

/* The head of a 101 goes out through the tunnel, in front of what the origin sent behind it. */
static enum upstream_next forward_switch(struct forward *f, const struct head *head)
{
	struct headers_response response = {
	    .head = head, .name = f->request.config->name, .client_minor = 1, .upgrade = true};

	if (!f->upgrade || !f->request_done) {
		forward_fail(
		    f, FAIL_BAD_RESPONSE, "The origin switched protocols without being asked.");
		return UPSTREAM_STOP;
	}
	headers_write_response(&f->text, &response);
	f->result.status = head->status;
	f->result.answered = true;
	forward_say(f);
	if (f->result.fail == FAIL_NONE)
		f->result.switched = f->up;
	return UPSTREAM_STOP;
}

static enum body_kind forward_framing(const struct forward *f, enum body_kind from_origin)
{
	if (from_origin == BODY_NONE || from_origin == BODY_LENGTH)
		return from_origin;
	return f->request.head->minor == 1 ? BODY_CHUNKED : BODY_CLOSE;
}

static enum upstream_next forward_on_head(const struct head *head, void *arg)
{
	struct forward *f = arg;
	struct relay *down = &f->down_relay;
	struct headers_response response = {
	    .head = head, .name = f->request.config->name, .client_minor = f->request.head->minor};

	f->origin_spoke = true;
	if (head->status == 101)
		return forward_switch(f, head);
	if (head->status < 200)
		return forward_interim(f, head);
	body_of_response(&down->body, head, f->request.head->method);
	down->out = forward_framing(f, down->body.kind);
	f->origin_keep = down->body.kind != BODY_CLOSE && !head->close &&
			 (head->minor == 1 || head->keep_alive) &&
			 !headers_claim_connection(f->request.head);
	/* A client that is still sending what was refused is told that it need not go on. */
	if (down->out == BODY_CLOSE || (!f->request_done && head->status >= 300) ||
	    intake_draining(f->request.intake))
		f->client_keep = false;
	response.framing = down->out;
	response.close = !f->client_keep;
	headers_write_response(&f->text, &response);
	f->result.status = head->status;
	f->result.answered = true;
	forward_say(f);
	if (f->result.fail != FAIL_NONE)
		return UPSTREAM_STOP;
	if (down->body.kind == BODY_NONE ||
	    (down->body.kind == BODY_LENGTH && down->body.left == 0)) {
		f->response_done = true;
		return UPSTREAM_NO_BODY;
	}
	return UPSTREAM_BODY;
}

static bool forward_on_origin_stream(struct wire *from, void *arg)
{
	struct forward *f = arg;
	int moved = relay_splice(&f->down_relay, from, f->request.pipes);

	if (moved < 0)
		forward_fail(f, FAIL_NO_MEMORY, NULL);
	return moved != 0;
}

static bool forward_on_body(struct evbuffer *bytes, void *arg)
{
	struct forward *f = arg;

	switch (relay_push(&f->down_relay, bytes)) {
	case RELAY_ENDED:
		f->response_done = true;
		return true;
	case RELAY_MORE:
		break;
	case RELAY_BAD:
		forward_fail(f, FAIL_BAD_RESPONSE, NULL);
		break;
	case RELAY_NO_MEMORY:
		forward_fail(f, FAIL_NO_MEMORY, NULL);
		break;
	}
	return false;
}

static void forward_on_read(void *arg)
{
	forward_settle(arg);
}

static void forward_on_origin_written(void *arg)
{
	forward_settle(arg);
}

/* The response may be there all the same: an origin that refuses an upload does just that. */
static void forward_on_origin_broken(void *arg)
{
	struct forward *f = arg;

	f->upload_dead = true;
	forward_settle(f);
}

static void forward_on_origin_failed(enum fail fail, const char *why, void *arg)
{
	struct forward *f = arg;

	if (f->response_done) {
		f->upload_dead = true;
		forward_settle(f);
		return;
	}
	if (fail == FAIL_NONE && relay_close(&f->down_relay) == RELAY_ENDED) {
		f->response_done = true;
		f->origin_keep = false;
		forward_settle(f);
		return;
	}
	f->result.untouched = upstream_is_silent(f->up) && f->up_relay.bytes == 0;
	forward_fail(f, fail == FAIL_NONE ? FAIL_TRUNCATED : fail, why);
	forward_settle(f);
}

static const struct upstream_user forward_origin = {
    .on_head = forward_on_head,
    .on_stream = forward_on_origin_stream,
    .on_body = forward_on_body,
    .on_read = forward_on_read,
    .on_written = forward_on_origin_written,
    .on_broken = forward_on_origin_broken,
    .on_failed = forward_on_origin_failed,
};

/* ---- the beginning ---------------------------------------------------------------------- */

static void forward_on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	forward_settle(arg);
}

static void forward_write_request(struct forward *f)
{
	struct headers_request request = {.head = f->request.head,
	    .target = f->request.target,
	    .name = f->request.config->name,
	    .upgrade = f->upgrade,
	    .max_forwards = f->request.max_forwards};

	headers_write_request(&f->text, &request);
	if (wire_write_text(upstream_wire(f->up), &f->text) != 0)
		forward_fail(f, FAIL_NO_MEMORY, NULL);
}

struct forward *forward_start(
    const struct forward_request *request, struct upstream *up, forward_done_fn *done, void *arg)
{
	struct forward *f = recycle_zero(sizeof(*f));

	if (!f) {
		upstream_discard(up);
		return NULL;
	}
	f->request = *request;
	f->up = up;
	f->done = done;
	f->arg = arg;
	f->client_keep = headers_keep_alive(request->head);
	body_of_request(&f->up_relay.body, request->head);
	f->up_relay.out = f->up_relay.body.kind;
	f->upgrade = request->head->upgrade && f->up_relay.body.kind == BODY_NONE;
	f->up_relay.sink = upstream_wire(up);
	f->up_relay.high = (size_t)request->config->limits.in_flight;
	f->down_relay.out = BODY_NONE;
	f->down_relay.sink = intake_wire(request->intake);
	f->down_relay.high = (size_t)request->config->limits.in_flight;
	deadline_init(&f->deadline, request->base, forward_on_deadline, f);
	event_assign(&f->kick, request->base, -1, 0, forward_on_kick, f);
	intake_set_user(request->intake, &forward_client, f);
	upstream_set_user(up, &forward_origin, f);
	if (wire_pace(upstream_wire(up), request->allowance) != 0)
		forward_fail(f, FAIL_NO_MEMORY, NULL);
	forward_write_request(f);
	if (f->up_relay.body.kind == BODY_NONE && f->result.fail == FAIL_NONE) {
		f->request_done = true;
		wire_flush(upstream_wire(up));
		forward_touch(f);
	} else {
		event_active(&f->kick, 0, 0);
	}
	return f;
}
