#include "proxy/forward.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/recycle.h"
#include "base/text.h"
#include "http/headers.h"
#include "net/wire.h"
#include "proxy/config.h"
#include "proxy/intake.h"
#include "proxy/relay.h"
#include "proxy/schedule.h"
#include "proxy/upstream.h"

/*
 * The callbacks below run inside a read of either side.  They note what has happened;
 * forward_settle, the last thing each of them calls, draws the conclusions: it alone writes to
 * the sockets, pauses and resumes the sources, and ends it all.
 */
struct forward {
	struct forward_request request;
	struct upstream *up; /* NULL once it was given back */
	struct relay up_relay, down_relay;
	struct schedule schedule;
	struct event kick; /* the first settling */
	struct text text;  /* heads are written here */
	bool request_done, response_done;
	bool upload_dead;  /* the origin takes no more */
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
	schedule_done(&f->schedule);
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

static struct schedule_view forward_view(const struct forward *f)
{
	return (struct schedule_view){.up = &f->up_relay,
	    .down = &f->down_relay,
	    .origin = f->up != NULL,
	    .request_done = f->request_done,
	    .response_done = f->response_done,
	    .answered = f->result.answered,
	    .upload_dead = f->upload_dead,
	    .held = f->request.head->expect_continue && !f->origin_spoke,
	    .paced = f->request.allowance.bucket != NULL};
}

/* f may be gone behind it. */
static void forward_heed(struct forward *f, enum schedule_end end, enum fail fail)
{
	switch (end) {
	case SCHEDULE_KEPT:
		return;
	case SCHEDULE_UPLOAD_LATE:
		f->upload_dead = true;
		forward_settle(f);
		return;
	case SCHEDULE_LATE:
		forward_fail(f, fail, NULL);
		forward_finish(f);
		return;
	}
}

/* See whether all keep up.  f may be gone behind it. */
static void forward_judge(struct forward *f)
{
	struct schedule_view view = forward_view(f);
	enum fail fail = FAIL_NONE;
	enum schedule_end end = schedule_judge(&f->schedule, &view, &fail);

	forward_heed(f, end, fail);
}

static void forward_on_deadline(void *arg)
{
	struct forward *f = arg;
	struct schedule_view view = forward_view(f);
	enum fail fail = FAIL_NONE;
	enum schedule_end end = schedule_look(&f->schedule, &view, &fail);

	forward_heed(f, end, fail);
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
	forward_judge(f);
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
	schedule_interim(&f->schedule, f->up_relay.bytes);
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
	struct schedule_view view;

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
	schedule_init(&f->schedule, request->base, request->config, forward_on_deadline, f);
	event_assign(&f->kick, request->base, -1, 0, forward_on_kick, f);
	intake_set_user(request->intake, &forward_client, f);
	upstream_set_user(up, &forward_origin, f);
	if (wire_pace(upstream_wire(up), request->allowance) != 0)
		forward_fail(f, FAIL_NO_MEMORY, NULL);
	forward_write_request(f);
	if (f->up_relay.body.kind == BODY_NONE && f->result.fail == FAIL_NONE) {
		f->request_done = true;
		wire_flush(upstream_wire(up));
		view = forward_view(f);
		schedule_touch(&f->schedule, &view);
	} else {
		event_active(&f->kick, 0, 0);
	}
	return f;
}
