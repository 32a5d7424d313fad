#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <string.h>

#include "base/attr.h"
#include "net/deadline.h"
#include "net/pace.h"

enum { RATE = 1000000, PIECE = RATE / 32, SOURCES = 3, MANY = 400 * 1000 };

struct rig {
	struct event_base *base;
	struct bucket bucket;
	struct pace *paces[SOURCES];
	size_t read[SOURCES], total;
	size_t ask; /* for one read */
	int woken;
};

struct source {
	struct rig *rig;
	size_t index;
};

/* Read for as long as it may: there are always bytes. */
static void source_on_go(void *arg)
{
	struct source *source = arg;
	struct rig *r = source->rig;
	struct pace *p = r->paces[source->index];

	r->woken++;
	while (r->total < MANY && !pace_waits(p)) {
		size_t got = pace_most(p, r->ask);

		pace_counts(p, (ssize_t)got);
		r->read[source->index] += got;
		r->total += got;
	}
	if (r->total >= MANY)
		event_base_loopbreak(r->base);
}

/* Sources that read at once as much as they like, and three that never get more than a bit. */
static void test_sources_share_a_rate(void **state)
{
	static const size_t asks[] = {1 << 20, PIECE, 10 * 1000, 1000};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(asks); k++) {
		struct rig r = {.base = event_base_new(), .ask = asks[k]};
		struct allowance allowance = {&r.bucket, RATE};
		struct source sources[SOURCES];
		uint64_t began = deadline_now_ns(), ms;

		for (size_t i = 0; i < SOURCES; i++) {
			sources[i] = (struct source){&r, i};
			r.paces[i] = pace_new(r.base, allowance, source_on_go, &sources[i]);
			assert_non_null(r.paces[i]);
		}
		for (size_t i = 0; i < SOURCES; i++)
			source_on_go(&sources[i]);
		event_base_dispatch(r.base);
		ms = (deadline_now_ns() - began) / 1000000;
		/* An eighth of a second's worth is free, and each may be a piece ahead. */
		assert_true(ms >= (MANY - RATE / 8 - (SOURCES + 1) * PIECE) / (RATE / 1000));
		/* The first to come had the free part; the rest goes round. */
		for (size_t i = 1; i < SOURCES; i++)
			assert_in_range(r.read[i], (MANY - RATE / 8) / SOURCES - 2 * PIECE,
			    (MANY - RATE / 8) / SOURCES + 2 * PIECE);
		assert_true(r.woken <= 2 * MANY / PIECE);
		for (size_t i = 0; i < SOURCES; i++)
			pace_free(r.paces[i]);
		event_base_free(r.base);
	}
}

static void never(void *arg)
{
	(void)arg;
	fail_msg("called");
}

static void test_pieces(void **state)
{
	static const struct {
		uint32_t rate;
		size_t want, piece;
	} cases[] = {
	    {1, 100, 100},
	    {1, 1 << 20, 1024},
	    {32 * 1024, 1 << 20, 1024},
	    {64 * 1024, 1 << 20, 2048},
	    {2000000000, 1 << 20, 1 << 20},
	};
	struct event_base *base = event_base_new();

	(void)state;
	assert_int_equal(pace_most(NULL, 17), 17);
	assert_false(pace_waits(NULL));
	pace_counts(NULL, 17);
	pace_free(NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bucket bucket = {0};
		struct pace *p =
		    pace_new(base, (struct allowance){&bucket, cases[i].rate}, never, NULL);

		assert_non_null(p);
		assert_int_equal(pace_most(p, cases[i].want), cases[i].piece);
		/* An end or an error costs nothing. */
		pace_counts(p, 0);
		pace_counts(p, -1);
		assert_true(bucket_is_full(&bucket, 0));
		pace_free(p);
	}
	event_base_free(base);
}

/* What waits and is freed is not called. */
static void test_freed_while_waiting(void **state)
{
	struct event_base *base = event_base_new();
	struct bucket bucket = {0};
	struct pace *p = pace_new(base, (struct allowance){&bucket, 1000000}, never, NULL);

	(void)state;
	assert_false(pace_waits(p));
	bucket_spend(&bucket, BUCKET_SECOND / 4, deadline_now_ns());
	assert_false(pace_waits(p)); /* it was granted a piece before */
	pace_counts(p, 1 << 20);
	assert_true(pace_waits(p));
	assert_true(pace_waits(p));
	pace_free(p);
	event_base_dispatch(base);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sources_share_a_rate),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_freed_while_waiting),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
