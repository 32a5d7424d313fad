#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <string.h>

#include "base/text.h"

static void test_pieces(void **state)
{
	struct text t = {0};

	(void)state;
	text_add(&t, NULL, 0);
	text_add_format(&t, "%s", "");
	assert_null(t.ptr);
	text_add(&t, "ab\0c", 4);
	text_add_slice(&t, SLICE("-slice"));
	text_add_string(&t, "-string-");
	text_add_number(&t, 42);
	text_add_format(&t, "-%s-%d", "format", -7);
	assert_false(t.failed);
	assert_int_equal(t.len, sizeof("ab\0c-slice-string-42-format--7") - 1);
	/* with the NUL at the end */
	assert_memory_equal(t.ptr, "ab\0c-slice-string-42-format--7", t.len + 1);
	text_done(&t);
	assert_null(t.ptr);
	assert_int_equal(t.len, 0);
}

static void test_numbers(void **state)
{
	static const struct {
		unsigned long long number;
		const char *text;
	} cases[] = {
	    {0, "0"},
	    {9, "9"},
	    {10, "10"},
	    {1234567890, "1234567890"},
	    {ULLONG_MAX, "18446744073709551615"},
	};
	struct text t = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		text_clear(&t);
		text_add_number(&t, cases[i].number);
		assert_string_equal(t.ptr, cases[i].text);
		assert_int_equal(t.len, strlen(cases[i].text));
	}
	text_done(&t);
}

/* Every length around the places where the memory is full. */
static void test_growth(void **state)
{
	struct text bytes = {0}, formats = {0};

	(void)state;
	for (size_t i = 0; i < 5000; i++) {
		char c = (char)('a' + i % 26);

		text_add(&bytes, &c, 1);
		text_add_format(&formats, "%c", c);
		assert_int_equal(bytes.len, i + 1);
		assert_true(bytes.size > bytes.len);
		assert_int_equal(bytes.ptr[bytes.len], '\0');
	}
	assert_false(bytes.failed || formats.failed);
	assert_int_equal(formats.len, bytes.len);
	assert_string_equal(formats.ptr, bytes.ptr);
	text_clear(&formats);
	text_add_format(&formats, "%s%s", bytes.ptr, bytes.ptr);
	assert_int_equal(formats.len, 2 * bytes.len);
	text_done(&bytes);
	text_done(&formats);
}

static void test_failed_is_for_good(void **state)
{
	/* volatile: the compiler would see that the size is absurd */
	static const volatile size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2};
	struct text t = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		text_add_string(&t, "kept");
		text_add(&t, "", sizes[i]);
		assert_true(t.failed);
		text_add_string(&t, "x");
		text_add_number(&t, 1);
		text_add_format(&t, "%d", 1);
		assert_string_equal(t.ptr, "kept");
		text_clear(&t);
		assert_false(t.failed);
		assert_string_equal(t.ptr, "");
	}
	text_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_growth),
	    cmocka_unit_test(test_failed_is_for_good),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
