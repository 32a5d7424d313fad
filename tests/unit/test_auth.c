#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "http/basic.h"
#include "net/addr.h"
#include "policy/auth.h"
#include "policy/htpasswd.h"

#define S BUCKET_SECOND
#define HASH "$5$salt$HciUDY2qOJt03psEMxGpu.g6U5pcbJpoQ8R9lzFP4uD"
#define OTHER "$5$salt$PciUDY2qOJt03psEMxGpu.g6U5pcbJpoQ8R9lzFP4uD"

static struct htpasswd *table_of(const char *text)
{
	struct htpasswd *table = htpasswd_new();
	struct htpasswd_note wrong;

	assert_non_null(table);
	assert_int_equal(htpasswd_read_users(table, slice_of(text), &wrong), 0);
	return table;
}

static struct basic basic_of(const char *name, const char *password)
{
	struct basic basic;

	memset(&basic, 0x55, sizeof(basic));
	basic.name_len = strlen(name);
	basic.password_len = strlen(password);
	strcpy(basic.name, name);
	strcpy(basic.password, password);
	return basic;
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(slice_of(text), &a), 0);
	return a;
}

/* What is recalled of "anna" with "secret", proved at 1000 s under HASH and kept for 300 s. */
static void test_proofs(void **state)
{
	static const struct {
		const char *table, *name, *password;
		uint64_t at;
		int keep;
		bool known;
	} cases[] = {
	    {"anna:" HASH "\n", "anna", "secret", 1000, 300, true},
	    {"anna:" HASH "\n", "anna", "secret", 1299, 300, true},
	    {"anna:" HASH "\n", "anna", "secret", 1300, 300, false},
	    {"anna:" HASH "\n", "anna", "secret", 1100, 100, false}, /* a reload says so */
	    {"anna:" HASH "\n", "anna", "secret", 1000, 0, false},
	    {"anna:" HASH "\n", "anna", "Secret", 1000, 300, false},
	    {"anna:" HASH "\n", "anna", "secret ", 1000, 300, false},
	    {"anna:" HASH "\n", "anna", "secre", 1000, 300, false},
	    {"anna:" HASH "\n", "annas", "ecret", 1000, 300, false},
	    {"bert:" HASH "\nanna:" HASH "\n", "anna", "secret", 1000, 300, true},
	    {"bert:" HASH "\nanna:" HASH "\n", "bert", "secret", 1000, 300, false},
	    {"anna:" OTHER "\n", "anna", "secret", 1000, 300, false}, /* a new password */
	    {"bert:" HASH "\n", "anna", "secret", 1000, 300, false},  /* she is gone */
	    {"", "anna", "secret", 1000, 300, false},
	};
	struct htpasswd *first = table_of("anna:" HASH "\n");
	struct basic secret = basic_of("anna", "secret");
	struct auth *auth = auth_new();

	(void)state;
	assert_non_null(auth);
	assert_null(auth_recall(auth, first, &secret, 300, 1000 * S));
	auth_remember(auth, htpasswd_find(first, SLICE("anna")), &secret, 1000 * S);
	htpasswd_free(first);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct htpasswd *table = table_of(cases[i].table);
		struct basic basic = basic_of(cases[i].name, cases[i].password);
		const struct htpasswd_user *user =
		    auth_recall(auth, table, &basic, cases[i].keep, cases[i].at * S);

		if ((user != NULL) != cases[i].known)
			fail_msg("case %zu", i);
		if (user)
			assert_ptr_equal(user, htpasswd_find(table, SLICE("anna")));
		htpasswd_free(table);
	}
	auth_free(auth);
	auth_free(NULL);
}

static void test_a_newer_proof_takes_the_place(void **state)
{
	struct htpasswd *table = table_of("anna:" HASH "\n");
	const struct htpasswd_user *anna = htpasswd_find(table, SLICE("anna"));
	struct basic one = basic_of("anna", "one"), two = basic_of("anna", "two");
	struct auth *auth = auth_new();

	(void)state;
	auth_remember(auth, anna, &one, 1000 * S);
	auth_remember(auth, anna, &two, 1001 * S);
	assert_null(auth_recall(auth, table, &one, 300, 1001 * S));
	assert_ptr_equal(auth_recall(auth, table, &two, 300, 1001 * S), anna);
	auth_free(auth);
	htpasswd_free(table);
}

static void test_subjects(void **state)
{
	struct htpasswd *table = table_of("anna:" HASH "\nbert:" OTHER "\n"), *none = table_of("");
	struct basic anna = basic_of("anna", "x");
	struct auth *auth = auth_new();
	size_t of_anna = 0;
	bool decoy;

	(void)state;
	assert_string_equal(auth_subject(auth, table, &anna, &decoy)->name, "anna");
	assert_false(decoy);
	for (int i = 0; i < 100; i++) {
		const struct htpasswd_user *user;
		struct basic stranger;
		char name[16];

		snprintf(name, sizeof(name), "s%d", i);
		stranger = basic_of(name, "x");
		user = auth_subject(auth, table, &stranger, &decoy);
		assert_non_null(user);
		assert_true(decoy);
		assert_ptr_equal(auth_subject(auth, table, &stranger, &decoy), user);
		of_anna += strcmp(user->name, "anna") == 0;
	}
	assert_in_range(of_anna, 10, 90);
	assert_null(auth_subject(auth, none, &anna, &decoy));
	assert_true(decoy);
	auth_free(auth);
	htpasswd_free(table);
	htpasswd_free(none);
}

/* Ten failures in a minute: one in six seconds. */
static void test_failures(void **state)
{
	struct addr client = addr_of("192.0.2.1"), other = addr_of("192.0.2.2");
	struct auth *auth = auth_new();

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(auth_wait(auth, &client, 10, 1000 * S), 0);
		auth_fail(auth, &client, 10, 1000 * S);
	}
	assert_int_equal(auth_wait(auth, &client, 10, 1000 * S), 6 * S);
	assert_int_equal(auth_wait(auth, &client, 10, 1004 * S), 2 * S);
	assert_int_equal(auth_wait(auth, &client, 10, 1006 * S), 0);
	assert_int_equal(auth_wait(auth, &other, 10, 1000 * S), 0);
	assert_int_equal(auth_wait(auth, &client, 0, 1000 * S), 0); /* no limit any more */
	auth_fail(auth, &client, 10, 1006 * S);
	assert_int_equal(auth_wait(auth, &client, 10, 1006 * S), 6 * S);
	assert_int_equal(auth_wait(auth, &client, 10, 1100 * S), 0);
	auth_free(auth);
}

static void test_one_failure_in_a_minute(void **state)
{
	struct addr client = addr_of("192.0.2.1");
	struct auth *auth = auth_new();

	(void)state;
	assert_int_equal(auth_wait(auth, &client, 1, 1000 * S), 0);
	auth_fail(auth, &client, 1, 1000 * S);
	assert_int_equal(auth_wait(auth, &client, 1, 1000 * S), 60 * S);
	assert_int_equal(auth_wait(auth, &client, 1, 1059 * S), S);
	assert_int_equal(auth_wait(auth, &client, 1, 1060 * S), 0);
	auth_free(auth);
}

static void test_a_network_is_one_client(void **state)
{
	struct addr one = addr_of("2001:db8::1"), same = addr_of("2001:db8::ffff:0:0:1"),
		    other = addr_of("2001:db8:0:1::1"), four = addr_of("192.0.2.1"),
		    mapped = addr_of("::ffff:192.0.2.1");
	struct auth *auth = auth_new();

	(void)state;
	auth_fail(auth, &one, 1, 1000 * S);
	auth_fail(auth, &four, 1, 1000 * S);
	assert_true(auth_wait(auth, &same, 1, 1000 * S) > 0);
	assert_int_equal(auth_wait(auth, &other, 1, 1000 * S), 0);
	assert_true(auth_wait(auth, &mapped, 1, 1000 * S) > 0);
	auth_free(auth);
}

/* More clients than there is room for: the one that failed longest ago is forgotten. */
static void test_the_table_is_bounded(void **state)
{
	struct addr first = addr_of("10.0.0.0"), client = first;
	struct auth *auth = auth_new();

	(void)state;
	for (uint32_t i = 0; i <= AUTH_CLIENTS; i++) {
		client.ip.v4.s_addr = htonl(0x0a000000 + i);
		auth_fail(auth, &client, 1, 1000 * S);
	}
	assert_int_equal(auth_wait(auth, &first, 1, 1000 * S), 0);
	assert_true(auth_wait(auth, &client, 1, 1000 * S) > 0);
	/* Those who owe nothing any more are gone at the next failure. */
	auth_fail(auth, &client, 1, 2000 * S);
	assert_true(auth_wait(auth, &client, 1, 2000 * S) > 0);
	auth_free(auth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_proofs),
	    cmocka_unit_test(test_a_newer_proof_takes_the_place),
	    cmocka_unit_test(test_subjects),
	    cmocka_unit_test(test_failures),
	    cmocka_unit_test(test_one_failure_in_a_minute),
	    cmocka_unit_test(test_a_network_is_one_client),
	    cmocka_unit_test(test_the_table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
