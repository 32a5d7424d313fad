#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "net/addr.h"
#include "net/preference.h"
#include "net/source.h"

#define TEN_MINUTES_MS 600000

static const struct source none;

static struct addr address(uint16_t name)
{
	return (struct addr){.family = AF_INET6, .port = name};
}

static struct preference_origin origin(const char *host, uint16_t port, const struct source *source)
{
	return (struct preference_origin){{host, strlen(host)}, port, source};
}

/* Which of three addresses is tried first, and whether the others keep their order. */
static int first(struct preference *p, struct preference_origin o, uint64_t now_ms)
{
	struct addr addrs[] = {address(1), address(2), address(3)};
	static const uint16_t rest[4][2] = {{0, 0}, {2, 3}, {1, 3}, {1, 2}};

	preference_apply(p, &o, addrs, 3, now_ms);
	assert_int_equal(addrs[1].port, rest[addrs[0].port][0]);
	assert_int_equal(addrs[2].port, rest[addrs[0].port][1]);
	return addrs[0].port;
}

static void note(struct preference *p, struct preference_origin o, uint16_t name, uint64_t now_ms)
{
	struct addr a = address(name);

	preference_note(p, &o, name ? &a : NULL, now_ms);
}

static void test_origins(void **state)
{
	struct preference *p = preference_new(8);
	struct source source = {.v6 = {.base = {.family = AF_INET6}, .bits = 64}};
	struct preference_origin one = origin("one.test", 80, &none);

	(void)state;
	assert_int_equal(first(p, one, 0), 1);
	note(p, one, 3, 0);
	assert_int_equal(first(p, one, 1), 3);
	assert_int_equal(first(p, origin("one.test", 81, &none), 1), 1);
	assert_int_equal(first(p, origin("one.tes", 80, &none), 1), 1);
	assert_int_equal(first(p, origin("one.test", 80, &source), 1), 1);
	note(p, origin("one.test", 80, &source), 2, 1);
	assert_int_equal(first(p, origin("one.test", 80, &source), 2), 2);
	assert_int_equal(first(p, one, 2), 3);
	/* another wins; none does */
	note(p, one, 2, 3);
	assert_int_equal(first(p, one, 3), 2);
	note(p, one, 0, 4);
	assert_int_equal(first(p, one, 4), 1);
	/* one that is not among the addresses of this time */
	note(p, one, 9, 5);
	assert_int_equal(first(p, one, 5), 1);
	preference_clear(p);
	assert_int_equal(first(p, origin("one.test", 80, &source), 6), 1);
	preference_free(p);
}

/* From when it first won: a way that is mended is found again, however busy the origin is. */
static void test_time(void **state)
{
	struct preference *p = preference_new(8);
	struct preference_origin one = origin("one.test", 80, &none);

	(void)state;
	note(p, one, 2, 1000);
	note(p, one, 2, TEN_MINUTES_MS);
	assert_int_equal(first(p, one, TEN_MINUTES_MS + 999), 2);
	assert_int_equal(first(p, one, TEN_MINUTES_MS + 1000), 1);
	note(p, one, 2, TEN_MINUTES_MS + 1000);
	assert_int_equal(first(p, one, TEN_MINUTES_MS + 1001), 2);
	preference_free(p);
}

static void test_bounds(void **state)
{
	struct preference *p = preference_new(2);
	char long_host[600];

	(void)state;
	note(p, origin("a", 1, &none), 2, 0);
	note(p, origin("b", 1, &none), 2, 0);
	assert_int_equal(first(p, origin("a", 1, &none), 0), 2);
	note(p, origin("c", 1, &none), 2, 0);
	assert_int_equal(first(p, origin("a", 1, &none), 0), 2);
	assert_int_equal(first(p, origin("b", 1, &none), 0), 1);
	memset(long_host, 'x', sizeof(long_host) - 1);
	long_host[sizeof(long_host) - 1] = '\0';
	note(p, origin(long_host, 1, &none), 3, 0);
	assert_int_equal(first(p, origin(long_host, 1, &none), 0), 3);
	preference_free(p);
	preference_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_origins),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("preference", tests, NULL, NULL);
}
