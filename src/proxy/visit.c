#include "proxy/visit.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "http/reply.h"
#include "net/deadline.h"
#include "net/wire.h"
#include "policy/limit.h"
#include "proxy/config.h"
#include "proxy/refusal.h"

/* What is read of who is turned away: most often a small head. */
#define VISIT_READ_MAX (16 * 1024)

/* Nothing is kept of it. */
static void visit_refuse(struct wire *wire, enum fail fail, int retry_s, const char *name)
{
	static const char method[] = "HEAD ";
	char bytes[VISIT_READ_MAX];
	ssize_t got = wire_read_bytes(wire, bytes, sizeof(bytes));
	struct text answer = {0};
	struct reply reply = {.fail = fail,
	    .name = name,
	    .minor = 1,
	    .close = true,
	    .retry_s = retry_s,
	    .head_only = got >= (ssize_t)sizeof(method) - 1 &&
			 memcmp(bytes, method, sizeof(method) - 1) == 0};

	reply_write(&answer, &reply);
	if (wire_write_text(wire, &answer) == 0)
		wire_flush(wire);
	text_done(&answer);
}

bool visit_begin(
    struct visit *v, const struct visit_gate *gate, const struct addr *client, struct wire *wire)
{
	const struct limit_rules *rules = &gate->config->limits.rules;
	uint64_t now = limit_is_for_clients(rules) ? deadline_now_ns() : 0, wait;
	enum limit_rule rule = limit_enter(gate->limit, rules, client, now, &v->account, &wait);
	enum fail fail;
	int retry_s;

	v->entered = rule == LIMIT_NONE;
	if (v->entered)
		return true;
	fail = refusal_add(gate->refusal, rule, client, wait, &retry_s);
	visit_refuse(wire, fail, retry_s, gate->config->name);
	return false;
}

void visit_end(struct visit *v, struct limit *limit)
{
	if (v->entered)
		limit_leave(limit, v->account, v->account ? deadline_now_ns() : 0);
}

struct limit_account *visit_account(struct visit *v, struct limit *limit, const struct addr *client)
{
	if (!v->account)
		v->account = limit_know(limit, client);
	return v->account;
}
