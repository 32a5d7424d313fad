#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/slice.h"
#include "net/addr.h"
#include "net/source.h"
#include "proxy/pool.h"

#define ITEMS 8

static const struct source anywhere;

static struct pool_item items[ITEMS];
static int dropped[ITEMS];

static void on_dropped(struct pool_item *item, void *arg)
{
	(void)arg;
	dropped[item - items]++;
}

static struct addr address(uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse(SLICE("192.0.2.1"), &a), 0);
	a.port = port;
	return a;
}

static struct pool *fresh_pool(int places)
{
	for (int i = 0; i < ITEMS; i++) {
		items[i] = (struct pool_item){.place = NULL};
		dropped[i] = 0;
	}
	return pool_new(places, on_dropped, NULL);
}

static void hands_out_the_one_used_last(void **state)
{
	struct pool_limits limits = {8, 8};
	struct pool *pool = fresh_pool(8);
	struct addr one = address(1), two = address(2);

	(void)state;
	assert_true(pool_put(pool, &(struct pool_way){&one, &anywhere}, &items[0], &limits));
	assert_true(pool_put(pool, &(struct pool_way){&two, &anywhere}, &items[1], &limits));
	assert_true(pool_put(pool, &(struct pool_way){&one, &anywhere}, &items[2], &limits));
	assert_int_equal(pool_count(pool), 3);
	assert_ptr_equal(pool_take(pool, &(struct pool_way){&one, &anywhere}), &items[2]);
	assert_ptr_equal(pool_take(pool, &(struct pool_way){&one, &anywhere}), &items[0]);
	assert_null(pool_take(pool, &(struct pool_way){&one, &anywhere}));
	assert_ptr_equal(pool_take(pool, &(struct pool_way){&two, &anywhere}), &items[1]);
	assert_int_equal(pool_count(pool), 0);
	pool_free(pool);
}

static void an_address_pushes_out_its_own_oldest(void **state)
{
	struct pool_limits limits = {8, 2};
	struct pool *pool = fresh_pool(8);
	struct addr one = address(1), two = address(2);

	(void)state;
	assert_true(pool_put(pool, &(struct pool_way){&two, &anywhere}, &items[3], &limits));
	for (int i = 0; i < 3; i++)
		assert_true(
		    pool_put(pool, &(struct pool_way){&one, &anywhere}, &items[i], &limits));
	assert_int_equal(dropped[0], 1);
	assert_int_equal(dropped[1] + dropped[2] + dropped[3], 0);
	pool_clear(pool);
	assert_int_equal(dropped[1] + dropped[2] + dropped[3], 3);
	assert_int_equal(pool_count(pool), 0);
	pool_free(pool);
}

static void a_full_pool_pushes_out_the_oldest_of_all(void **state)
{
	struct pool_limits limits = {2, 8};
	struct pool *pool = fresh_pool(8);

	(void)state;
	for (uint16_t i = 0; i < 4; i++) {
		struct addr a = address((uint16_t)(i + 1));

		assert_true(pool_put(pool, &(struct pool_way){&a, &anywhere}, &items[i], &limits));
	}
	assert_int_equal(dropped[0] + dropped[1], 2);
	assert_int_equal(pool_count(pool), 2);
	pool_remove(pool, &items[2]);
	pool_remove(pool, &items[2]);
	assert_int_equal(dropped[2], 0);
	assert_int_equal(pool_count(pool), 1);
	pool_clear(pool);
	pool_free(pool);
}

static void a_forgotten_address_drops_its_connections(void **state)
{
	struct pool_limits limits = {8, 8};
	struct pool *pool = fresh_pool(1);
	struct addr one = address(1), two = address(2);

	(void)state;
	assert_true(pool_put(pool, &(struct pool_way){&one, &anywhere}, &items[0], &limits));
	assert_true(pool_put(pool, &(struct pool_way){&two, &anywhere}, &items[1], &limits));
	assert_int_equal(dropped[0], 1);
	assert_int_equal(pool_count(pool), 1);
	pool_clear(pool);
	pool_free(pool);
}

static void keeps_nothing_when_nothing_is_allowed(void **state)
{
	struct pool_limits none = {0, 8}, none_each = {8, 0};
	struct pool *pool = fresh_pool(0);
	struct addr one = address(1);

	(void)state;
	assert_false(pool_put(pool, &(struct pool_way){&one, &anywhere}, &items[0], &none));
	assert_false(pool_put(pool, &(struct pool_way){&one, &anywhere}, &items[0], &none_each));
	assert_int_equal(pool_count(pool), 0);
	pool_free(pool);
}

static void a_connection_from_another_source_is_not_handed_out(void **state)
{
	static const char *const texts[] = {"192.0.2.7", "192.0.2.8", "192.0.2.0/24",
	    "192.0.2.0/25", "192.0.2.9, ::1", "192.0.2.9"};
	struct pool_limits limits = {8, 8};
	struct pool *pool = fresh_pool(8);
	struct addr one = address(1);
	struct source sources[6];

	(void)state;
	/* The last two are the same for this address. */
	for (size_t i = 0; i < 5; i++) {
		struct slice text = {texts[i], strlen(texts[i])};

		assert_int_equal(source_parse(text, &sources[i]), 0);
		assert_null(pool_take(pool, &(struct pool_way){&one, &sources[i]}));
		assert_true(
		    pool_put(pool, &(struct pool_way){&one, &sources[i]}, &items[i], &limits));
		assert_null(pool_take(pool, &(struct pool_way){&one, &anywhere}));
	}
	assert_true(pool_put(pool, &(struct pool_way){&one, &anywhere}, &items[6], &limits));
	assert_int_equal(source_parse(slice_of(texts[5]), &sources[5]), 0);
	assert_ptr_equal(pool_take(pool, &(struct pool_way){&one, &sources[5]}), &items[4]);
	for (size_t i = 0; i < 4; i++)
		assert_ptr_equal(pool_take(pool, &(struct pool_way){&one, &sources[i]}), &items[i]);
	assert_ptr_equal(pool_take(pool, &(struct pool_way){&one, &anywhere}), &items[6]);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_connection_from_another_source_is_not_handed_out),
	    cmocka_unit_test(hands_out_the_one_used_last),
	    cmocka_unit_test(an_address_pushes_out_its_own_oldest),
	    cmocka_unit_test(a_full_pool_pushes_out_the_oldest_of_all),
	    cmocka_unit_test(a_forgotten_address_drops_its_connections),
	    cmocka_unit_test(keeps_nothing_when_nothing_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
