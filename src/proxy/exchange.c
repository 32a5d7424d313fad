#include "proxy/exchange.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/recycle.h"
#include "base/text.h"
#include "http/headers.h"
#include "http/home.h"
#include "net/wire.h"
#include "policy/acl.h"
#include "policy/blocklist.h"
#include "policy/htpasswd.h"
#include "policy/limit.h"
#include "proxy/accesslog.h"
#include "proxy/admission.h"
#include "proxy/approach.h"
#include "proxy/config.h"
#include "proxy/entrance.h"
#include "proxy/forward.h"
#include "proxy/intake.h"
#include "proxy/junction.h"
#include "proxy/login.h"
#include "proxy/passage.h"
#include "proxy/refusal.h"
#include "proxy/route.h"
#include "proxy/tenure.h"
#include "proxy/upstream.h"

/* What a step says: go on, wait for a callback, it failed (x->fail), or x->text is the answer. */
enum outcome { NEXT, WAIT, FAILED, ANSWERED };

struct exchange {
	struct exchange_services *services;
	struct tenure *tenure;
	const struct config *config; /* the tenure's */
	struct intake *intake;
	const struct head *head; /* NULL: the request could not be read */
	bool to_head;            /* its method is HEAD */
	bool settled;            /* judges no more: acl, rules and lists may be gone */
	unsigned step;
	struct addr destination; /* family 0 until connected */

	struct passage passage;
	struct admission admission;
	const struct htpasswd_user *user; /* of the configuration; NULL: nobody had to say */

	/* Under way; at most one of them is not NULL. */
	struct login *login;
	struct approach *approach;
	struct forward *forward;
	struct junction *junction;

	struct upstream *up; /* connected, before it is handed on */
	int server_fd;       /* of a CONNECT, likewise; -1: none */
	bool reused, retried;
	bool stands; /* as a tunnel, among the others */
	LIST_ENTRY(exchange) tunnels;

	struct text text; /* the proxy's own answer */
	bool answering;

	/* For the end. */
	enum fail fail;
	const char *why;
	int retry_s; /* 0: not known */
	int status;
	uint64_t up_bytes, down_bytes;
	bool request_done, keep, answered;
	enum intake_end end;
	struct timespec began;
	time_t began_at;
};

static void exchange_run(struct exchange *x);

/* ---- the end ---------------------------------------------------------------------------- */

static uint64_t exchange_elapsed_ms(const struct exchange *x)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - x->began.tv_sec) * 1000 +
			  (now.tv_nsec - x->began.tv_nsec) / 1000000);
}

static struct slice exchange_field(const struct exchange *x, enum field_id id)
{
	const struct field *field = x->head ? head_find(x->head, id, 0) : NULL;

	return field ? field->value : (struct slice){NULL, 0};
}

/* How it ended, in the log's words. */
static const char *exchange_token(const struct exchange *x)
{
	return x->passage.listed ? x->passage.listed->token : reply_token(x->fail);
}

static void exchange_log(const struct exchange *x)
{
	struct accesslog_entry entry = {.client = *intake_client(x->intake),
	    .began = x->began_at,
	    .status = x->status,
	    .down = x->down_bytes,
	    .up = x->up_bytes,
	    .referer = exchange_field(x, FIELD_REFERER),
	    .agent = exchange_field(x, FIELD_USER_AGENT),
	    .duration_ms = exchange_elapsed_ms(x),
	    .destination = x->destination,
	    .end = exchange_token(x)};

	if (x->user)
		entry.user = x->user->name;
	if (x->head) {
		entry.method = x->head->method;
		entry.target = x->head->target;
		entry.minor = x->head->minor;
	}
	accesslog_write(x->services->accesslog, &entry);
}

static struct admission_gate exchange_gate(const struct exchange *x)
{
	return (struct admission_gate){x->services->limit, &x->config->limits.rules, x->intake};
}

static void exchange_settle(struct exchange *x)
{
	if (!x->settled)
		tenure_settle(x->tenure);
	x->settled = true;
}

static void exchange_close(struct exchange *x)
{
	struct metrics *metrics = x->services->metrics;
	struct admission_gate gate = exchange_gate(x);

	if (!x->passage.unlogged)
		exchange_log(x);
	metrics_sub(metrics, METRIC_EXCHANGES, 1);
	metrics_add(metrics, METRIC_BYTES_UP_TOTAL, x->up_bytes);
	metrics_add(metrics, METRIC_BYTES_DOWN_TOTAL, x->down_bytes);
	if (x->fail != FAIL_NONE)
		metrics_add(metrics, METRIC_FAILURES_TOTAL, 1);
	if (x->up)
		upstream_discard(x->up);
	if (x->server_fd >= 0)
		close(x->server_fd);
	if (x->stands)
		LIST_REMOVE(x, tunnels);
	admission_end(&x->admission, &gate);
	text_done(&x->text);
	passage_drop_route(&x->passage);
	exchange_settle(x);
	tenure_leave(x->tenure);
	intake_finish(x->intake, x->end);
	recycle_free(x);
}

/* The answer, ours or the origin's, has been written: on with the connection, or not. */
static void exchange_conclude(struct exchange *x)
{
	x->end = x->keep ? INTAKE_KEEP : INTAKE_LINGER;
	exchange_close(x);
}

static void exchange_cancel(struct exchange *x)
{
	if (x->login)
		login_cancel(x->login);
	if (x->approach)
		approach_cancel(x->approach);
	if (x->junction)
		junction_cancel(x->junction, &x->up_bytes, &x->down_bytes);
	x->login = NULL;
	x->approach = NULL;
	x->junction = NULL;
}

/* ---- the proxy's own answers ------------------------------------------------------------ */

static bool exchange_on_stream(struct wire *from, void *arg)
{
	(void)from;
	(void)arg;
	return false;
}

static void exchange_on_input(void *arg)
{
	(void)arg; /* what is behind the head waits for its turn */
}

static void exchange_on_gone(enum fail why, void *arg)
{
	struct exchange *x = arg;

	/* Whoever is cut off in the middle of a tunnel must not take that for the end. */
	x->end = x->junction ? INTAKE_RESET : INTAKE_DROP;
	exchange_cancel(x);
	if (!x->answering)
		x->fail = why;
	exchange_close(x);
}

static void exchange_on_written(void *arg)
{
	struct exchange *x = arg;

	if (x->answering && wire_pending(intake_wire(x->intake)) == 0)
		exchange_conclude(x);
}

static const struct intake_user exchange_client = {
    .on_stream = exchange_on_stream,
    .on_input = exchange_on_input,
    .on_written = exchange_on_written,
    .on_gone = exchange_on_gone,
};

static struct reply exchange_reply(const struct exchange *x)
{
	struct reply reply = {.fail = x->fail,
	    .why = x->why,
	    .name = x->config->name,
	    .realm = x->config->auth.realm,
	    .minor = 1,
	    .retry_s = x->retry_s,
	    .close = !x->keep,
	    .head_only = x->to_head};

	if (x->head) {
		reply.minor = x->head->minor;
		reply.html = reply_accepts_html(exchange_field(x, FIELD_ACCEPT));
	}
	if (x->passage.route)
		reply.host = x->passage.route->target.authority;
	return reply;
}

/* Send x->text and end. */
static void exchange_answer(struct exchange *x)
{
	struct wire *client = intake_wire(x->intake);
	const char *body = x->text.ptr ? strstr(x->text.ptr, "\r\n\r\n") : NULL;

	x->answering = true;
	if (x->text.failed || !body || wire_write(client, x->text.ptr, x->text.len) != 0) {
		x->keep = false;
		exchange_conclude(x);
		return;
	}
	x->down_bytes = x->text.len - (size_t)(body + 4 - x->text.ptr);
	wire_flush(client);
	if (wire_pending(client) == 0) {
		exchange_conclude(x);
		return;
	}
	intake_allow(x->intake, x->config->timeouts.body);
}

/* Through this door every failure leaves. */
static void exchange_fail(struct exchange *x)
{
	struct reply reply;

	if (x->answered || reply_status(x->fail) == 0) {
		x->keep = false;
		if (x->end != INTAKE_KEEP)
			exchange_close(x);
		else
			exchange_conclude(x);
		return;
	}
	x->keep = x->head && x->request_done && !reply_ends_connection(x->fail) &&
		  headers_keep_alive(x->head) && !intake_draining(x->intake);
	x->status = reply_status(x->fail);
	text_clear(&x->text);
	reply = exchange_reply(x);
	reply_write(&x->text, &reply);
	exchange_answer(x);
}

static bool is_denial(enum fail fail)
{
	return fail == FAIL_CLIENT_DENIED || fail == FAIL_PORT_DENIED ||
	       fail == FAIL_ADDRESS_DENIED || fail == FAIL_RULE_DENIED;
}

static enum outcome failed(struct exchange *x, enum fail fail, const char *why)
{
	if (is_denial(fail))
		metrics_add(x->services->metrics, METRIC_ACL_DENIED_TOTAL, 1);
	if (fail == FAIL_BLOCKLIST) {
		blocklist_count(x->passage.listed);
		metrics_add(x->services->metrics, METRIC_BLOCKLIST_DENIED, 1);
	}
	x->fail = fail;
	x->why = why;
	return FAILED;
}

/* The step that said WAIT has come to its end. */
static void exchange_resume(struct exchange *x, enum outcome outcome)
{
	if (outcome == FAILED) {
		exchange_fail(x);
		return;
	}
	x->step++;
	exchange_run(x);
}

/* ---- admit ------------------------------------------------------------------------------ */

static enum outcome exchange_refused(struct exchange *x, enum limit_rule rule, uint64_t wait_ns)
{
	enum fail fail =
	    refusal_add(x->services->refusal, rule, intake_client(x->intake), wait_ns, &x->retry_s);

	return failed(x, fail, NULL);
}

static enum outcome exchange_admit(struct exchange *x)
{
	uint64_t now = (uint64_t)x->began.tv_sec * 1000000000 + (uint64_t)x->began.tv_nsec, wait;
	struct admission_gate gate = exchange_gate(x);
	enum limit_rule rule;

	if (!acl_allows_client(x->config->acl, intake_client(x->intake)))
		return failed(x, FAIL_CLIENT_DENIED, NULL);
	rule = admission_request(&x->admission, &gate, x->head, now, &wait);
	return rule == LIMIT_NONE ? NEXT : exchange_refused(x, rule, wait);
}

/* ---- login ------------------------------------------------------------------------------ */

static enum outcome exchange_known(struct exchange *x, const struct login_result *result)
{
	x->user = result->user;
	x->retry_s = result->retry_s;
	return result->fail == FAIL_NONE ? NEXT : failed(x, result->fail, result->why);
}

static void exchange_on_login(const struct login_result *result, void *arg)
{
	struct exchange *x = arg;

	x->login = NULL;
	exchange_resume(x, exchange_known(x, result));
}

static enum outcome exchange_login(struct exchange *x)
{
	struct login_request request = {.base = x->services->base,
	    .auth = x->services->auth,
	    .desk = x->services->desk,
	    .metrics = x->services->metrics,
	    .config = x->tenure->config,
	    .client = intake_client(x->intake),
	    .head = x->head,
	    .done = exchange_on_login,
	    .arg = x};
	struct login_result result;

	if (!x->config->auth.table)
		return NEXT;
	x->login = login_start(&request, &result);
	return x->login ? WAIT : exchange_known(x, &result);
}

/* ---- judge ------------------------------------------------------------------------------ */

static enum outcome exchange_home(struct exchange *x)
{
	struct reply reply = exchange_reply(x);
	enum fail fail = home_write(&x->text, x->head, &x->passage.route->target, &reply);

	if (fail != FAIL_NONE)
		return failed(x, fail, NULL);
	x->status = 200;
	return ANSWERED;
}

static struct route_asker exchange_asker(const struct exchange *x)
{
	return (struct route_asker){.client = intake_client(x->intake),
	    .user = x->user,
	    .listener = intake_listener(x->intake),
	    .door = x->services->door,
	    .now = x->began_at};
}

static enum outcome exchange_admit_to_origin(struct exchange *x)
{
	struct admission_gate gate = exchange_gate(x);
	enum limit_rule rule = admission_origin(&x->admission, &gate, x->passage.route);

	return rule == LIMIT_NONE ? NEXT : exchange_refused(x, rule, 0);
}

static enum outcome exchange_judge(struct exchange *x)
{
	struct route_asker asker = exchange_asker(x);
	const char *why = NULL;
	enum fail fail = passage_judge(&x->passage, x->head, &asker, x->config, &why);

	if (fail != FAIL_NONE)
		return failed(x, fail, why);
	return x->passage.home ? exchange_home(x) : exchange_admit_to_origin(x);
}

/* ---- approach --------------------------------------------------------------------------- */

static enum outcome exchange_arrived(struct exchange *x, const struct approach_result *result)
{
	struct admission_gate gate = exchange_gate(x);
	struct allowance allowance;
	const char *why = result->why;

	x->up = result->up;
	x->server_fd = result->fd;
	x->destination = result->address;
	x->reused = result->reused;
	if (result->fail != FAIL_NONE) {
		if (!x->settled)
			passage_heed(&x->passage, result->fail, &why);
		return failed(x, result->fail, why);
	}
	allowance = passage_arrive(&x->passage, &result->address);
	exchange_settle(x);
	if (admission_rule(&x->admission, &gate, allowance) != 0)
		return failed(x, FAIL_NO_MEMORY, NULL);
	return NEXT;
}

static void exchange_on_arrived(const struct approach_result *result, void *arg)
{
	struct exchange *x = arg;

	x->approach = NULL;
	exchange_resume(x, exchange_arrived(x, result));
}

static enum outcome exchange_approach(struct exchange *x)
{
	const struct exchange_services *s = x->services;
	struct approach_plan plan = {.base = s->base,
	    .resolver = s->resolver,
	    .upstreams = s->upstreams,
	    .preference = s->preference,
	    .config = x->config,
	    .route = x->passage.route,
	    .reuse = !x->retried && headers_may_repeat(x->head),
	    .done = exchange_on_arrived,
	    .arg = x};
	struct approach_result result;

	x->approach = approach_start(&plan, &result);
	return x->approach ? WAIT : exchange_arrived(x, &result);
}

/* ---- relay: a tunnel -------------------------------------------------------------------- */

static void exchange_on_joined(const struct junction_result *result, void *arg)
{
	struct exchange *x = arg;

	x->junction = NULL;
	x->fail = result->fail;
	x->up_bytes = result->up;
	x->down_bytes = result->down;
	x->end = result->end;
	exchange_close(x);
}

/* End the tunnel unless the newest configuration would let it through to where it stands. */
static void exchange_review(struct exchange *x)
{
	struct route_asker asker = exchange_asker(x);
	const struct config *config = x->services->tenure->config;
	enum fail fail;

	asker.now = time(NULL);
	fail = passage_recheck(&x->passage, x->head, &asker, config, &x->destination);
	if (fail == FAIL_NONE)
		return;
	x->end = INTAKE_RESET;
	exchange_cancel(x);
	(void)failed(x, fail, NULL);
	exchange_close(x);
}

/* Join both sockets: of a CONNECT, or after an origin has switched protocols. */
static void exchange_join(struct exchange *x, struct upstream *up, const char *greeting)
{
	struct junction_sides sides = {.intake = x->intake,
	    .up = up,
	    .server_fd = x->server_fd,
	    .allowance = x->admission.allowance,
	    .greeting = greeting,
	    .lifetime_s = x->config->timeouts.tunnel_lifetime};
	const struct tenure *newest = x->services->tenure;

	x->server_fd = -1;
	x->junction = junction_start(x->services->base, x->services->pipes,
	    x->config->timeouts.tunnel, &sides, x->services->metrics, exchange_on_joined, x);
	if (x->junction) {
		LIST_INSERT_HEAD(&x->services->tunnels, x, tunnels);
		x->stands = true;
		admission_detach(&x->admission);
		/* It may stand for days. */
		passage_drop_route(&x->passage);
		text_done(&x->text);
		/* The others were reviewed when the reload came, while this one was on its way. */
		if (x->tenure != newest && newest->config->recheck_tunnels)
			exchange_review(x);
		return;
	}
	x->fail = FAIL_NO_MEMORY;
	x->end = INTAKE_DROP;
	exchange_close(x);
}

static enum outcome exchange_tunnel(struct exchange *x)
{
	text_add_format(&x->text, "HTTP/1.1 200 Connection established\r\nVia: 1.1 %s\r\n\r\n",
	    x->config->name);
	if (x->text.failed)
		return failed(x, FAIL_NO_MEMORY, NULL);
	x->status = 200;
	exchange_join(x, NULL, x->text.ptr);
	return WAIT;
}

void exchange_review_tunnels(const struct exchange_services *services)
{
	struct exchange *x, *next;

	for (x = LIST_FIRST(&services->tunnels); x; x = next) {
		next = LIST_NEXT(x, tunnels);
		exchange_review(x);
	}
}

/* ---- relay: a request ------------------------------------------------------------------- */

/* How the client's connection has to end, if that is settled: KEEP leaves it open. */
static enum intake_end exchange_abrupt_end(
    const struct exchange *x, const struct forward_result *result)
{
	switch (result->fail) {
	case FAIL_CLIENT_GONE:
	case FAIL_CLIENT_TIMEOUT:
	case FAIL_SHUTDOWN:
		/*
		 * Nobody waits until what is pending is written; and what the kernel holds for
		 * one that does not read would stay there for long.
		 */
		if (result->reset || result->fail == FAIL_CLIENT_TIMEOUT)
			wire_reset(intake_wire(x->intake)->fd);
		return INTAKE_DROP;
	default:
		return result->reset ? INTAKE_RESET : INTAKE_KEEP;
	}
}

static void exchange_on_forwarded(const struct forward_result *result, void *arg)
{
	struct exchange *x = arg;

	x->forward = NULL;
	intake_set_user(x->intake, &exchange_client, x);
	if (result->untouched && x->reused && !x->retried) {
		metrics_add(x->services->metrics, METRIC_RETRIES_TOTAL, 1);
		x->retried = true;
		x->step--; /* approach once more, afresh */
		exchange_run(x);
		return;
	}
	x->fail = result->fail;
	x->why = result->why;
	x->status = result->status;
	x->up_bytes = result->up;
	x->down_bytes = result->down;
	x->answered = result->answered;
	x->request_done = result->request_done;
	if (result->switched) {
		exchange_join(x, result->switched, "");
		return;
	}
	if (x->fail != FAIL_NONE) {
		x->end = exchange_abrupt_end(x, result);
		exchange_fail(x);
		return;
	}
	x->keep = result->keep;
	exchange_conclude(x);
}

static enum outcome exchange_relay(struct exchange *x)
{
	struct forward_request request = {.base = x->services->base,
	    .pipes = x->services->pipes,
	    .config = x->config,
	    .intake = x->intake,
	    .head = x->head,
	    .target = &x->passage.route->target,
	    .max_forwards = x->passage.max_forwards,
	    .allowance = x->admission.allowance};
	struct upstream *up = x->up;

	if (x->passage.route->target.form == TARGET_AUTHORITY)
		return exchange_tunnel(x);
	x->up = NULL;
	x->forward = forward_start(&request, up, exchange_on_forwarded, x);
	return x->forward ? WAIT : failed(x, FAIL_NO_MEMORY, NULL);
}

/* ---- the beginning ---------------------------------------------------------------------- */

/* The life of a request, top to bottom. */
static const struct {
	const char *name;
	enum outcome (*run)(struct exchange *x);
} steps[] = {
    {"admit", exchange_admit},       /* who may use the proxy, and how much of it */
    {"login", exchange_login},       /* who it is */
    {"judge", exchange_judge},       /* target, method, rules by name, the origin's limit */
    {"approach", exchange_approach}, /* name to addresses, rules by address, a connection */
    {"relay", exchange_relay},       /* bytes, until both ends are done */
};

static void exchange_run(struct exchange *x)
{
	enum outcome outcome = NEXT;

	while (outcome == NEXT) {
		outcome = steps[x->step].run(x);
		if (outcome == NEXT)
			x->step++;
	}
	if (outcome == FAILED)
		exchange_fail(x);
	else if (outcome == ANSWERED)
		exchange_answer(x);
}

void exchange_start(const struct intake_request *request, struct exchange_services *services)
{
	struct exchange *x = recycle_zero(sizeof(*x));

	if (!x) {
		intake_finish(request->intake, INTAKE_CLOSE);
		return;
	}
	x->services = services;
	x->tenure = services->tenure;
	tenure_join(x->tenure);
	x->config = x->tenure->config;
	x->intake = request->intake;
	x->head = request->head;
	x->to_head = request->to_head;
	passage_init(&x->passage);
	x->server_fd = -1;
	clock_gettime(CLOCK_MONOTONIC, &x->began);
	x->began_at = time(NULL);
	metrics_add(services->metrics, METRIC_EXCHANGES, 1);
	metrics_add(services->metrics, METRIC_EXCHANGES_TOTAL, 1);
	intake_set_user(x->intake, &exchange_client, x);
	if (!x->head) {
		x->fail = request->fail;
		x->why = request->why;
		exchange_fail(x);
		return;
	}
	x->to_head = slice_is(x->head->method, "HEAD");
	/* Without a body the whole request is read already. */
	x->request_done =
	    !x->head->chunked && (!x->head->has_length || x->head->content_length == 0);
	x->keep = x->request_done && headers_keep_alive(x->head) && !intake_draining(x->intake);
	/* A body waits in the kernel until there is somewhere to send it. */
	if (!x->request_done)
		intake_pause(x->intake);
	exchange_run(x);
}
