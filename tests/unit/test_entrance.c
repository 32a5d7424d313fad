#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "proxy/entrance.h"

static struct entrance *made(const char *name)
{
	struct listen listen = {.addr = {.family = AF_INET, .port = 3128}};
	struct entrance *e;

	memcpy(listen.name, name, strlen(name) + 1);
	e = entrance_new(&listen, &listen.addr, false);
	assert_non_null(e);
	return e;
}

static void test_successors(void **state)
{
	struct entrance *first = made("first"), *second = made("second"), *third = made("third");
	struct entrance *early = entrance_ref(first), *late;

	(void)state;
	assert_ptr_equal(entrance_latest(first), first);
	entrance_succeed(first, second);
	entrance_unref(first); /* as who listens does; early still has it */
	late = entrance_ref(second);
	entrance_succeed(second, third);
	entrance_unref(second);
	assert_string_equal(early->name, "first");
	early = entrance_latest(early); /* first goes, and second is still late's */
	assert_ptr_equal(early, third);
	assert_string_equal(late->name, "second");
	late = entrance_latest(late);
	assert_ptr_equal(late, third);
	assert_int_equal(third->refs, 3);
	entrance_unref(late);
	entrance_unref(early);
	entrance_unref(third);
	entrance_unref(NULL);
}

/* Whoever has the oldest has them all, and they go together. */
static void test_a_long_line_of_successors(void **state)
{
	struct entrance *oldest = made("0"), *last = entrance_ref(oldest);

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct entrance *next = made("next");

		entrance_succeed(last, next);
		entrance_unref(last);
		last = next;
	}
	assert_string_equal(oldest->name, "0");
	entrance_unref(last);
	entrance_unref(oldest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_successors),
	    cmocka_unit_test(test_a_long_line_of_successors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
