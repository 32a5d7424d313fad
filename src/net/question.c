#include "net/question.h"

#include <ares.h>
#include <arpa/nameser.h>

#include "net/channel.h"

void question_init(struct question *q, const char *name, sa_family_t family, bool wanted,
    question_back_fn *back, void *arg)
{
	*q = (struct question){.family = family, .name = name, .back = back, .arg = arg};
	q->record = (struct record){.status = RECORD_NO_DATA, .ttl_s = RECORD_TTL_NONE};
	q->known = !wanted;
}

static void question_know(struct question *q, int status, const unsigned char *message, int len)
{
	record_read(&q->record, q->family, status, message, (size_t)len);
	q->known = true;
	q->known_ms = record_now_ms();
}

/*
 * Over TCP c-ares 1.18 asks each server once only, and waits no longer than for the first answer
 * over UDP: until time is out we ask again.  Else silence is what a time-out is: where one attempt
 * ended otherwise, it is a failure.
 */
static bool question_was_short(const struct question *q, int status, int timeouts)
{
	return status == ARES_ETIMEOUT && timeouts < channel_attempts(q->channel);
}

/* Called by c-ares, possibly from inside ares_query and ares_destroy. */
static void question_on_answer(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct question *q = arg;
	/* Else it was given up, or the channel is going away. */
	bool answered = !q->known && status != ARES_EDESTRUCTION;
	bool was_short = question_was_short(q, status, timeouts);

	q->asked = false;
	/* c-ares asks again without EDNS then, but not what was under way already. */
	if (answered && status == ARES_EFORMERR && !q->again) {
		q->again = true;
		question_ask(q, q->channel);
		return;
	}
	if (answered && was_short && channel_uses_tcp(q->channel)) {
		question_ask(q, q->channel);
		return;
	}
	if (answered)
		question_know(q, was_short ? ARES_ECONNREFUSED : status, message, len);
	q->back(answered, q->arg);
}

void question_ask(struct question *q, struct channel *channel)
{
	q->asked = true;
	q->channel = channel;
	ares_query(channel_ares(channel), q->name, ns_c_in,
	    q->family == AF_INET ? ns_t_a : ns_t_aaaa, question_on_answer, q);
}

void question_give_up(struct question *q)
{
	if (!q->known)
		q->record = (struct record){.status = RECORD_TIMEOUT};
	q->known = true;
}

struct record question_answer(const struct question *q)
{
	int64_t age_s = q->known_ms > 0 ? (record_now_ms() - q->known_ms) / 1000 : 0;
	struct record r = q->record;

	if (r.ttl_s != RECORD_TTL_NONE)
		r.ttl_s = r.ttl_s > age_s ? r.ttl_s - (uint32_t)age_s : 0;
	return r;
}
