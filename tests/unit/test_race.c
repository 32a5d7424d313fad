#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>

#include "net/race.h"

#define ADDRS_MAX 4

/* What happens to the attempts, one letter each: */
enum {
	REFUSED = 'r', /* start returns NULL with EMFILE */
	LOST = 'l',    /* lost from the loop, with ECONNREFUSED */
	WON = 'w',     /* won from the loop */
	SILENT = '-'   /* neither */
};

struct attempt {
	struct event event;
	struct race *race;
	char fate;
};

struct runner {
	struct event_base *base;
	const char *fates;
	struct attempt attempts[ADDRS_MAX];
	int started, cancelled, done;
	bool in_start; /* inside of race_start */
	void *winner;
	struct addr address;
	int error;
};

static void attempt_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;

	(void)fd;
	(void)what;
	if (a->fate == WON)
		race_won(a->race, a);
	else
		race_lost(a->race, a, ECONNREFUSED);
}

static void *attempt_start(struct race *race, const struct addr *to, void *arg)
{
	struct runner *r = arg;
	struct attempt *a = &r->attempts[r->started];

	/* one after the other, in their order: addresses are numbered by port */
	assert_int_equal(to->port, r->started);
	a->race = race;
	a->fate = r->fates[r->started++];
	if (a->fate == REFUSED) {
		errno = EMFILE;
		return NULL;
	}
	event_assign(&a->event, r->base, -1, 0, attempt_on_event, a);
	if (a->fate != SILENT)
		event_active(&a->event, EV_TIMEOUT, 1);
	return a;
}

static void attempt_cancel(void *handle, void *arg)
{
	struct runner *r = arg;
	struct attempt *a = handle;

	assert_ptr_equal(a, &r->attempts[r->started - 1]);
	event_del(&a->event);
	r->cancelled++;
}

static void runner_on_done(void *winner, const struct addr *address, int error, void *arg)
{
	struct runner *r = arg;

	assert_false(r->in_start);
	r->done++;
	r->winner = winner;
	r->error = error;
	assert_int_equal(address != NULL, winner != NULL);
	if (address)
		r->address = *address;
}

static struct race *runner_start(
    struct runner *r, const char *fates, struct timeval attempt, struct timeval total)
{
	static const struct race_attempt how = {attempt_start, attempt_cancel};
	struct addr addrs[ADDRS_MAX];
	struct race *race;

	memset(r, 0, sizeof(*r));
	memset(addrs, 0, sizeof(addrs));
	for (size_t i = 0; i < ADDRS_MAX; i++)
		addrs[i] = (struct addr){.family = AF_INET, .port = (uint16_t)i};
	r->base = event_base_new();
	r->fates = fates;
	r->in_start = true;
	race = race_start(r->base, addrs, strlen(fates), attempt, total, &how, runner_on_done, r);
	assert_non_null(race);
	r->in_start = false;
	/* the race has its own copy */
	memset(addrs, 0xff, sizeof(addrs));
	return race;
}

static void test_course(void **state)
{
	static const struct timeval moment = {0, 3000}, never = {60, 0};
	static const struct {
		const char *fates;
		bool attempt_ends, total_ends;
		int started, cancelled, winner, error;
	} cases[] = {
	    {"w", false, false, 1, 0, 0, 0},
	    {"www", false, false, 1, 0, 0, 0},
	    {"lw", false, false, 2, 0, 1, 0},
	    {"llrw", false, false, 4, 0, 3, 0},
	    {"rw", false, false, 2, 0, 1, 0},
	    {"l", false, false, 1, 0, -1, ECONNREFUSED},
	    {"lll", false, false, 3, 0, -1, ECONNREFUSED},
	    {"r", false, false, 1, 0, -1, EMFILE},
	    {"rrrr", false, false, 4, 0, -1, EMFILE},
	    {"rl", false, false, 2, 0, -1, ECONNREFUSED},
	    {"lr", false, false, 2, 0, -1, EMFILE},
	    {"-w", true, false, 2, 1, 1, 0},
	    {"--rw", true, false, 4, 2, 3, 0},
	    {"-l", true, false, 2, 1, -1, ECONNREFUSED},
	    {"-r", true, false, 2, 1, -1, EMFILE},
	    {"l-", true, false, 2, 1, -1, ETIMEDOUT},
	    {"---", true, false, 3, 3, -1, ETIMEDOUT},
	    {"-w", false, true, 1, 1, -1, ETIMEDOUT},
	    {"rl-w", false, true, 3, 1, -1, ETIMEDOUT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct runner r;

		runner_start(&r, cases[i].fates, cases[i].attempt_ends ? moment : never,
		    cases[i].total_ends ? moment : never);
		/* ends by itself only when no timer and no attempt is left behind */
		assert_int_equal(event_base_dispatch(r.base), 1);
		assert_int_equal(r.done, 1);
		assert_int_equal(r.started, cases[i].started);
		assert_int_equal(r.cancelled, cases[i].cancelled);
		assert_int_equal(r.error, cases[i].error);
		if (cases[i].winner < 0) {
			assert_null(r.winner);
		} else {
			assert_ptr_equal(r.winner, &r.attempts[cases[i].winner]);
			assert_int_equal(r.address.port, cases[i].winner);
		}
		event_base_free(r.base);
	}
}

/* In every state: an attempt under way, one that is about to report, none that could start. */
static void test_cancel(void **state)
{
	static const struct timeval never = {60, 0};
	static const struct {
		const char *fates;
		int started, cancelled;
	} cases[] = {{"-", 1, 1}, {"w", 1, 1}, {"lw", 1, 1}, {"rr", 2, 0}, {"r-", 2, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct runner r;

		race_cancel(runner_start(&r, cases[i].fates, never, never));
		assert_int_equal(event_base_dispatch(r.base), 1);
		assert_int_equal(r.done, 0);
		assert_int_equal(r.started, cases[i].started);
		assert_int_equal(r.cancelled, cases[i].cancelled);
		event_base_free(r.base);
	}
	race_cancel(NULL);
}

/* When both timers are due in the same turn of the loop, done still comes once. */
static void test_timers_at_once(void **state)
{
	static const struct timeval now = {0, 0};
	struct runner r;

	(void)state;
	runner_start(&r, "-", now, now);
	assert_int_equal(event_base_dispatch(r.base), 1);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.cancelled, 1);
	assert_int_equal(r.error, ETIMEDOUT);
	event_base_free(r.base);
}

static void test_share(void **state)
{
	static const struct {
		struct timeval total;
		size_t count;
		struct timeval share;
	} cases[] = {
	    {{10, 0}, 1, {10, 0}}, {{10, 0}, 4, {2, 500000}}, {{10, 500000}, 3, {3, 500000}},
	    {{10, 0}, 16, {2, 0}}, {{1, 0}, 1, {2, 0}}, /* the total timer cuts it */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct timeval share = race_share(cases[i].total, cases[i].count);

		assert_int_equal(share.tv_sec, cases[i].share.tv_sec);
		assert_int_equal(share.tv_usec, cases[i].share.tv_usec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_course),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_timers_at_once),
	    cmocka_unit_test(test_share),
	};

	return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
