#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void one_character(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
	    {"", 0},
	    {"a", 0},
	    {"\x7f", 0},
	    {"\x80", 0},
	    {"\xbf", 0},
	    {"\xc2", 0},
	    {"\xc2\x80", 0}, /* C1 */
	    {"\xc2\x9f", 0},
	    {"\xc2\xa0", 2},
	    {"\xc3\xbc.", 2},
	    {"\xc3.", 0},
	    {"\xc0\xaf", 0}, /* too long for what it is */
	    {"\xc1\xbf", 0},
	    {"\xdf\xbf", 2},
	    {"\xe0\x9f\xbf", 0},
	    {"\xe0\xa0\x80", 3},
	    {"\xe4\xbb\x8a", 3},
	    {"\xe4\xbb", 0},
	    {"\xed\x9f\xbf", 3},
	    {"\xed\xa0\x80", 0}, /* surrogates */
	    {"\xed\xbf\xbf", 0},
	    {"\xee\x80\x80", 3},
	    {"\xf0\x8f\xbf\xbf", 0},
	    {"\xf0\x9f\x99\x82", 4},
	    {"\xf4\x8f\xbf\xbf", 4},
	    {"\xf4\x90\x80\x80", 0}, /* beyond Unicode */
	    {"\xf5\x80\x80\x80", 0},
	    {"\xff", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(utf8_len(slice_of(cases[i].text)), cases[i].len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_character)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
