#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <crypt.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "policy/hash.h"

#define Y "$VJTkx9ZBux1nTdOrDxs3jfTzUW4SE3LkI9RlHDG47z/"
#define S512                                                                                       \
	"qjSULmwQbtfvl/EepdVzeSorWs98BxOge9NJQyJtT1Ha4sOLFUVfT72HvWblkg81cobdNBBVxNtwvpEdzGmm./"
#define S256 "HciUDY2qOJt03psEMxGpu.g6U5pcbJpoQ8R9lzFP4uD"
#define B "abZcXx9VgkRkF.3kA2H1eOnOVf9z3tH2bThQJCz7f9jShyDVILtju"

static void test_complaints(void **state)
{
	static const struct {
		const char *hash, *complaint; /* NULL: none; else a word of it */
	} cases[] = {
	    {"$y$j75$gPJGoApQNGCXYtWjFANe1/" Y, NULL},
	    {"$y$j9T$gPJGoApQNGCXYtWjFANe1/" Y, NULL},
	    {"$y$jBT$gPJGoApQNGCXYtWjFANe1/" Y, NULL},
	    {"$y$jCT$gPJGoApQNGCXYtWjFANe1/" Y, "costs too much"},
	    {"$y$jFT$gPJGoApQNGCXYtWjFANe1/" Y, "costs too much"},
	    {"$y$j/T$gPJGoApQNGCXYtWjFANe1/" Y, "costs too much"},
	    {"$y$j9T9$gPJGoApQNGCXYtWjFANe1/" Y, "costs too much"},
	    {"$y$$gPJGoApQNGCXYtWjFANe1/" Y, "costs too much"},
	    {"$y$j9T$$" Y, "well formed"},
	    {"$y$j9T$gPJGoApQNGCXYtWjFANe1/" Y "x", "well formed"},
	    {"$y$j9T$gPJGoApQNGCXYtWjFANe1/$short", "well formed"},
	    {"$y$j9T$gPJGo:pQNGCXYtWjFANe1/" Y, "well formed"},
	    {"$y$", "well formed"},
	    {"$y$j9T", "well formed"},
	    {"$2a$04$" B, NULL},
	    {"$2b$10$" B, NULL},
	    {"$2y$14$" B, NULL},
	    {"$2y$15$" B, "costs too much"},
	    {"$2y$31$" B, "costs too much"},
	    {"$2y$99$" B, "costs too much"},
	    {"$2y$03$" B, "well formed"},
	    {"$2y$5$" B, "well formed"},
	    {"$2y$0a$" B, "well formed"},
	    {"$2y$05$" B "x", "well formed"},
	    {"$2y$05$", "well formed"},
	    {"$2x$05$" B, "not accepted"},
	    {"$6$g.fJdM6uXEb7V9Lt$" S512, NULL},
	    {"$6$rounds=1000$x$" S512, NULL},
	    {"$6$rounds=1000000$x$" S512, NULL},
	    {"$6$rounds=1000001$x$" S512, "costs too much"},
	    {"$6$rounds=999999999$x$" S512, "costs too much"},
	    {"$6$rounds=9999999999$x$" S512, "well formed"},
	    {"$6$rounds=999$x$" S512, "well formed"},
	    {"$6$rounds=05000$x$" S512, "well formed"},
	    {"$6$rounds=$x$" S512, "well formed"},
	    {"$6$rounds=5000$" S512, "well formed"},
	    {"$6$$" S512, "well formed"},
	    {"$6$g.fJdM6uXEb7V9Ltx$" S512, "well formed"},
	    {"$6$salt$" S256, "well formed"},
	    {"$5$salt$" S256, NULL},
	    {"$5$rounds=5000$salt$" S256, NULL},
	    {"$5$salt$" S512, "well formed"},
	    {"$5$salt$" S256 ":", "well formed"},
	    {"$5$salt$" S256 " ", "well formed"},
	    {"$1$salt$qJH7.N4xYta3aEG/dfqo/0", "MD5"},
	    {"$apr1$salt$xxxxxxxxxxxxxxxxxxxxxx", "MD5"},
	    {"{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=", "SHA-1"},
	    {"{SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr", "scheme"},
	    {"{PLAIN}secret", "scheme"},
	    {"$7$CU..../....$x", "not accepted"},
	    {"$gy$j9T$x$" Y, "not accepted"},
	    {"$", "not accepted"},
	    {"rqXexS6ZhobKA", "DES"},
	    {"secret", "DES"},
	    {"!", "locked"},
	    {"*", "locked"},
	    {"", "empty"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = hash_complaint(slice_of(cases[i].hash));

		if ((got == NULL) != (cases[i].complaint == NULL) ||
		    (got && !strstr(got, cases[i].complaint)))
			fail_msg("%s: %s", cases[i].hash, got ? got : "none");
	}
}

static void test_too_long(void **state)
{
	char hash[2 * HASH_MAX];

	(void)state;
	memset(hash, 'x', sizeof(hash));
	memcpy(hash, "$y$j9T$", 7);
	assert_non_null(hash_complaint((struct slice){hash, sizeof(hash)}));
	assert_non_null(hash_complaint((struct slice){hash, HASH_MAX}));
}

/* The costs of yescrypt are told by what libcrypt itself writes. */
static void test_costs_of_yescrypt(void **state)
{
	(void)state;
	for (unsigned long cost = 1; cost <= 11; cost++) {
		char hash[HASH_MAX];

		assert_non_null(crypt_gensalt_rn("$y$", cost, NULL, 0, hash, (int)sizeof(hash)));
		strcat(hash, Y);
		if ((hash_complaint(slice_of(hash)) == NULL) != (cost <= 7))
			fail_msg("cost %lu: %s", cost, hash);
	}
}

static void test_check(void **state)
{
	static const char *const settings[] = {"$y$j75$abcdefgh", "$2a$04$abcdefghijklmnopqrstuu",
	    "$2b$04$abcdefghijklmnopqrstuu", "$2y$04$abcdefghijklmnopqrstuu", "$6$rounds=1000$salt",
	    "$5$rounds=1000$salt"};
	struct hash_bench *bench = hash_bench_new();
	struct crypt_data data = {0};

	(void)state;
	assert_non_null(bench);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		char hash[HASH_MAX];
		const char *made = crypt_r("p@ss:w/rd \xc3\xbc", settings[i], &data);

		assert_non_null(made);
		snprintf(hash, sizeof(hash), "%s", made);
		if (hash_complaint(slice_of(hash)))
			fail_msg("%s", hash);
		assert_int_equal(hash_check(bench, hash, "p@ss:w/rd \xc3\xbc"), HASH_FITS);
		assert_int_equal(hash_check(bench, hash, "p@ss:w/rd"), HASH_DIFFERS);
		assert_int_equal(hash_check(bench, hash, "p@ss:w/rd \xc3\xbd"), HASH_DIFFERS);
		assert_int_equal(hash_check(bench, hash, ""), HASH_DIFFERS);
	}
	hash_bench_free(bench);
}

static void test_make(void **state)
{
	struct hash_bench *bench = hash_bench_new();
	char hash[HASH_MAX], other[HASH_MAX];

	(void)state;
	assert_non_null(bench);
	assert_int_equal(hash_make(bench, "secret", hash), 0);
	assert_int_equal(hash_make(bench, "secret", other), 0);
	assert_memory_equal(hash, "$y$", 3);
	assert_string_not_equal(hash, other);
	assert_null(hash_complaint(slice_of(hash)));
	assert_int_equal(hash_check(bench, hash, "secret"), HASH_FITS);
	assert_int_equal(hash_check(bench, hash, "Secret"), HASH_DIFFERS);
	hash_bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_complaints),
	    cmocka_unit_test(test_too_long),
	    cmocka_unit_test(test_costs_of_yescrypt),
	    cmocka_unit_test(test_check),
	    cmocka_unit_test(test_make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
