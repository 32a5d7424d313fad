#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/tempo.h"

/* Seconds of one behaviour, and whether the end still keeps up behind them. */
struct span {
	int seconds;
	uint64_t bytes; /* in each of them */
	bool waited_for, keeps_up;
};

struct case_ {
	const char *name;
	uint64_t rate, allowance_s;
	struct span spans[4];
};

static const struct case_ cases[] = {
    {"as fast as asked for", 100, 10, {{10000, 100, true, true}}},
    {"silent for the allowance", 100, 10, {{10, 0, true, true}, {1, 0, true, false}}},
    {"a trickle is cut behind it", 100, 10, {{10, 1, true, true}, {1, 1, true, false}}},
    {"half the rate lasts twice as long", 100, 10, {{20, 50, true, true}, {1, 50, true, false}}},
    {"a lull and a burst", 100, 10,
	{{10, 0, true, true}, {1, 2000, true, true}, {10, 0, true, true}, {1, 0, true, false}}},
    {"a fast beginning is no credit for the rest", 100, 10,
	{{5, 1000000, true, true}, {10, 1, true, true}, {1, 1, true, false}}},
    {"the other's time does not count", 100, 10, {{100000, 0, false, true}}},
    {"it does not give back either", 100, 10,
	{{10, 0, true, true}, {100, 0, false, true}, {1, 0, true, false}}},
    {"no rate", 0, 10, {{100000, 0, true, true}}},
    {"more than can be counted", 1, 10, {{3, UINT64_MAX / 4, true, true}}},
};

static void tells_who_is_too_slow(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct tempo_rate rate = {cases[i].rate, cases[i].allowance_s * 1000};
		struct tempo tempo = {0};
		uint64_t moved = 0;

		for (size_t j = 0; j < 4 && cases[i].spans[j].seconds > 0; j++) {
			const struct span *span = &cases[i].spans[j];
			bool keeps_up = true;

			for (int s = 0; s < span->seconds; s++) {
				tempo.waited_for = span->waited_for;
				moved += span->bytes;
				keeps_up = tempo_note(&tempo, &rate, moved, 1000);
			}
			if (keeps_up != span->keeps_up)
				fail_msg("%s: span %zu", cases[i].name, j);
		}
	}
}

static void bytes_that_go_back_move_nothing(void **state)
{
	const struct tempo_rate rate = {100, 1000};
	struct tempo tempo = {.waited_for = true};

	(void)state;
	assert_true(tempo_note(&tempo, &rate, 500, 0));
	assert_true(tempo_note(&tempo, &rate, 400, 1000));
	assert_false(tempo_note(&tempo, &rate, 500, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tells_who_is_too_slow),
	    cmocka_unit_test(bytes_that_go_back_move_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
