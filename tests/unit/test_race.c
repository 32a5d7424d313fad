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

#define ATTEMPTS_MAX 16 /* with those that could not start */
#define ADDRS_MAX 16

/* What happens to the attempts, one letter each: */
enum {
	LACKS = 'r',    /* start returns NULL with EMFILE */
	UNROUTED = 'u', /* lost from the loop, with ENETUNREACH */
	LOST = 'l',     /* lost from the loop, with ECONNREFUSED */
	WON = 'w',      /* won from the loop */
	LATE = 't',     /* won once the next has begun */
	FALLS = 'f',    /* lost then, with ECONNREFUSED */
	SILENT = '-'    /* nothing */
};

/*
 * When what comes late comes: once so many attempts have begun, or the last of them has failed; or
 * after so many milliseconds.
 */
enum when { NEVER, BEGUN, FAILED, AFTER };

struct course {
	const char *names; /* of the addresses: digits are IPv4, letters IPv6 */
	const char *fates;
	const char *course; /* what began, and after an 'x' what was cancelled */
	char winner;        /* 0: none */
	int error;
	enum when when;
	size_t late_at;
	const char *late; /* "": nothing comes; behind a '!': the first is known to answer */
};

struct runner;

struct attempt {
	struct runner *runner;
	struct race *race;
	struct event event;
	char fate, name;
	bool over;
};

struct runner {
	struct event_base *base;
	struct race *race; /* NULL: over */
	const struct course *c;
	struct event late;
	char course[4 * ATTEMPTS_MAX];
	struct attempt attempts[ATTEMPTS_MAX];
	size_t started, running;
	int done;
	bool inside; /* of a call of the race's owner */
	const struct attempt *winner;
	struct addr address;
	int error;
};

static void runner_tell(struct runner *r, char what)
{
	size_t len = strlen(r->course);

	assert_true(len + 1 < sizeof(r->course));
	r->course[len] = what;
}

static size_t addrs_of(const char *names, struct addr addrs[ADDRS_MAX])
{
	size_t count = strlen(names);

	assert_true(count <= ADDRS_MAX);
	for (size_t i = 0; i < count; i++)
		addrs[i] = (struct addr){
		    .family = names[i] < 'a' ? AF_INET : AF_INET6, .port = (uint16_t)names[i]};
	return count;
}

static void runner_on_late(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;
	struct addr addrs[ADDRS_MAX];
	size_t known = r->c->late[0] == '!';
	size_t count = addrs_of(r->c->late + known, addrs);

	(void)fd;
	(void)what;
	if (!r->race)
		return;
	r->inside = true;
	if (known)
		race_hurry(r->race, &addrs[0]);
	if (count > known)
		race_add(r->race, addrs + known, count - known);
	race_expect(r->race, false);
	r->inside = false;
}

static void attempt_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;
	struct runner *r = a->runner;
	size_t number = (size_t)(a - r->attempts) + 1;

	(void)fd;
	(void)what;
	a->over = true;
	r->running--;
	if (a->fate == WON || a->fate == LATE) {
		race_won(a->race, a);
		return;
	}
	race_lost(a->race, a, a->fate == UNROUTED ? ENETUNREACH : ECONNREFUSED);
	if (r->c->when == FAILED && number == r->c->late_at)
		runner_on_late(-1, 0, r);
}

static void *attempt_start(struct race *race, const struct addr *to, void *arg)
{
	struct runner *r = arg;
	struct attempt *a = &r->attempts[r->started];

	assert_true(r->started < strlen(r->c->fates));
	*a = (struct attempt){
	    .runner = r, .race = race, .fate = r->c->fates[r->started++], .name = (char)to->port};
	assert_int_equal(to->family, a->name < 'a' ? AF_INET : AF_INET6);
	runner_tell(r, a->name);
	if (r->c->when == BEGUN && r->started == r->c->late_at)
		event_active(&r->late, EV_TIMEOUT, 1);
	if (r->started > 1 && !a[-1].over && (a[-1].fate == LATE || a[-1].fate == FALLS))
		event_active(&a[-1].event, EV_TIMEOUT, 1);
	if (a->fate == LACKS) {
		a->over = true;
		errno = EMFILE;
		return NULL;
	}
	event_assign(&a->event, r->base, -1, 0, attempt_on_event, a);
	if (a->fate != SILENT && a->fate != LATE && a->fate != FALLS)
		event_active(&a->event, EV_TIMEOUT, 1);
	r->running++;
	assert_true(r->running <= 2);
	return a;
}

static void attempt_cancel(void *handle, void *arg)
{
	struct runner *r = arg;
	struct attempt *a = handle;

	assert_false(a->over);
	a->over = true;
	r->running--;
	runner_tell(r, 'x');
	runner_tell(r, a->name);
	event_del(&a->event);
}

static void runner_on_done(void *winner, const struct addr *address, int error, void *arg)
{
	struct runner *r = arg;

	assert_false(r->inside);
	r->race = NULL;
	r->done++;
	r->winner = winner;
	r->error = error;
	/* all others are cancelled by now */
	assert_int_equal(r->running, 0);
	assert_int_equal(address != NULL, winner != NULL);
	if (address)
		r->address = *address;
}

static void runner_start(
    struct runner *r, const struct course *c, struct timeval stagger, struct timeval total)
{
	static const struct race_attempt how = {attempt_start, attempt_cancel};
	const struct race_times times = {stagger, total};
	struct addr addrs[ADDRS_MAX];

	memset(r, 0, sizeof(*r));
	r->base = event_base_new();
	r->c = c;
	event_assign(&r->late, r->base, -1, 0, runner_on_late, r);
	r->inside = true;
	r->race =
	    race_start(r->base, addrs, addrs_of(c->names, addrs), &times, &how, runner_on_done, r);
	assert_non_null(r->race);
	if (c->when != NEVER)
		race_expect(r->race, true);
	if (c->when == AFTER)
		event_add(&r->late, &(struct timeval){0, (suseconds_t)c->late_at * 1000});
	r->inside = false;
	/* the race has its own copy */
	memset(addrs, 0xff, sizeof(addrs));
}

static void run(const struct course *c, struct timeval stagger, struct timeval total)
{
	struct runner r;

	runner_start(&r, c, stagger, total);
	/* ends by itself only when no timer and no attempt is left behind */
	assert_int_equal(event_base_dispatch(r.base), 1);
	assert_int_equal(r.done, 1);
	assert_string_equal(r.course, c->course);
	assert_int_equal(r.error, c->error);
	assert_int_equal(r.winner ? r.winner->name : 0, c->winner);
	if (r.winner)
		assert_int_equal(r.address.port, c->winner);
	event_base_free(r.base);
}

static const struct timeval moment = {0, 1000}, never = {600, 0};

/* Nothing waits for time: what fails is followed at once. */
static void test_failures(void **state)
{
	static const struct course cases[] = {
	    {"1", "w", "1", '1', 0, NEVER, 0, NULL},
	    {"12", "w", "1", '1', 0, NEVER, 0, NULL},
	    {"1", "l", "1", 0, ECONNREFUSED, NEVER, 0, NULL},
	    /* the families take turns */
	    {"abc123", "llllll", "a1b2c3", 0, ECONNREFUSED, NEVER, 0, NULL},
	    {"123abc", "llllll", "1a2b3c", 0, ECONNREFUSED, NEVER, 0, NULL},
	    {"1a23", "llll", "1a23", 0, ECONNREFUSED, NEVER, 0, NULL},
	    {"ab1c", "llll", "a1bc", 0, ECONNREFUSED, NEVER, 0, NULL},
	    /* six in all */
	    {"abcdefgh", "llllll", "abcdef", 0, ECONNREFUSED, NEVER, 0, NULL},
	    {"abcdefgh12345678", "llllll", "a1b2c3", 0, ECONNREFUSED, NEVER, 0, NULL},
	    /* what an address answered says more than that there is no way */
	    {"1a", "lu", "1a", 0, ECONNREFUSED, NEVER, 0, NULL},
	    {"a1", "ul", "a1", 0, ECONNREFUSED, NEVER, 0, NULL},
	    {"a", "u", "a", 0, ENETUNREACH, NEVER, 0, NULL},
	    /* what comes late: before the last has failed, and when it has */
	    {"a", "lw", "a1", '1', 0, BEGUN, 1, "1"},
	    {"a", "lw", "a1", '1', 0, FAILED, 1, "1"},
	    {"a", "w", "a", 'a', 0, BEGUN, 1, "1"},
	    {"ab", "lllll", "ab123", 0, ECONNREFUSED, FAILED, 2, "123"},
	    {"12", "llll", "1a2b", 0, ECONNREFUSED, BEGUN, 1, "ab"},
	    {"a", "l", "a", 0, ECONNREFUSED, BEGUN, 1, ""},
	    {"a", "l", "a", 0, ECONNREFUSED, FAILED, 1, ""},
	    /* all six are made: nothing is waited for */
	    {"abcdefg", "llllll", "abcdef", 0, ECONNREFUSED, FAILED, 7, "1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i], never, never);
}

/* No descriptor is left: of that an address is not to blame, and no attempt is used up. */
static void test_lacks(void **state)
{
	static const struct course cases[] = {
	    /* nothing is under way: the same address once more, when the loop comes to it */
	    {"1", "rr", "11", 0, EMFILE, NEVER, 0, NULL},
	    {"123", "rr", "11", 0, EMFILE, NEVER, 0, NULL},
	    {"123", "rw", "11", '1', 0, NEVER, 0, NULL},
	    {"12", "lr", "12", 0, EMFILE, NEVER, 0, NULL},
	    {"a", "rr", "aa", 0, EMFILE, AFTER, 20, "1"},
	    /* others come meanwhile */
	    {"a", "rw", "aa", 'a', 0, BEGUN, 1, "1"},
	    {"a", "rlw", "aa1", '1', 0, BEGUN, 1, "1"},
	    {"a", "rr", "aa", 0, EMFILE, BEGUN, 1, ""},
	    {"a", "lrr", "a11", 0, EMFILE, FAILED, 1, "12"},
	    {"a", "lrlw", "a112", '2', 0, FAILED, 1, "!12"},
	    {"a", "lrr", "a11", 0, EMFILE, FAILED, 1, "!1"},
	    /* one ends, and leaves its own */
	    {"a", "frw", "a11", '1', 0, BEGUN, 1, "!1"},
	    {"a", "frr", "a11", 0, EMFILE, BEGUN, 1, "!1"},
	    {"a", "trw", "a1", 'a', 0, BEGUN, 1, "!1"},
	};
	/* one is under way: after a while, as often as it takes */
	static const struct course again[] = {
	    {"a12", "-rrw", "a111xa", '1', 0, NEVER, 0, NULL},
	    {"abcdefg", "-rrrrrrllllw", "abbbbbbbcdefxa", 'f', 0, NEVER, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i], never, never);
	for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++)
		run(&again[i], moment, never);
}

/* One is silent: another begins beside it, and what loses is cancelled. */
static void test_stagger(void **state)
{
	static const struct course cases[] = {
	    {"a1", "-w", "a1xa", '1', 0, NEVER, 0, NULL},
	    {"a1", "t-", "a1x1", 'a', 0, NEVER, 0, NULL},
	    {"ab12", "-llw", "a1b2xa", '2', 0, NEVER, 0, NULL},
	    {"a", "-w", "a1xa", '1', 0, BEGUN, 1, "1"},
	    {"ab", "-lw", "ab1xa", '1', 0, FAILED, 2, "1"},
	    {"abc", "-llw", "abc1xa", '1', 0, FAILED, 3, "1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i], moment, never);
}

/* What comes late and is known to answer waits for nothing, but counts like any other. */
static void test_hurry(void **state)
{
	static const struct course cases[] = {
	    {"a", "-w", "a1xa", '1', 0, BEGUN, 1, "!1"},
	    {"ab", "-w", "a1xa", '1', 0, BEGUN, 1, "!1"},
	    {"ab", "l-w", "ab1xb", '1', 0, FAILED, 1, "!1"},
	    {"ab1", "lllll", "a2b13", 0, ECONNREFUSED, BEGUN, 1, "!23"},
	    {"12", "-llw", "1a2bx1", 'b', 0, BEGUN, 1, "!ab"},
	    /* in front of as many as could be tried, and of those that were tried already */
	    {"abcdef", "-w", "agxa", 'g', 0, BEGUN, 1, "!g"},
	    {"a123456", "-w", "a7xa", '7', 0, BEGUN, 1, "!7"},
	    {"abcdef", "llll-w", "abcdegxe", 'g', 0, FAILED, 4, "!g"},
	    /* six in all */
	    {"abcdef", "llllll", "abcdef", 0, ECONNREFUSED, FAILED, 5, "!1"},
	    {"abcde", "llllll", "abcde1", 0, ECONNREFUSED, FAILED, 5, "!123"},
	};
	/* two at once */
	static const struct course third = {"ab", "--w", "abxa1xb", '1', 0, BEGUN, 2, "!1"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i], never, never);
	run(&third, moment, never);
}

/* Two are silent: the older gives way, and the last has its time, too. */
static void test_share(void **state)
{
	static const struct course c = {"abc123", "--w", "a1xabx1", 'b', 0, NEVER, 0, NULL};
	static const struct timeval total = {6, 0};

	(void)state;
	run(&c, moment, total);
}

static void test_total(void **state)
{
	static const struct timeval now = {0, 0};
	static const struct {
		struct course course;
		struct timeval stagger, total;
	} cases[] = {
	    {{"a", "-", "axa", 0, ETIMEDOUT, NEVER, 0, NULL}, {600, 0}, {0, 5000}},
	    {{"1a", "l-", "1axa", 0, ETIMEDOUT, NEVER, 0, NULL}, {600, 0}, {0, 5000}},
	    {{"a1", "-", "axa", 0, ETIMEDOUT, NEVER, 0, NULL}, {600, 0}, {0, 5000}},
	    {{"a1", "--", "a1x1xa", 0, ETIMEDOUT, NEVER, 0, NULL}, {0, 1000}, {0, 50000}},
	    /* it is over then, whatever is expected still */
	    {{"ab", "l-", "abxb", 0, ETIMEDOUT, BEGUN, 9, ""}, {600, 0}, {0, 5000}},
	    /* no time goes by where nothing is under way */
	    {{"a", "lw", "a1", '1', 0, AFTER, 20, "1"}, {600, 0}, {0, 5000}},
	    {{"a", "lw", "a1", '1', 0, AFTER, 20, "!1"}, {600, 0}, {0, 5000}},
	    {{"a", "l", "a", 0, ECONNREFUSED, AFTER, 20, ""}, {600, 0}, {0, 5000}},
	    {{"a", "l-", "a1x1", 0, ETIMEDOUT, AFTER, 20, "1"}, {600, 0}, {0, 5000}},
	};
	static const struct course one = {"a", "-", "axa", 0, ETIMEDOUT, NEVER, 0, NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i].course, cases[i].stagger, cases[i].total);
	/* both timers in the same turn of the loop: done still comes once */
	run(&one, now, now);
}

/* In every state: attempts under way, one that is about to report, none that could start. */
static void test_cancel(void **state)
{
	static const struct course cases[] = {
	    {"a", "-", "axa", 0, 0, NEVER, 0, NULL},
	    {"a", "w", "axa", 0, 0, NEVER, 0, NULL},
	    {"ab", "r", "a", 0, 0, NEVER, 0, NULL},
	    {"a", "r", "a", 0, 0, BEGUN, 9, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct runner r;

		runner_start(&r, &cases[i], never, never);
		race_cancel(r.race);
		assert_int_equal(event_base_dispatch(r.base), 1);
		assert_int_equal(r.done, 0);
		assert_string_equal(r.course, cases[i].course);
		event_base_free(r.base);
	}
	race_cancel(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_failures),
	    cmocka_unit_test(test_lacks),
	    cmocka_unit_test(test_stagger),
	    cmocka_unit_test(test_hurry),
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_total),
	    cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
