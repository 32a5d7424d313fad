#include "proxy/patience.h"

#include "net/deadline.h"
#include "net/wire.h"
#include "proxy/config.h"
#include "proxy/relay.h"

/* What passes within less is noted together. */
#define PATIENCE_STEP_MS 1000

/* In the time of grace. */
#define PATIENCE_LOOKS 4

static uint64_t patience_taken(const struct patience_flow *flow)
{
	uint64_t kept = wire_pending(flow->relay->sink) + wire_unacked(flow->relay->sink);

	/* Framing is among what is kept, not among the bytes. */
	return flow->relay->bytes > kept ? flow->relay->bytes - kept : 0;
}

static void patience_wait(
    struct tempo *sends, struct tempo *takes, const struct patience_flow *flow)
{
	takes->waited_for = flow->open && wire_pending(flow->relay->sink) > 0;
	sends->waited_for = flow->owed && !takes->waited_for;
}

enum patience_end patience_note(struct patience *p, const struct config *config,
    const struct patience_flow *up, const struct patience_flow *down)
{
	struct tempo_rate rate = {
	    (uint64_t)config->limits.body_rate_min, (uint64_t)config->timeouts.body_grace * 1000};
	uint64_t now = deadline_now_ms(), elapsed = p->noted_ms ? now - p->noted_ms : 0;
	enum patience_end end = PATIENCE_LASTS;

	if (p->noted_ms == 0)
		p->noted_ms = now;
	if (elapsed >= PATIENCE_STEP_MS) {
		p->noted_ms = now;
		if (!tempo_note(&p->origin_sends, &rate, down->relay->bytes, elapsed))
			end = PATIENCE_ORIGIN_SENDS;
		if (down->open &&
		    !tempo_note(&p->client_takes, &rate, patience_taken(down), elapsed))
			end = PATIENCE_CLIENT_TAKES;
		if (up->open && !tempo_note(&p->origin_takes, &rate, patience_taken(up), elapsed))
			end = PATIENCE_ORIGIN_TAKES;
		if (!tempo_note(&p->client_sends, &rate, up->relay->bytes, elapsed))
			end = PATIENCE_CLIENT_SENDS;
	}
	patience_wait(&p->client_sends, &p->origin_takes, up);
	patience_wait(&p->origin_sends, &p->client_takes, down);
	return end;
}

int patience_step(const struct patience *p, const struct config *config, int seconds)
{
	int step = config->timeouts.body_grace / PATIENCE_LOOKS + 1;

	return config->limits.body_rate_min > 0 && step < seconds &&
		       (p->origin_takes.waited_for || p->client_takes.waited_for)
		   ? step
		   : seconds;
}

bool patience_sees_progress(
    const struct patience *p, const struct patience_flow *up, const struct patience_flow *down)
{
	return (up->open && p->origin_takes.waited_for &&
		   patience_taken(up) > p->origin_takes.moved) ||
	       (down->open && p->client_takes.waited_for &&
		   patience_taken(down) > p->client_takes.moved);
}
