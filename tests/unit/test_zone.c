#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "base/zone.h"

static struct zone *zone_of(const char *name)
{
	const char *why = "";
	struct zone *zone = zone_load(name, &why);

	if (zone == NULL)
		fail_msg("%s: %s", name ? name : "local", why);
	return zone;
}

static void test_known_times(void **state)
{
	static const struct {
		const char *zone;
		int64_t t;
		int32_t offset;
	} cases[] = {
	    {"UTC", 1700000000, 0},
	    {"Europe/Berlin", 1711846799, 3600}, /* the second before 2024-03-31 02:00 */
	    {"Europe/Berlin", 1711846800, 7200},
	    {"Europe/Berlin", 1729990799, 7200}, /* the second before 2024-10-27 03:00 */
	    {"Europe/Berlin", 1729990800, 3600},
	    {"Europe/Berlin", 4077694800, 3600}, /* 2099: behind all that the file lists */
	    {"Europe/Berlin", 4087191600, 7200}, {"America/New_York", 1710053999, -18000},
	    {"America/New_York", 1710054000, -14400}, {"Asia/Kathmandu", 1700000000, 20700},
	    {"Australia/Sydney", 1704067200, 39600}, /* summer at the turn of the year */
	    {"Australia/Sydney", 1719792000, 36000},
	    {"Europe/Berlin", -2500000000, 3208}, /* before the first transition */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zone *zone = zone_of(cases[i].zone);
		int32_t offset = zone_offset(zone, cases[i].t);

		if (offset != cases[i].offset)
			fail_msg("%s at %lld: %d, not %d", cases[i].zone, (long long)cases[i].t,
			    (int)offset, (int)cases[i].offset);
		zone_free(zone);
	}
}

static void test_no_zone(void **state)
{
	static const char *const names[] = {"", "Europe/Atlantis", "../../../etc/passwd",
	    "/etc/passwd", "zone.tab", "tzdata.zi", "Europe", "Europe/Ber lin", "leapseconds"};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		why = NULL;
		if (zone_load(names[i], &why) != NULL || why == NULL)
			fail_msg("\"%s\" was taken for a zone", names[i]);
	}
	zone_free(NULL);
}

/* The local zone is the C library's, whatever TZ says; also what is no file. */
static void test_local(void **state)
{
	static const char *const zones[] = {"Europe/Berlin", ":Asia/Tokyo", "America/Sao_Paulo",
	    "CET-1CEST,M3.5.0,M10.5.0/3", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
	    "AEST-10AEDT,M10.1.0,M4.1.0/3", "XXX3YYY,J60/0,300/24", "<+0330>-3:30", "UTC0",
	    "nonsense", "", "/usr/share/zoneinfo/Asia/Kolkata"};

	(void)state;
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		struct zone *zone;

		setenv("TZ", zones[i], 1);
		tzset();
		zone = zone_of(NULL);
		for (int64_t t = 40000000; t < 5000000000; t += 11 * 86400 + 3607) {
			time_t when = (time_t)t;
			struct tm tm;

			localtime_r(&when, &tm);
			if (tm.tm_gmtoff != zone_offset(zone, t))
				fail_msg("TZ=%s at %lld: %d, not %ld", zones[i], (long long)t,
				    (int)zone_offset(zone, t), tm.tm_gmtoff);
		}
		zone_free(zone);
	}
	unsetenv("TZ");
	tzset();
	zone_free(zone_of(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_times),
	    cmocka_unit_test(test_no_zone),
	    cmocka_unit_test(test_local),
	};

	return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}
