#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "policy/htpasswd.h"

#define HASH "$5$salt$HciUDY2qOJt03psEMxGpu.g6U5pcbJpoQ8R9lzFP4uD"
#define N255                                                                                       \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"    \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"    \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static void test_users_files(void **state)
{
	static const struct {
		const char *text;
		size_t count;      /* of users, when it is good */
		unsigned line;     /* 0: it is good */
		const char *wrong; /* a part of the message */
	} cases[] = {
	    {"", 0, 0, NULL},
	    {"\n\n  \n", 0, 0, NULL},
	    {"# a comment\nanna:" HASH "\n  # another\n\nbert:" HASH, 2, 0, NULL},
	    {"anna:" HASH "\r\nbert:" HASH "\r\n", 2, 0, NULL},
	    {"\t anna:" HASH " \t\n", 1, 0, NULL},
	    {"a b:" HASH "\n\xc3\xbc:" HASH "\n", 2, 0, NULL},
	    {N255 ":" HASH "\n", 1, 0, NULL},
	    {N255 "n:" HASH "\n", 0, 1, "at most 255 bytes"},
	    {"\nanna\n", 0, 2, "no colon"},
	    {":" HASH "\n", 0, 1, "empty"},
	    {"anna:\n", 0, 1, "the hash is empty"},
	    {"anna:secret\n", 0, 1, "penstock --passwd"},
	    {"anna:$apr1$x$y\n", 0, 1, "user \"anna\": the hash is MD5"},
	    {"bert:" HASH "\nanna:" HASH "\n\nbert:" HASH "\n", 0, 4, "is in line 1 already"},
	    {"anna:" HASH "\nAnna:" HASH "\n", 2, 0, NULL},
	    {"anna:" HASH "\nan\x01na:" HASH "\n", 0, 2, "an\\x01na"},
	    {"an\tna:" HASH "\n", 0, 1, "no controls"},
	    {"anna:" HASH ":more\n", 0, 1, "well formed"},
	    {"a\"b\\c:x\n", 0, 1, "user \"a\\\"b\\\\c\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct htpasswd *table = htpasswd_new();
		struct htpasswd_note wrong = {0, ""};
		int result;

		assert_non_null(table);
		result = htpasswd_read_users(table, slice_of(cases[i].text), &wrong);
		if (cases[i].line == 0) {
			if (result != 0 || htpasswd_count(table) != cases[i].count)
				fail_msg("case %zu: %u: %s", i, wrong.line, wrong.message);
		} else if (result == 0 || wrong.line != cases[i].line ||
			   !strstr(wrong.message, cases[i].wrong)) {
			fail_msg("case %zu: %u: %s", i, wrong.line, wrong.message);
		}
		/* What may be a password is in no message. */
		assert_null(strstr(wrong.message, "secret"));
		htpasswd_free(table);
	}
}

static void test_a_nul_byte(void **state)
{
	static const char text[] = "anna:" HASH "\nbert:\0x\n";
	struct htpasswd *table = htpasswd_new();
	struct htpasswd_note wrong;

	(void)state;
	assert_int_equal(
	    htpasswd_read_users(table, (struct slice){text, sizeof(text) - 1}, &wrong), -1);
	assert_int_equal(wrong.line, 2);
	htpasswd_free(table);
}

static void test_too_large(void **state)
{
	char *text = malloc(HTPASSWD_TEXT_MAX + 1);
	struct htpasswd *table = htpasswd_new();
	struct htpasswd_note wrong;

	(void)state;
	assert_non_null(text);
	memset(text, '\n', HTPASSWD_TEXT_MAX + 1);
	assert_int_equal(
	    htpasswd_read_users(table, (struct slice){text, HTPASSWD_TEXT_MAX + 1}, &wrong), -1);
	assert_non_null(strstr(wrong.message, "bytes"));
	htpasswd_free(table);
	table = htpasswd_new();
	assert_int_equal(
	    htpasswd_read_users(table, (struct slice){text, HTPASSWD_TEXT_MAX}, &wrong), 0);
	htpasswd_free(table);
	free(text);
}

static void test_many_users(void **state)
{
	const size_t most = HTPASSWD_USERS_MAX, size = (most + 1) * (sizeof(HASH) + 16);
	char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	for (size_t count = most; count <= most + 1; count++) {
		struct htpasswd *table = htpasswd_new();
		struct htpasswd_note wrong = {0, ""};
		size_t len = 0;
		int result;

		for (size_t i = 0; i < count; i++)
			len += (size_t)sprintf(text + len, "u%zu:%s\n", i * 7919 % 1000003, HASH);
		result = htpasswd_read_users(table, (struct slice){text, len}, &wrong);
		assert_int_equal(result, count > most ? -1 : 0);
		if (result == 0) {
			for (size_t i = 0; i < count; i++) {
				char name[32];
				const struct htpasswd_user *user;

				snprintf(name, sizeof(name), "u%zu", i * 7919 % 1000003);
				user = htpasswd_find(table, slice_of(name));
				assert_non_null(user);
				assert_string_equal(user->name, name);
				assert_int_equal(user->line, i + 1);
			}
		} else {
			assert_int_equal(wrong.line, most + 1);
		}
		htpasswd_free(table);
	}
	free(text);
}

static void test_find(void **state)
{
	const struct {
		struct slice name;
		unsigned line; /* 0: none */
	} cases[] = {
	    {SLICE("anna"), 1},
	    {SLICE("ann"), 2},
	    {SLICE("annab"), 3},
	    {SLICE("b"), 4},
	    {SLICE("\xc3\xbc"), 5},
	    {SLICE(""), 0},
	    {SLICE("an"), 0},
	    {SLICE("annaa"), 0},
	    {SLICE("annabc"), 0},
	    {SLICE("Anna"), 0},
	    {SLICE("anna\0"), 0},
	    {SLICE("\xc3"), 0},
	    {SLICE("anna:"), 0},
	    {SLICE("a"), 0},
	    {SLICE("z"), 0},
	};
	struct htpasswd *table = htpasswd_new();
	struct htpasswd_note wrong;

	(void)state;
	assert_int_equal(htpasswd_read_users(table,
			     SLICE("anna:" HASH "\nann:" HASH "\nannab:" HASH "\nb:" HASH
				   "\n\xc3\xbc:" HASH "\n"),
			     &wrong),
	    0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct htpasswd_user *user = htpasswd_find(table, cases[i].name);

		if ((user ? user->line : 0) != cases[i].line)
			fail_msg("case %zu", i);
		if (user)
			assert_string_equal(user->hash, HASH);
	}
	for (uint64_t number = 0; number < 20; number++) {
		assert_non_null(htpasswd_pick(table, number));
		assert_ptr_equal(htpasswd_pick(table, number), htpasswd_pick(table, number));
	}
	assert_ptr_not_equal(htpasswd_pick(table, 1), htpasswd_pick(table, 2));
	htpasswd_free(table);
	table = htpasswd_new();
	assert_null(htpasswd_find(table, SLICE("anna")));
	assert_null(htpasswd_pick(table, 7));
	htpasswd_free(table);
	htpasswd_free(NULL);
}

static void test_groups_files(void **state)
{
	static const struct {
		const char *text;
		const char *anna, *bert; /* their groups, each with a ',' behind it */
		unsigned line;           /* of the error; 0: it is good */
		unsigned strange;        /* line of the first member that is nobody; 0: none */
		const char *message;
	} cases[] = {
	    {"", "", "", 0, 0, NULL},
	    {"# nobody\nstaff:\n", "", "", 0, 0, NULL},
	    {"staff: anna bert\nadmin: anna\n", "admin,staff,", "staff,", 0, 0, NULL},
	    {"staff:anna\tbert \r\n", "staff,", "staff,", 0, 0, NULL},
	    {"staff: anna anna\nstaff: bert anna\n", "staff,", "staff,", 0, 0, NULL},
	    {" staff : anna\n", "staff,", "", 0, 0, NULL},
	    {"b: anna\na: anna\nc: anna\nA: anna\n", "A,a,b,c,", "", 0, 0, NULL},
	    {"staff: carl anna\nadmin: dora\n", "staff,", "", 0, 1,
		"group \"staff\": there is no user \"carl\""},
	    {"staff: Anna\n", "", "", 0, 1, "no user \"Anna\""},
	    {"staff: anna\nadmin\n", NULL, NULL, 2, 0, "no colon"},
	    {": anna\n", NULL, NULL, 1, 0, "1 to 255 bytes"},
	    {"a b: anna\n", NULL, NULL, 1, 0, "no blanks"},
	    {"a\x02: anna\n", NULL, NULL, 1, 0, "no controls"},
	    {N255 ": anna\n", N255 ",", "", 0, 0, NULL},
	    {N255 "n: anna\n", NULL, NULL, 1, 0, "1 to 255 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct htpasswd *table = htpasswd_new();
		struct htpasswd_note wrong = {0, ""}, strange = {7, ""};
		const char *const expected[] = {cases[i].anna, cases[i].bert};
		const char *const names[] = {"anna", "bert"};
		int result;

		assert_int_equal(
		    htpasswd_read_users(table, SLICE("bert:" HASH "\nanna:" HASH "\n"), &wrong), 0);
		result = htpasswd_read_groups(table, slice_of(cases[i].text), &wrong, &strange);
		if ((result != 0) != (cases[i].line != 0) || wrong.line != cases[i].line)
			fail_msg("case %zu: %u: %s", i, wrong.line, wrong.message);
		if (result != 0 && !strstr(wrong.message, cases[i].message))
			fail_msg("case %zu: %s", i, wrong.message);
		if (strange.line != cases[i].strange ||
		    (strange.line > 0 && !strstr(strange.message, cases[i].message)))
			fail_msg("case %zu: %u: %s", i, strange.line, strange.message);
		for (size_t u = 0; u < 2 && result == 0; u++) {
			const struct htpasswd_user *user = htpasswd_find(table, slice_of(names[u]));
			char got[512] = "";

			for (size_t g = 0; g < user->group_count; g++) {
				strcat(got, user->groups[g]);
				strcat(got, ",");
				assert_true(htpasswd_has_group(table, user->groups[g]));
			}
			if (strcmp(got, expected[u]) != 0)
				fail_msg("case %zu: %s: %s", i, names[u], got);
		}
		htpasswd_free(table);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_users_files),
	    cmocka_unit_test(test_a_nul_byte),
	    cmocka_unit_test(test_too_large),
	    cmocka_unit_test(test_many_users),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_groups_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
