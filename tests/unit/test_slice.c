#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/slice.h"

static const struct slice none = {NULL, 0};

static void test_is(void **state)
{
	static const struct {
		const char *slice, *text;
		bool is, is_nocase;
	} cases[] = {
	    {"", "", true, true},
	    {"GET", "GET", true, true},
	    {"get", "GET", false, true},
	    {"GE", "GET", false, false},
	    {"GETS", "GET", false, false},
	    {"Transfer-Encoding", "transfer-encoding", false, true},
	    /* '@' and '`' differ from each other as letters differ in case, and are none */
	    {"@[", "`{", false, false},
	    /* no case outside of ASCII */
	    {"\xc4", "\xe4", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice s = {cases[i].slice, strlen(cases[i].slice)};
		struct slice t = {cases[i].text, strlen(cases[i].text)};

		assert_int_equal(slice_is(s, cases[i].text), cases[i].is);
		assert_int_equal(slice_is_nocase(s, cases[i].text), cases[i].is_nocase);
		assert_int_equal(slice_equal_nocase(s, t), cases[i].is_nocase);
	}
}

static void test_nothing_and_nul(void **state)
{
	(void)state;
	assert_true(slice_is(none, ""));
	assert_true(slice_is_nocase(none, ""));
	assert_false(slice_is(none, "x"));
	assert_true(slice_equal_nocase(none, SLICE("")));
	assert_int_equal(slice_trim(none).len, 0);
	/* a NUL is a byte like any other */
	assert_false(slice_is(SLICE("ab\0c"), "ab"));
	assert_true(slice_equal_nocase(SLICE("ab\0c"), SLICE("AB\0C")));
	assert_false(slice_equal_nocase(SLICE("ab\0c"), SLICE("ab\0d")));
}

static void test_trim(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"", ""},
	    {"x", "x"},
	    {" \t x y\t ", "x y"},
	    {"\t \t", ""},
	    {"\rx\n", "\rx\n"},
	    {"\vx\f", "\vx\f"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice s = slice_trim(slice_of(cases[i].in));

		assert_true(slice_is(s, cases[i].out));
	}
}

static void test_next_item(void **state)
{
	static const struct {
		const char *list;
		const char *items[4];
	} cases[] = {
	    {"", {NULL}},
	    {" , ,\t,", {NULL}},
	    {"a", {"a"}},
	    {"a,b, c ,\td", {"a", "b", "c", "d"}},
	    {",a,, ,b,", {"a", "b"}},
	    {"x y, z", {"x y", "z"}},
	    {"a;q=\"1,2\", b", {"a;q=\"1,2\"", "b"}},
	    {"\"a\\\",b\",c", {"\"a\\\",b\"", "c"}},
	    {"\"a\\\\\",c", {"\"a\\\\\"", "c"}},
	    /* a backslash outside of quotes quotes nothing */
	    {"a\\,b", {"a\\", "b"}},
	    /* never closed: the rest is one item */
	    {"a,\"b,c", {"a", "\"b,c"}},
	    {"\"a,\\", {"\"a,\\"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice rest = {cases[i].list, strlen(cases[i].list)}, item;

		for (size_t n = 0; n < 4 && cases[i].items[n]; n++) {
			assert_true(slice_next_item(&rest, &item));
			assert_true(slice_is(item, cases[i].items[n]));
		}
		assert_false(slice_next_item(&rest, &item));
		assert_int_equal(rest.len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_is),
	    cmocka_unit_test(test_nothing_and_nul),
	    cmocka_unit_test(test_trim),
	    cmocka_unit_test(test_next_item),
	};

	return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
