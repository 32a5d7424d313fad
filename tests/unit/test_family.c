#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "net/addr.h"
#include "net/family.h"

/* Digits are IPv4, letters IPv6. */
static void test_apply(void **state)
{
	static const struct {
		enum family family;
		const char *before, *after;
	} cases[] = {
	    {FAMILY_ANY, "a1b2", "a1b2"},
	    {FAMILY_ANY, "", ""},
	    {FAMILY_IPV4, "a1b2", "12"},
	    {FAMILY_IPV4, "12", "12"},
	    {FAMILY_IPV4, "ab", ""},
	    {FAMILY_IPV6, "1a2b", "ab"},
	    {FAMILY_IPV6, "1", ""},
	    {FAMILY_PREFER_IPV4, "ab12c3", "123abc"},
	    {FAMILY_PREFER_IPV4, "ab", "ab"},
	    {FAMILY_PREFER_IPV6, "1a2b3", "ab123"},
	    {FAMILY_PREFER_IPV6, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr addrs[8];
		size_t count = strlen(cases[i].before);

		for (size_t n = 0; n < count; n++)
			addrs[n] =
			    (struct addr){.family = cases[i].before[n] < 'a' ? AF_INET : AF_INET6,
				.port = (uint16_t)cases[i].before[n]};
		count = family_apply(cases[i].family, addrs, count);
		assert_int_equal(count, strlen(cases[i].after));
		for (size_t n = 0; n < count; n++)
			assert_int_equal(addrs[n].port, cases[i].after[n]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_apply),
	};

	return cmocka_run_group_tests_name("family", tests, NULL, NULL);
}
