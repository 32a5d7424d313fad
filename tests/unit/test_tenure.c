#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/config.h"
#include "proxy/tenure.h"

static struct config *defaults(void)
{
	struct config_error error;
	struct config *config = config_load(NULL, &error);

	assert_non_null(config);
	return config;
}

static void leave(struct tenure *t)
{
	tenure_settle(t);
	tenure_leave(t);
}

static void test_judged_by_until_all_have_settled(void **state)
{
	struct tenure *t = tenure_new(defaults());
	const struct config *config = t->config;

	(void)state;
	for (int i = 0; i < 3; i++)
		tenure_join(t);
	tenure_settle(t); /* a tunnel, say */
	leave(t);         /* a request */
	leave(t);         /* the worker: there is a new configuration */
	assert_non_null(config->acl);
	tenure_settle(t); /* a request that has waited long for a name */
	assert_null(config->acl);
	tenure_leave(t);
	assert_string_equal(config->name, "penstock");
	tenure_leave(t);
}

/* Each worker has a tenure of its own; what they share is the configuration. */
static void test_two_workers(void **state)
{
	struct config *config = defaults();
	struct tenure *one = tenure_new(config_ref(config)), *two = tenure_new(config);

	(void)state;
	tenure_join(one);
	tenure_settle(one);
	leave(one);
	assert_non_null(config->acl);
	leave(two);
	assert_null(config->acl);
	assert_string_equal(config->name, "penstock");
	tenure_leave(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_judged_by_until_all_have_settled),
	    cmocka_unit_test(test_two_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
