#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "policy/hours.h"

static bool holds(const char *text, unsigned minute)
{
	struct hours_span spans[HOURS_SPANS];
	struct hours hours;
	size_t count;

	if (hours_parse(slice_of(text), &hours) < 0)
		fail_msg("\"%s\" is refused", text);
	count = hours_spans(&hours, spans);
	for (size_t i = 0; i < count; i++) {
		if (minute >= spans[i].first && minute <= spans[i].last)
			return true;
	}
	return false;
}

/* day 0 is Monday */
#define AT(day, hour, minute) ((day)*1440 + (hour)*60 + (minute))

static void test_holds(void **state)
{
	static const struct {
		const char *text;
		unsigned minute;
		bool holds;
	} cases[] = {
	    {"mon-fri 08:00-17:00", AT(0, 7, 59), false},
	    {"mon-fri 08:00-17:00", AT(0, 8, 0), true},
	    {"mon-fri 08:00-17:00", AT(4, 16, 59), true},
	    {"mon-fri 08:00-17:00", AT(4, 17, 0), false},
	    {"mon-fri 08:00-17:00", AT(5, 12, 0), false},
	    {"sat,sun", AT(4, 23, 59), false},
	    {"sat,sun", AT(5, 0, 0), true},
	    {"sat,sun", AT(6, 23, 59), true},
	    {"sat,sun", AT(0, 0, 0), false},
	    {"22:00-06:00", AT(2, 21, 59), false},
	    {"22:00-06:00", AT(2, 22, 0), true},
	    {"22:00-06:00", AT(3, 5, 59), true},
	    {"22:00-06:00", AT(3, 6, 0), false},
	    {"22:00-06:00", AT(0, 3, 0), true}, /* it began on Sunday */
	    {"fri 22:00-06:00", AT(4, 3, 0), false},
	    {"fri 22:00-06:00", AT(5, 3, 0), true},
	    {"sun 22:00-06:00", AT(0, 3, 0), true},
	    {"sun 22:00-06:00", AT(6, 3, 0), false},
	    {"sat-mon", AT(5, 1, 0), true},
	    {"sat-mon", AT(0, 1, 0), true},
	    {"sat-mon", AT(1, 0, 0), false},
	    {"tue,Thu-FRI 00:00-24:00", AT(1, 23, 59), true},
	    {"tue,thu-fri 00:00-24:00", AT(2, 0, 0), false},
	    {"12:00-12:01", AT(3, 12, 0), true},
	    {"12:00-12:01", AT(3, 12, 1), false},
	    {"12:00-11:59", AT(3, 11, 59), false},
	    {"12:00-11:59", AT(3, 11, 58), true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (holds(cases[i].text, cases[i].minute) != cases[i].holds)
			fail_msg("\"%s\" at minute %u", cases[i].text, cases[i].minute);
	}
}

static void test_refused(void **state)
{
	static const char *const texts[] = {"", " ", "mon ", "mon-", "mon,", "monday", "mo",
	    "mon 08:00", "mon 08:00-", "mon 8:00-17:00", "mon 08:00-17:60", "mon 08:00-24:01",
	    "24:00-08:00", "08:00-08:00", "mon  08:00-17:00", "08:00-17:00 mon",
	    "08:00-17:00,18:00-19:00", "mon08:00-17:00", "-mon", "08:00-1", "0"};
	struct hours hours;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (hours_parse(slice_of(texts[i]), &hours) == 0)
			fail_msg("\"%s\" is taken", texts[i]);
	}
}

static void test_minute(void **state)
{
	(void)state;
	assert_int_equal(hours_minute(0), AT(3, 0, 0));
	assert_int_equal(hours_minute(59), AT(3, 0, 0));
	assert_int_equal(hours_minute(-1), AT(2, 23, 59));
	assert_int_equal(hours_minute(1704067200), AT(0, 0, 0)); /* 2024-01-01 */
	assert_int_equal(hours_minute(1704067199), AT(6, 23, 59));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_holds),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_minute),
	};

	return cmocka_run_group_tests_name("hours", tests, NULL, NULL);
}
