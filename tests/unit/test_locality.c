#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "net/addr.h"
#include "net/locality.h"

static bool is_local(struct locality *l, const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(slice_of(text), &addr), 0);
	return locality_has(l, &addr);
}

static void test_loopback_is_local_and_documentation_is_not(void **state)
{
	static const struct {
		const char *ip;
		bool local;
	} cases[] = {
	    {"127.0.0.1", true},
	    {"127.200.3.4", true},
	    {"192.0.2.1", false},
	    {"203.0.113.255", false},
	    {"2001:db8::1", false},
	    {"100::1", false},
	    {"fe80::1", false},
	    {"255.255.255.255", false},
	};
	struct locality *l = locality_new();

	(void)state;
	assert_non_null(l);
	for (int round = 0; round < 100; round++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++)
			assert_int_equal(is_local(l, cases[i].ip), cases[i].local);
	locality_free(l);
	locality_free(NULL);
}

static void test_what_cannot_be_known_is_local(void **state)
{
	(void)state;
	assert_true(is_local(NULL, "192.0.2.1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_loopback_is_local_and_documentation_is_not),
	    cmocka_unit_test(test_what_cannot_be_known_is_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
