#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "net/name.h"

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
#define L61 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"

static const struct {
	const char *text, *name; /* NULL: none */
} cases[] = {
    {"example.org", "example.org"},
    {"EXAMPLE.Org.", "example.org"},
    {"localhost", "localhost"},
    {"x_y.a-b", "x_y.a-b"},
    {"-a-.-", "-a-.-"},
    {"xn--mnchen-3ya.de", "xn--mnchen-3ya.de"},
    {"1.example", "1.example"},
    {"1.2.3.4a", "1.2.3.4a"},
    {"1.0xg", "1.0xg"},
    {L63, L63},
    {L63 "." L63 "." L63 "." L61, L63 "." L63 "." L63 "." L61},
    {L63 "." L63 "." L63 "." L61 ".", L63 "." L63 "." L63 "." L61},
    {L63 "." L63 "." L63 "." L61 "x", NULL},
    {L63 "x", NULL},
    {"a." L63 "x", NULL},
    {"", NULL},
    {".", NULL},
    {"..", NULL},
    {".a", NULL},
    {"a..", NULL},
    {"a..b", NULL},
    {"a b", NULL},
    {"a\tb", NULL},
    {"a\r\n", NULL},
    {"a\x7f", NULL},
    {"a\\.b", NULL},
    {"a%2eb", NULL},
    {"a:b", NULL},
    {"[::1]", NULL},
    {"::1", NULL},
    {"a/b", NULL},
    {"a@b", NULL},
    {"*.a", NULL},
    {"m\xc3\xbcnchen.de", NULL},
    {"a\xe3\x80\x82"
     "b",
	NULL}, /* an ideographic full stop */
    /* What looks like an address is not a name, whether it is an address or not. */
    {"1", NULL},
    {"1.2.3.4", NULL},
    {"1.2.3.4.", NULL},
    {"1.2.3.4.5", NULL},
    {"256.256.256.256", NULL},
    {"a.1", NULL},
    {"a.09", NULL},
    {"a.0x", NULL},
    {"a.0xfF", NULL},
    {"a.0XFF", NULL},
    {"99999999999999999999", NULL},
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct name n;
		int result = name_parse(slice_of(cases[i].text), &n);

		if ((result == 0) != (cases[i].name != NULL))
			fail_msg("%s: %d", cases[i].text, result);
		if (result != 0)
			continue;
		assert_string_equal(n.text, cases[i].name);
		assert_int_equal(n.len, strlen(cases[i].name));
	}
}

static void test_nul_is_no_end(void **state)
{
	struct name n;

	(void)state;
	assert_int_equal(name_parse(SLICE("a.test\0.b"), &n), -1);
	assert_int_equal(name_parse((struct slice){NULL, 0}, &n), -1);
}

static void test_localhost(void **state)
{
	(void)state;
	assert_true(name_is_localhost("localhost"));
	assert_true(name_is_localhost("a.b.localhost"));
	assert_false(name_is_localhost("alocalhost"));
	assert_false(name_is_localhost("localhost.a"));
	assert_false(name_is_localhost("ocalhost"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_nul_is_no_end),
	    cmocka_unit_test(test_localhost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
