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

static struct addr parsed(const char *ip, uint16_t port)
{
	struct addr addr;

	assert_int_equal(addr_parse(slice_of(ip), &addr), 0);
	addr.port = port;
	return addr;
}

/* With nobody to ask every address is of this machine. */
static void test_where_it_is(void **state)
{
	static const struct {
		const char *at;
		bool both;
		const char *here[4], *elsewhere[6];
	} cases[] = {
	    {"127.0.0.1", false, {"127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::ffff:0.0.0.0"},
		{"127.0.0.2", "::1", "::", "::127.0.0.1", "192.0.2.1"}},
	    {"192.0.2.1", false, {"192.0.2.1", "::ffff:192.0.2.1"},
		{"127.0.0.1", "0.0.0.0", "::", "64:ff9b::192.0.2.1"}},
	    {"::ffff:192.0.2.1", true, {"192.0.2.1", "::ffff:192.0.2.1"},
		{"127.0.0.1", "::1", "0.0.0.0", "::"}},
	    {"::1", false, {"::1", "::"}, {"127.0.0.1", "0.0.0.0", "2001:db8::1"}},
	    {"2001:db8::1", false, {"2001:db8::1"}, {"::1", "::", "2001:db8::2"}},
	    {"0.0.0.0", false, {"127.0.0.1", "192.0.2.1", "0.0.0.0", "::ffff:192.0.2.1"},
		{"::1", "::", "2001:db8::1"}},
	    {"::", false, {"::1", "::", "2001:db8::1"},
		{"127.0.0.1", "0.0.0.0", "::ffff:192.0.2.1"}},
	    {"::", true, {"::1", "2001:db8::1", "127.0.0.1", "::ffff:192.0.2.1"}, {NULL}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct entrance e = {.at = parsed(cases[i].at, 3128), .both = cases[i].both};

		for (size_t j = 0; j < 4 && cases[i].here[j]; j++) {
			struct addr to = parsed(cases[i].here[j], 3128);

			if (!entrance_is_at(&e, &to, NULL))
				fail_msg("%s is not at %s", cases[i].at, cases[i].here[j]);
			to.port = 3129;
			assert_false(entrance_is_at(&e, &to, NULL));
		}
		for (size_t j = 0; j < 6 && cases[i].elsewhere[j]; j++) {
			struct addr to = parsed(cases[i].elsewhere[j], 3128);

			if (entrance_is_at(&e, &to, NULL))
				fail_msg("%s is at %s", cases[i].at, cases[i].elsewhere[j]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_successors),
	    cmocka_unit_test(test_a_long_line_of_successors),
	    cmocka_unit_test(test_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
