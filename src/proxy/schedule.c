#include "proxy/schedule.h"

#include "net/wire.h"
#include "proxy/config.h"
#include "proxy/relay.h"

/* Interim responses gain time, but not more than so many times the ordinary. */
#define SCHEDULE_INTERIM_TIMES 10

/* Longer than any timer here. */
#define SCHEDULE_LONG_S 86400

void schedule_init(struct schedule *s, struct event_base *base, const struct config *config,
    deadline_fn *late, void *arg)
{
	s->config = config;
	deadline_init(&s->deadline, base, late, arg);
}

void schedule_done(struct schedule *s)
{
	deadline_done(&s->deadline);
}

/* The deadline comes when nothing moves, or before that, to see what a sink has taken. */
static void schedule_look_again(struct schedule *s)
{
	int seconds = patience_step(&s->patience, s->config, SCHEDULE_LONG_S);

	deadline_set_until(&s->deadline, seconds, s->due_ms);
}

/* While the response head is awaited moving gains no time: it may trickle in. */
void schedule_touch(struct schedule *s, const struct schedule_view *view)
{
	const struct config *config = s->config;
	int seconds = config->timeouts.body;
	uint64_t end_ms = 0;
	bool awaiting = view->request_done && !view->answered && wire_pending(view->up->sink) == 0;

	if (awaiting && s->awaiting)
		return;
	s->awaiting = awaiting;
	if (view->request_done && !view->answered)
		seconds = config->timeouts.first_byte;
	else if (view->response_done && view->origin)
		seconds = config->timeouts.linger;
	if (!view->answered && view->up->bytes == s->interim_at)
		end_ms = s->answer_due_ms;
	s->due_ms = deadline_now_ms() + (uint64_t)seconds * 1000;
	if (end_ms != 0 && end_ms < s->due_ms)
		s->due_ms = end_ms;
	schedule_look_again(s);
}

void schedule_interim(struct schedule *s, uint64_t bytes)
{
	if (s->answer_due_ms == 0 || bytes != s->interim_at)
		s->answer_due_ms = deadline_now_ms() + SCHEDULE_INTERIM_TIMES * 1000 *
							   (uint64_t)s->config->timeouts.first_byte;
	s->interim_at = bytes;
	s->awaiting = false; /* a sign of life */
}

static enum fail schedule_blame(const struct schedule_view *view)
{
	bool origin_stalls = wire_pending(view->up->sink) > 0 || view->held;

	if (view->answered)
		return wire_pending(view->down->sink) > 0 ? FAIL_CLIENT_TIMEOUT
							  : FAIL_ORIGIN_TIMEOUT;
	if (view->request_done || view->upload_dead || origin_stalls)
		return FAIL_RESPONSE_TIMEOUT;
	return FAIL_BODY_TIMEOUT;
}

/*
 * A request's body is owed until the origin has begun to answer: then it may be a conversation.
 * A response's body is if its length is known: any other may be a stream of events.
 */
static void schedule_flows(
    const struct schedule_view *view, struct patience_flow *ret_up, struct patience_flow *ret_down)
{
	bool talking = view->answered && !view->response_done;
	bool open = view->origin && !view->upload_dead;

	*ret_up = (struct patience_flow){.relay = view->up,
	    .open = open,
	    .owed = open && !view->request_done && !view->held && !talking && !view->paced};
	*ret_down = (struct patience_flow){.relay = view->down,
	    .open = true,
	    .owed = talking && !view->paced && view->down->body.kind == BODY_LENGTH};
}

static enum schedule_end schedule_note(
    struct schedule *s, const struct schedule_view *view, bool moved, enum fail *ret_fail)
{
	struct patience_flow up, down;
	enum patience_end end;

	schedule_flows(view, &up, &down);
	end = patience_note(&s->patience, s->config, &up, &down);
	if (end == PATIENCE_LASTS) {
		if (moved)
			schedule_touch(s, view);
		else
			schedule_look_again(s);
		return SCHEDULE_KEPT;
	}
	if (end == PATIENCE_CLIENT_TAKES)
		*ret_fail = FAIL_CLIENT_TIMEOUT;
	else if (view->response_done)
		return SCHEDULE_UPLOAD_LATE;
	else if (end == PATIENCE_CLIENT_SENDS)
		*ret_fail = FAIL_BODY_TIMEOUT;
	else
		*ret_fail = view->answered ? FAIL_ORIGIN_TIMEOUT : FAIL_RESPONSE_TIMEOUT;
	return SCHEDULE_LATE;
}

enum schedule_end schedule_judge(
    struct schedule *s, const struct schedule_view *view, enum fail *ret_fail)
{
	return schedule_note(s, view, true, ret_fail);
}

enum schedule_end schedule_look(
    struct schedule *s, const struct schedule_view *view, enum fail *ret_fail)
{
	struct patience_flow up, down;
	bool moved;

	schedule_flows(view, &up, &down);
	moved = patience_sees_progress(&s->patience, &up, &down);
	if (moved || deadline_now_ms() < s->due_ms)
		return schedule_note(s, view, moved, ret_fail);
	if (view->response_done && view->origin) /* which has answered and takes no more */
		return SCHEDULE_UPLOAD_LATE;
	*ret_fail = view->origin ? schedule_blame(view) : FAIL_CLIENT_TIMEOUT;
	return SCHEDULE_LATE;
}
