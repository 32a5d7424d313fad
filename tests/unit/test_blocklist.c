#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/blocklist.h"

static char folder[] = "/tmp/penstock-blocklist-XXXXXX";

/* A file in the folder; its path, until the next call. */
static const char *file(const char *name, const char *text)
{
	static char path[64];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	return path;
}

static const struct blocklist_list *find(const struct blocklist *b, const char *host)
{
	return blocklist_find(b, slice_of(host));
}

static void test_names(void **state)
{
	static const struct {
		const char *path, *name; /* NULL: none */
	} cases[] = {
	    {"/etc/penstock/ads.txt", "ads"},
	    {"ads", "ads"},
	    {"./ads.hosts.txt", "ads.hosts"},
	    {"/x/.ads", ".ads"},
	    {"/x/.ads.txt", ".ads"},
	    {"/x.y/A_d-s2", "A_d-s2"},
	    {"/etc/penstock/", NULL},
	    {"", NULL},
	    {"/x/my ads.txt", NULL},
	    {"/x/ads\n.txt", NULL},
	    {"/x/\xc3\xa4.txt", NULL},
	    {"/x/0123456789012345678901234567890123456789012345678901234567890123.t",
		"0123456789012345678901234567890123456789012345678901234567890123"},
	    {"/x/01234567890123456789012345678901234567890123456789012345678901234.t", NULL},
	};
	char name[BLOCKLIST_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(blocklist_name(cases[i].path, name), cases[i].name != NULL);
		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
	}
}

/* Over several lists the longest name decides, and among equals the exception, then the first. */
static void test_which_list(void **state)
{
	static const struct {
		const char *host, *list; /* NULL: none */
	} cases[] = {
	    {"one.example", "one"},
	    {"a.one.example", "one"},
	    {"two.example", "two"},
	    {"both.example", "one"},
	    {"deep.both.example", "two"},
	    {"a.deep.both.example", "two"},
	    {"good.one.example", NULL},
	    {"a.good.one.example", NULL},
	    {"bad.good.one.example", "one"},
	    {"equal.example", NULL},
	    {"equal2.example", NULL},
	    {"free.example", NULL},
	    {"a.free.example", "one"},
	    {"other.example", NULL},
	    {"example", NULL},
	    {"127.0.0.1", NULL},
	};
	struct blocklist *b = blocklist_new();

	(void)state;
	assert_non_null(b);
	assert_null(find(b, "one.example"));
	assert_int_equal(
	    blocklist_add(b,
		file("one.txt", "one.example\nboth.example\nbad.good.one.example\nequal.example\n"
				"@@equal2.example\na.free.example\n"),
		NULL, NULL),
	    0);
	assert_int_equal(blocklist_add(b,
			     file("two.txt", "two.example\nboth.example\ndeep.both.example\n"
					     "@@good.one.example\n@@equal.example\nequal2.example\n"
					     "@@free.example\n"),
			     NULL, NULL),
	    0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct blocklist_list *list = find(b, cases[i].host);

		if (!list != !cases[i].list || (list && strcmp(list->name, cases[i].list) != 0))
			fail_msg("%s: %s", cases[i].host, list ? list->name : "none");
	}
	assert_string_equal(find(b, "one.example")->token, "blocklist:one");
	assert_non_null(strstr(find(b, "two.example")->sentence, "on the list two."));
	assert_ptr_equal(blocklist_at(b, 1), find(b, "two.example"));
	assert_null(blocklist_at(b, 2));
	blocklist_free(b);
}

static void test_what_cannot_be_added(void **state)
{
	struct blocklist *b = blocklist_new();

	(void)state;
	assert_non_null(b);
	assert_int_equal(blocklist_add(b, file("one.txt", "one.example\n"), NULL, NULL), 0);
	assert_int_equal(blocklist_add(b, file("one.list", "two.example\n"), NULL, NULL), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(blocklist_add(b, "/nowhere/two.txt", NULL, NULL), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(blocklist_add(b, folder, NULL, NULL), -1);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(blocklist_add(b, "/nowhere/ ", NULL, NULL), -1);
	assert_int_equal(errno, EINVAL);
	assert_null(blocklist_at(b, 1));
	assert_non_null(find(b, "one.example"));
	blocklist_free(b);
	blocklist_free(NULL);
}

/* The counts go on, for whoever holds the old one and the new one alike. */
static void test_counts_outlive_a_reload(void **state)
{
	struct blocklist *old = blocklist_new(), *fresh = blocklist_new();
	const struct blocklist_list *list;

	(void)state;
	assert_non_null(old);
	assert_non_null(fresh);
	assert_int_equal(blocklist_add(old, file("one.txt", "one.example\n"), NULL, NULL), 0);
	blocklist_count(find(old, "one.example"));
	assert_int_equal(blocklist_add(fresh, file("one.txt", "two.example\n"), old, NULL), 0);
	assert_int_equal(blocklist_add(fresh, file("three.txt", "three.example\n"), old, NULL), 0);
	list = find(fresh, "two.example");
	assert_false(list->shared);
	blocklist_count(list);
	blocklist_count(find(old, "one.example"));
	blocklist_free(old);
	assert_int_equal(blocklist_denied(list), 3);
	assert_int_equal(blocklist_denied(find(fresh, "three.example")), 0);
	blocklist_free(fresh);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file("one.txt", ""));
	unlink(file("one.list", ""));
	unlink(file("two.txt", ""));
	unlink(file("three.txt", ""));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_which_list),
	    cmocka_unit_test(test_what_cannot_be_added),
	    cmocka_unit_test(test_counts_outlive_a_reload),
	};

	return cmocka_run_group_tests_name("blocklist", tests, set_up, tear_down);
}
