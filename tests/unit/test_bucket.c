#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/attr.h"
#include "base/bucket.h"

#define S BUCKET_SECOND
#define MS (BUCKET_SECOND / 1000)

/* Three a second, a second's worth deep: at these times, taken at once or after that wait. */
static void test_take(void **state)
{
	static const struct {
		uint64_t now, wait;
	} cases[] = {
	    {10 * S, 0},
	    {10 * S, 0},
	    {10 * S, 0},
	    {10 * S, S / 3 - 1}, /* a third is rounded down thrice */
	    {10 * S + 300 * MS, S / 3 - 300 * MS - 1},
	    {10 * S + 334 * MS, 0},
	    {10 * S + 334 * MS, 2 * (S / 3) - 334 * MS - 1},
	    {60 * S, 0}, /* full again, and no fuller */
	    {60 * S, 0},
	    {60 * S, 0},
	    {60 * S, S / 3 - 1},
	};
	struct bucket b = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t wait = bucket_take(&b, bucket_cost(1, 3), S, cases[i].now);

		if (wait != cases[i].wait)
			fail_msg("case %zu: wait %llu", i, (unsigned long long)wait);
	}
}

/* Waiting for as long as was said is enough, and any less is not. */
static void test_wait_is_exact(void **state)
{
	static const uint32_t rates[] = {1, 2, 3, 7, 60, 999, 1000, 1000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		uint64_t cost = bucket_cost(1, rates[i]), now = 5 * S + 123456789, wait;
		struct bucket b = {0};
		uint32_t taken = 0;

		while ((wait = bucket_take(&b, cost, S, now)) == 0)
			taken++;
		assert_int_equal(taken, rates[i]);
		assert_int_equal(bucket_take(&b, cost, S, now + wait - 1), 1);
		assert_int_equal(bucket_take(&b, cost, S, now + wait), 0);
	}
}

static void test_debt(void **state)
{
	struct bucket b = {0};

	(void)state;
	assert_true(bucket_is_full(&b, 0));
	bucket_spend(&b, bucket_cost(250, 1000), S);
	assert_false(bucket_is_full(&b, S));
	assert_int_equal(bucket_debt(&b, S / 4, S), 0);
	bucket_spend(&b, bucket_cost(1000, 1000), S);
	assert_int_equal(bucket_debt(&b, S / 4, S), S);
	assert_int_equal(bucket_debt(&b, S / 4, S + S / 2), S / 2);
	assert_int_equal(bucket_debt(&b, S / 4, 2 * S), 0);
	assert_false(bucket_is_full(&b, 2 * S));
	assert_true(bucket_is_full(&b, 2 * S + S / 4));
}

/* Bytes by the thousand million do not overflow. */
static void test_large_numbers(void **state)
{
	struct bucket b = {0};

	(void)state;
	assert_int_equal(bucket_cost(UINT64_C(1) << 33, 1), S << 33);
	bucket_spend(&b, bucket_cost(UINT64_C(1) << 30, 2000000000), S);
	assert_int_equal(bucket_debt(&b, 0, S), 536870912);
}

enum { THREADS = 4, TAKES = 20000 };

static void *take_many(void *arg)
{
	struct bucket *b = arg;
	uintptr_t taken = 0;

	for (int i = 0; i < TAKES; i++)
		taken += bucket_take(b, 1, THREADS * TAKES / 2, 0) == 0;
	return (void *)taken; // NOLINT(performance-no-int-to-ptr)
}

/* Nothing is taken twice, and nothing is lost. */
static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	struct bucket b = {0};
	uintptr_t sum = 0;

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_many, &b), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *taken;

		pthread_join(threads[i], &taken);
		sum += (uintptr_t)taken;
	}
	assert_int_equal(sum, THREADS * TAKES / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_take),
	    cmocka_unit_test(test_wait_is_exact),
	    cmocka_unit_test(test_debt),
	    cmocka_unit_test(test_large_numbers),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
