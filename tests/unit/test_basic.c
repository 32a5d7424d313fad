#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "http/basic.h"

static void test_scheme(void **state)
{
	static const struct {
		const char *value;
		bool is;
	} cases[] = {
	    {"Basic YTpi", true},
	    {"basic YTpi", true},
	    {"BASIC  YTpi", true},
	    {"Basic", true},
	    {"Basic ", true},
	    {"Basica YTpi", false},
	    {"Basic\tYTpi", false},
	    {"Basi YTpi", false},
	    {"", false},
	    {"Bearer abc", false},
	    {"Digest username=\"a\"", false},
	    {"Negotiate YTpi", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (basic_is_scheme(slice_of(cases[i].value)) != cases[i].is)
			fail_msg("'%s'", cases[i].value);
}

static void test_decode(void **state)
{
	static const struct {
		const char *value, *name, *password; /* name NULL: refused */
	} cases[] = {
	    {"Basic YTpi", "a", "b"}, {"Basic   YTpi", "a", "b"}, {"bAsIc YTpi", "a", "b"},
	    /* RFC 7617 2 and 2.1 */
	    {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
	    {"Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3"},
	    /* p@ss:w/rd: the first colon is the one */
	    {"Basic YW5uYTpwQHNzOncvcmQ=", "anna", "p@ss:w/rd"}, {"Basic YSBiOiAg", "a b", "  "},
	    {"Basic w7w6w7w=", "\xc3\xbc", "\xc3\xbc"}, {"Basic /zr/", "\xff", "\xff"},
	    /* no base64 as it has to be */
	    {"Basic", NULL, NULL}, {"Basic ", NULL, NULL},
	    {"Basic YTpi ", "a", "b"}, /* white space around a value is none of it */
	    {"Basic YTpi YTpi", NULL, NULL}, {"Basic YTpi,", NULL, NULL},
	    {"Basic YTpiYw", NULL, NULL}, {"Basic YTpiYw=", NULL, NULL},
	    {"Basic YTpiYw==", "a", "bc"}, {"Basic YTpiYx==", NULL, NULL}, /* bits behind the end */
	    {"Basic YTpiYw===", NULL, NULL}, {"Basic YTpi====", NULL, NULL},
	    {"Basic YT=i", NULL, NULL}, {"Basic YTpiYw==YTpi", NULL, NULL}, {"Basic =", NULL, NULL},
	    {"Basic ====", NULL, NULL}, {"Basic YT-_", NULL, NULL},
	    {"Basic realm=\"x\"", NULL, NULL}, {"Basic YTpi\x01", NULL, NULL},
	    /* not name and password */
	    {"Basic YWI=", NULL, NULL},         /* ab */
	    {"Basic Og==", NULL, NULL},         /* : */
	    {"Basic YTo=", NULL, NULL},         /* a: */
	    {"Basic OmI=", NULL, NULL},         /* :b */
	    {"Basic YToA", NULL, NULL},         /* a:NUL */
	    {"Basic AGE6Yg==", NULL, NULL},     /* NUL a:b */
	    {"Basic YTpiCg==", NULL, NULL},     /* a:b LF */
	    {"Basic YQphOmI=", NULL, NULL},     /* a LF a:b */
	    {"Basic YQ06Yg==", NULL, NULL},     /* a CR:b */
	    {"Basic YX86Yg==", NULL, NULL},     /* a DEL:b */
	    {"Basic YRtbMW06Yg==", NULL, NULL}, /* a ESC [1m:b */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct basic basic;
		const char *why = NULL;
		int result = basic_decode(slice_of(cases[i].value), &basic, &why);

		if (result != (cases[i].name ? 0 : -1) || (result < 0) != (why != NULL))
			fail_msg("'%s': %d, %s", cases[i].value, result, why ? why : "-");
		if (result < 0)
			continue;
		assert_string_equal(basic.name, cases[i].name);
		assert_string_equal(basic.password, cases[i].password);
		assert_int_equal(basic.name_len, strlen(cases[i].name));
		assert_int_equal(basic.password_len, strlen(cases[i].password));
	}
}

/* "Basic " and base64 of so many n, a colon and so many p. */
static void compose(char *out, size_t names, size_t passwords)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[4096] = "";
	size_t len = names + 1 + passwords, at;

	memset(text, 'n', names);
	text[names] = ':';
	memset(text + names + 1, 'p', passwords);
	at = (size_t)sprintf(out, "Basic ");
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits =
		    (uint32_t)text[i] << 16 | (uint32_t)text[i + 1] << 8 | (uint32_t)text[i + 2];

		for (int k = 0; k < 4; k++)
			out[at++] = (size_t)k > len - i ? '=' : digits[bits >> (18 - 6 * k) & 63];
	}
	out[at] = '\0';
}

static void test_lengths(void **state)
{
	static const struct {
		size_t name, password;
		int result;
	} cases[] = {
	    {1, 1, 0},
	    {BASIC_NAME_MAX, 1, 0},
	    {1, BASIC_PASSWORD_MAX, 0},
	    {BASIC_NAME_MAX, BASIC_PASSWORD_MAX, 0},
	    {BASIC_NAME_MAX + 1, 1, -1},
	    {1, BASIC_PASSWORD_MAX + 1, -1},
	    {BASIC_NAME_MAX + 1, BASIC_PASSWORD_MAX, -1},
	    {BASIC_NAME_MAX, BASIC_PASSWORD_MAX + 1, -1},
	    {BASIC_NAME_MAX, BASIC_PASSWORD_MAX + 4, -1},
	    {1000, 2000, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char value[8192];
		struct basic basic;
		const char *why = NULL;

		compose(value, cases[i].name, cases[i].password);
		if (basic_decode(slice_of(value), &basic, &why) != cases[i].result)
			fail_msg("%zu and %zu", cases[i].name, cases[i].password);
		if (cases[i].result == 0) {
			assert_int_equal(basic.name_len, cases[i].name);
			assert_int_equal(basic.password_len, cases[i].password);
		}
	}
}

static void test_names_and_passwords(void **state)
{
	(void)state;
	assert_true(basic_is_name(SLICE("anna")));
	assert_true(basic_is_name(SLICE("a b\xc3\xbc\\\"")));
	assert_false(basic_is_name(SLICE("")));
	assert_false(basic_is_name(SLICE("a:b")));
	assert_false(basic_is_name(SLICE("a\tb")));
	assert_true(basic_is_password(SLICE("a:b")));
	assert_false(basic_is_password(SLICE("")));
	assert_false(basic_is_password(SLICE("a\nb")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_scheme),
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_names_and_passwords),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
