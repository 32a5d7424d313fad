#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "net/addr.h"
#include "policy/rulebook.h"

#define RULES 300
#define VALUES 3 /* of a rule */
#define BOOKS 20
#define QUESTIONS 300

/* Few of their bytes differ, and those little: most are in many networks, or nearly. */
static struct addr any_address(unsigned *seed)
{
	struct addr a = {.family = rand_r(seed) % 3 == 0 ? AF_INET : AF_INET6};
	size_t len = a.family == AF_INET ? sizeof(a.ip.v4) : sizeof(a.ip.v6);
	unsigned char bytes[16] = {0};

	for (size_t i = 0; i < 3; i++)
		bytes[(size_t)rand_r(seed) % len] =
		    (unsigned char)(rand_r(seed) % 2 ? 0x80 >> rand_r(seed) % 8 : 0xff);
	memcpy(&a.ip, bytes, len);
	return a;
}

/* Of any length, also none. */
static struct network any_network(unsigned *seed)
{
	struct network n = {.base = any_address(seed)};
	unsigned most = n.base.family == AF_INET ? 32 : 128;
	unsigned char *bytes = (unsigned char *)&n.base.ip;

	n.bits = (uint8_t)((unsigned)rand_r(seed) % (most + 1));
	for (unsigned bit = n.bits; bit < most; bit++)
		bytes[bit / 8] = (unsigned char)(bytes[bit / 8] & ~(0x80U >> bit % 8));
	return n;
}

/* Whatever they are in, and however: what is found is what each by itself would find. */
static void test_networks(void **state)
{
	struct network networks[RULES][VALUES];

	(void)state;
	for (unsigned book_seed = 1; book_seed <= BOOKS; book_seed++) {
		unsigned seed = book_seed;
		size_t rules = 1 + (size_t)rand_r(&seed) % RULES;
		struct rulebook *book = rulebook_new();

		assert_non_null(book);
		for (size_t i = 0; i < rules; i++) {
			assert_int_equal(
			    rulebook_add(book, &(struct rule){.action = RULE_DENIES}), 0);
			for (size_t k = 0; k < VALUES; k++) {
				struct rule_value value = {.condition = RULE_CLIENT};

				value.network = any_network(&seed);
				networks[i][k] = network_unmapped(&value.network);
				assert_int_equal(rulebook_add_value(book, &value), 0);
			}
		}
		assert_int_equal(rulebook_seal(book), 0);
		for (int q = 0; q < QUESTIONS; q++) {
			struct addr a = any_address(&seed), plain = addr_unmapped(&a);
			uint64_t bits[RULEBOOK_WORDS];

			assert_int_equal(
			    rulebook_match(book, &(struct acl_facts){.client = &a}, bits),
			    (rules + 63) / 64);
			for (size_t i = 0; i < rules; i++) {
				bool found = bits[i / 64] >> i % 64 & 1, holds = false;

				for (size_t k = 0; k < VALUES; k++)
					holds |= network_contains(&networks[i][k], &plain);
				if (found != holds)
					fail_msg("seed %u, rule %zu", book_seed, i);
			}
		}
		rulebook_free(book);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_networks),
	};

	return cmocka_run_group_tests_name("rulebook", tests, NULL, NULL);
}
