#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

/* Values are pointers into here; drops are counted by place. */
static char values[8];

static void count_drop(void *value, void *arg)
{
	int *dropped = arg;

	dropped[(char *)value - values]++;
}

/*
 * One letter each step: p put, g get, t take, on the key and value named by the
 * digit behind it.  `left` are the values from oldest to newest after that,
 * `dropped` those that were dropped until then.
 */
static void test_order(void **state)
{
	static const struct {
		size_t limit;
		const char *steps, *left, *dropped;
	} cases[] = {
	    {2, "", "", ""}, {2, "p0p1", "01", ""}, {2, "p0p1p2", "12", "0"},
	    {2, "p0p1g0p2", "02", "1"}, {2, "p0p1g1p2", "12", "0"},
	    {2, "p0p1p0p2", "02", "1"}, /* the same value again: a use, no drop */
	    {3, "p0p1p2g1g0", "210", ""}, {3, "p0p1p2t1p3", "023", ""},
	    {3, "p0p1p2t0p3", "123", ""}, {3, "p0p1p2t2p3", "013", ""}, {3, "p0t0p1t1", "", ""},
	    {1, "p0p1p2", "2", "01"}, {0, "p0p1", "1", "0"}, /* at least 1 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int dropped[8] = {0}, expected[8] = {0};
		struct map *map = map_new(cases[i].limit, count_drop, dropped);

		for (const char *s = cases[i].steps; *s; s += 2) {
			char *value = &values[s[1] - '0'];

			if (s[0] == 'p')
				assert_int_equal(map_put(map, s + 1, 1, value), 0);
			else if (s[0] == 'g')
				assert_ptr_equal(map_get(map, s + 1, 1), value);
			else
				assert_ptr_equal(map_take(map, s + 1, 1), value);
		}
		for (const char *d = cases[i].dropped; *d; d++)
			expected[*d - '0']++;
		assert_memory_equal(dropped, expected, sizeof(dropped));
		assert_int_equal(map_count(map), strlen(cases[i].left));
		for (const char *l = cases[i].left; *l; l++) {
			assert_ptr_equal(map_oldest(map), &values[*l - '0']);
			assert_ptr_equal(map_take(map, l, 1), &values[*l - '0']);
			assert_null(map_get(map, l, 1));
			assert_null(map_take(map, l, 1));
		}
		assert_null(map_oldest(map));
		map_free(map);
		assert_memory_equal(dropped, expected, sizeof(dropped));
	}
}

static void test_replace_and_free_drop(void **state)
{
	int dropped[8] = {0};
	struct map *map = map_new(4, count_drop, dropped);

	(void)state;
	assert_int_equal(map_put(map, "k", 1, &values[0]), 0);
	assert_int_equal(map_put(map, "k", 1, &values[1]), 0);
	assert_int_equal(dropped[0], 1);
	assert_int_equal(map_count(map), 1);
	assert_ptr_equal(map_get(map, "k", 1), &values[1]);
	assert_int_equal(map_put(map, "l", 1, &values[2]), 0);
	map_free(map);
	assert_int_equal(dropped[1], 1);
	assert_int_equal(dropped[2], 1);
	map_free(NULL);
}

/* Any bytes are a key, and keys that are each other's beginning differ. */
static void test_keys(void **state)
{
	static const struct {
		const char *key;
		size_t len;
	} keys[] = {{NULL, 0}, {"\0", 1}, {"\0\0", 2}, {"abcdefg", 7}, {"abcdefgh", 8},
	    {"abcdefgh\0", 9}, {"abcdefghabcdefgh", 16}};
	struct map *map = map_new(16, NULL, NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_null(map_get(map, keys[i].key, keys[i].len));
		assert_int_equal(map_put(map, keys[i].key, keys[i].len, &values[i]), 0);
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_ptr_equal(map_get(map, keys[i].key, keys[i].len), &values[i]);
	map_free(map);
}

static void free_value(void *value, void *arg)
{
	(void)arg;
	free(value);
}

/* Through several growths of the table: the last `limit` keys are there, no others. */
static void test_many(void **state)
{
	enum { LIMIT = 3000, COUNT = 10000 };
	struct map *map = map_new(LIMIT, free_value, NULL);
	char key[16];

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		int *value = malloc(sizeof(*value));
		int len = snprintf(key, sizeof(key), "host%d", i);

		*value = i;
		assert_int_equal(map_put(map, key, (size_t)len, value), 0);
		assert_int_equal(map_count(map), i < LIMIT ? i + 1 : LIMIT);
	}
	for (int i = 0; i < COUNT; i++) {
		int len = snprintf(key, sizeof(key), "host%d", i);
		const int *value = map_get(map, key, (size_t)len);

		assert_int_equal(value != NULL, i >= COUNT - LIMIT);
		assert_true(!value || *value == i);
	}
	map_free(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_replace_and_free_drop),
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
