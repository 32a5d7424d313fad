#include "proxy/login.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/basic.h"
#include "http/head.h"
#include "net/addr.h"
#include "net/deadline.h"
#include "policy/auth.h"
#include "proxy/checker.h"
#include "proxy/config.h"
#include "proxy/users.h"

/* An answer that takes longer is not waited for: there are too many before it. */
#define LOGIN_PATIENCE_S 30

struct login {
	struct deadline deadline; /* of the check, and then of the delay */
	struct check *check;      /* NULL: it has answered */
	struct metrics *metrics;
	struct config *config;
	struct addr client;
	struct login_result result;
	login_done_fn *done;
	void *arg;
	char name[4 * BASIC_NAME_MAX + 1]; /* escaped, for the log */
};

static void login_free(struct login *login)
{
	if (login->check)
		check_cancel(login->check);
	deadline_done(&login->deadline);
	free(login);
}

static void login_finish(struct login *login)
{
	struct login_result result = login->result;
	login_done_fn *done = login->done;
	void *arg = login->arg;

	login_free(login);
	done(&result, arg);
}

static void login_on_deadline(void *arg)
{
	struct login *login = arg;

	if (login->check)
		login->result = (struct login_result){.fail = FAIL_OVERLOAD, .retry_s = 1};
	login_finish(login);
}

/* Whole seconds, none too few. */
static int seconds(uint64_t ns)
{
	return (int)((ns + BUCKET_SECOND - 1) / BUCKET_SECOND);
}

static struct login_result login_limited(struct metrics *metrics, uint64_t wait_ns)
{
	metrics_add(metrics, METRIC_AUTH_LIMITED, 1);
	return (struct login_result){.fail = FAIL_AUTH_LIMITED, .retry_s = seconds(wait_ns)};
}

/* The line is read by others (conf/penstock.fail2ban): what the client chose comes last. */
static void login_fail(struct login *login)
{
	char from[ADDR_TEXT_MAX];

	addr_format_ip(&login->client, from);
	log_warning("authentication failure from %s for user \"%s\"", from, login->name);
	metrics_add(login->metrics, METRIC_AUTH_FAILURES, 1);
	login->result = (struct login_result){.fail = FAIL_AUTH_FAILED};
	if (login->config->auth.delay > 0)
		deadline_set(&login->deadline, login->config->auth.delay);
	else
		login_finish(login);
}

static void login_on_checked(const struct check_answer *answer, void *arg)
{
	struct login *login = arg;

	login->check = NULL;
	switch (answer->verdict) {
	case CHECK_BAD:
		login_fail(login);
		return;
	case CHECK_GOOD:
		login->result = (struct login_result){.user = answer->user};
		break;
	case CHECK_LIMITED:
		login->result = login_limited(login->metrics, answer->wait_ns);
		break;
	case CHECK_NO_MEMORY:
		login->result = (struct login_result){.fail = FAIL_NO_MEMORY};
		break;
	}
	login_finish(login);
}

/* ---- what is settled at once ------------------------------------------------------------ */

/* The credentials; false: there are none that could be checked, and *ret_result says so. */
static bool read_credentials(
    const struct head *head, struct basic *ret_basic, struct login_result *ret_result)
{
	const struct field *field = head_find(head, FIELD_PROXY_AUTHORIZATION, 0);

	*ret_result = (struct login_result){.fail = FAIL_AUTH_REQUIRED};
	if (!field)
		return false;
	if (head_find(head, FIELD_PROXY_AUTHORIZATION, (size_t)(field - head->fields) + 1)) {
		ret_result->fail = FAIL_AUTH_FAILED;
		ret_result->why = "The request has credentials for the proxy twice.";
		return false;
	}
	if (!basic_is_scheme(field->value))
		return false;
	if (basic_decode(field->value, ret_basic, &ret_result->why) == 0)
		return true;
	ret_result->fail = FAIL_AUTH_FAILED;
	return false;
}

static struct login *login_new(const struct login_request *request, const struct basic *basic)
{
	struct login *login = calloc(1, sizeof(*login));

	if (!login)
		return NULL;
	deadline_init(&login->deadline, request->base, login_on_deadline, login);
	login->metrics = request->metrics;
	login->config = request->config;
	login->client = *request->client;
	login->done = request->done;
	login->arg = request->arg;
	log_escape(login->name, sizeof(login->name), basic->name, basic->name_len);
	return login;
}

static struct login *login_check(
    const struct login_request *request, const struct basic *basic, struct login_result *ret_result)
{
	struct login *login = login_new(request, basic);

	ret_result->fail = FAIL_NO_MEMORY;
	if (!login)
		return NULL;
	login->check = check_start(
	    request->desk, request->config, request->client, basic, login_on_checked, login);
	if (!login->check) {
		*ret_result = (struct login_result){.fail = FAIL_OVERLOAD, .retry_s = 1};
		login_free(login);
		return NULL;
	}
	metrics_add(request->metrics, METRIC_AUTH_CHECKS, 1);
	deadline_set(&login->deadline, LOGIN_PATIENCE_S);
	return login;
}

/* With credentials.  Who has failed too often learns nothing, not even of what is known. */
static struct login *login_judge(
    const struct login_request *request, const struct basic *basic, struct login_result *ret_result)
{
	const struct config *config = request->config;
	uint64_t now = deadline_now_ns();
	uint64_t wait = auth_wait(request->auth, request->client, config->auth.failures, now);

	*ret_result = (struct login_result){0};
	if (wait > 0) {
		*ret_result = login_limited(request->metrics, wait);
		return NULL;
	}
	ret_result->user =
	    auth_recall(request->auth, config->auth.table, basic, config->auth.keep, now);
	return ret_result->user ? NULL : login_check(request, basic, ret_result);
}

struct login *login_start(const struct login_request *request, struct login_result *ret_result)
{
	struct login *login = NULL;
	struct basic basic;

	*ret_result = (struct login_result){0};
	if (!users_ask(request->config, request->client))
		return NULL;
	if (!read_credentials(request->head, &basic, ret_result))
		return NULL;
	login = login_judge(request, &basic, ret_result);
	basic_wipe(&basic);
	return login;
}

void login_cancel(struct login *login)
{
	login_free(login);
}
