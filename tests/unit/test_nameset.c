#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/leisure.h"
#include "base/text.h"
#include "policy/namelist.h"
#include "policy/nameset.h"

/* The length of the name that decides, negative for an exception, 0 for none. */
static int found(const struct nameset *set, const char *host)
{
	struct nameset_match match;

	if (!nameset_find(set, slice_of(host), &match))
		return 0;
	return match.exception ? -(int)match.len : (int)match.len;
}

static void test_suffixes_and_exceptions(void **state)
{
	static const struct {
		const char *host;
		int found;
	} cases[] = {
	    {"ads.example", 11},
	    {"x.ads.example", 11},
	    {"x.y.ads.example", 11},
	    {"badads.example", 0},
	    {"ds.example", 0},
	    {"example", 0},
	    {"ads.example.org", 0},
	    {"good.ads.example", -16},
	    {"x.good.ads.example", -16},
	    {"bad.good.ads.example", 20},
	    {"both.example", -12},
	    {"x.both.example", -12},
	    {"alone.example", -13},
	    {"zip", 3},
	    {"a.b.zip", 3},
	    {"", 0},
	    {"127.0.0.1", 0},
	    {"::1", 0},
	    {"zi", 0},
	    {"a..zip", 3},
	};
	struct nameset *set = nameset_parse(
	    SLICE("ads.example\n@@good.ads.example\nbad.good.ads.example\nboth.example\n"
		  "@@both.example\nADS.example.\n@@alone.example\nzip\nboth.example\nno name\n"));

	(void)state;
	assert_non_null(set);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (found(set, cases[i].host) != cases[i].found)
			fail_msg("%s: %d", cases[i].host, found(set, cases[i].host));
		assert_int_equal(nameset_has(set, slice_of(cases[i].host)), cases[i].found > 0);
	}
	assert_int_equal(nameset_facts(set)->names, 6);
	assert_int_equal(nameset_facts(set)->exceptions, 3);
	assert_int_equal(nameset_facts(set)->unknown, 1);
	assert_int_equal(nameset_facts(set)->first_unknown, 10);
	nameset_unref(set);
}

static void test_empty(void **state)
{
	struct nameset *set = nameset_parse(SLICE(""));

	(void)state;
	assert_non_null(set);
	assert_int_equal(found(set, "a.example"), 0);
	assert_int_equal(nameset_facts(set)->names, 0);
	nameset_unref(set);
	nameset_unref(NULL);
}

/* All that are in it, and none besides. */
static void test_many(void **state)
{
	enum { COUNT = 20000 };
	struct text list = {0};
	struct nameset *set;
	char host[64];

	(void)state;
	for (int i = 0; i < COUNT; i++)
		text_add_format(&list, "%s%x.example\n", i % 3 == 0 ? "@@" : "", i * 2);
	set = nameset_parse((struct slice){list.ptr, list.len});
	assert_non_null(set);
	assert_int_equal(nameset_facts(set)->names, COUNT);
	for (int i = 0; i < 2 * COUNT; i++) {
		int len = snprintf(host, sizeof(host), "%x.example", i);

		assert_int_equal(found(set, host), i % 2 ? 0 : i % 6 == 0 ? -len : len);
		snprintf(host, sizeof(host), "www.%x.example", i);
		assert_int_equal(found(set, host), i % 2 ? 0 : i % 6 == 0 ? -len : len);
	}
	nameset_unref(set);
	text_done(&list);
}

static void test_one_name_very_often(void **state)
{
	struct text list = {0};
	struct nameset *set;

	(void)state;
	for (int i = 0; i < 100000; i++)
		text_add_string(&list, "||ads.example^\n");
	text_add_string(&list, "@@ads.example\nother.example");
	set = nameset_parse((struct slice){list.ptr, list.len});
	assert_non_null(set);
	assert_int_equal(nameset_facts(set)->names, 2);
	assert_int_equal(found(set, "ads.example"), -11);
	assert_int_equal(found(set, "other.example"), 13);
	nameset_unref(set);
	text_done(&list);
}

/* As long as names can be, with as many labels. */
static void test_longest(void **state)
{
	char host[NAMELIST_NAME_MAX + 2];
	struct nameset *set;

	(void)state;
	for (size_t i = 0; i < sizeof(host); i++)
		host[i] = i % 2 ? '.' : 'a';
	set = nameset_parse((struct slice){host, NAMELIST_NAME_MAX});
	assert_non_null(set);
	host[NAMELIST_NAME_MAX] = '\0';
	assert_int_equal(found(set, host), NAMELIST_NAME_MAX);
	host[0] = 'b';
	assert_int_equal(found(set, host), 0);
	nameset_unref(set);
	set = nameset_parse(SLICE("a\n"));
	assert_non_null(set);
	assert_int_equal(found(set, host), 1);
	host[NAMELIST_NAME_MAX] = 'a';
	assert_false(nameset_has(set, (struct slice){host, NAMELIST_NAME_MAX + 1}));
	nameset_unref(set);
}

/* ---- files ---- */

static char folder[] = "/tmp/penstock-nameset-XXXXXX";
static char path[64];

static void write_file(const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void test_files_that_are_none(void **state)
{
	atomic_bool stop = true;
	struct leisure leisure = {.stop = &stop};

	(void)state;
	unlink(path);
	assert_null(nameset_load(path, NULL, NULL));
	assert_int_equal(errno, ENOENT);
	assert_null(nameset_load(folder, NULL, NULL));
	assert_int_equal(errno, EISDIR);
	assert_null(nameset_load("", NULL, NULL));
	assert_int_equal(errno, ENOENT);
	assert_null(nameset_load("/dev/null", NULL, NULL));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(nameset_load(path, NULL, NULL)); /* and does not wait */
	assert_int_equal(errno, EINVAL);
	unlink(path);
	write_file("ads.example\n");
	assert_int_equal(truncate(path, (off_t)3 << 30), 0);
	assert_null(nameset_load(path, NULL, NULL));
	assert_int_equal(errno, EFBIG);
	write_file("ads.example\n");
	assert_null(nameset_load(path, NULL, &leisure));
	assert_int_equal(errno, ECANCELED);
	write_file("# no name to stop at\n");
	assert_null(nameset_load(path, NULL, &leisure));
	assert_int_equal(errno, ECANCELED);
	/* There is more of it than it says, as of one that is being written. */
	assert_null(nameset_load("/proc/self/status", NULL, NULL));
	assert_int_equal(errno, ESTALE);
}

/* One that was changed long enough ago: the kernel's stamps cannot be set back. */
static bool settle(void)
{
	struct stat info;

	return stat(path, &info) == 0 && info.st_ctim.tv_sec + 2 < time(NULL);
}

static void test_a_file_that_has_not_changed_is_shared(void **state)
{
	const struct timespec while_s = {0, 50000000};
	struct nameset *first, *again;

	(void)state;
	write_file("ads.example\n");
	first = nameset_load(path, NULL, NULL);
	assert_non_null(first);
	/* Too fresh to be sure of. */
	again = nameset_load(path, first, NULL);
	assert_ptr_not_equal(again, first);
	nameset_unref(first);
	nameset_unref(again);
	while (!settle())
		nanosleep(&while_s, NULL);
	first = nameset_load(path, NULL, NULL);
	again = nameset_load(path, first, NULL);
	assert_ptr_equal(again, first);
	nameset_unref(again);
	assert_int_equal(found(first, "ads.example"), 11);
	write_file("bad.example\n"); /* of the same size */
	again = nameset_load(path, first, NULL);
	assert_ptr_not_equal(again, first);
	assert_int_equal(found(again, "bad.example"), 11);
	assert_int_equal(found(again, "ads.example"), 0);
	nameset_unref(first);
	nameset_unref(again);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/list", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_suffixes_and_exceptions),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_one_name_very_often),
	    cmocka_unit_test(test_longest),
	    cmocka_unit_test(test_files_that_are_none),
	    cmocka_unit_test(test_a_file_that_has_not_changed_is_shared),
	};

	return cmocka_run_group_tests_name("nameset", tests, set_up, tear_down);
}
