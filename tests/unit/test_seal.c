#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/seal.h"

static void to_hex(const struct seal *seal, char out[2 * SEAL_SIZE + 1])
{
	for (size_t i = 0; i < SEAL_SIZE; i++)
		snprintf(out + 2 * i, 3, "%02x", seal->bytes[i]);
}

/* RFC 4231 4.2, 4.3, 4.4, 4.5; a short key is one that ends in zero bytes. */
static void test_known_ones(void **state)
{
	char data3[50], data4[50];
	const struct {
		const char *key;
		size_t key_len;
		struct slice data;
		const char *seal;
	} cases[] = {
	    {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20,
		SLICE("Hi There"),
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	    {"Jefe", 4, SLICE("what do ya want for nothing?"),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	    {"\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 20,
		{data3, sizeof(data3)},
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	    {"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15"
	     "\x16\x17\x18\x19",
		25, {data4, sizeof(data4)},
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	};

	(void)state;
	memset(data3, 0xdd, sizeof(data3));
	memset(data4, 0xcd, sizeof(data4));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seal_key key = {{0}};
		struct seal seal;
		char hex[2 * SEAL_SIZE + 1];

		memcpy(key.bytes, cases[i].key, cases[i].key_len);
		seal = seal_bytes(&key, cases[i].data);
		to_hex(&seal, hex);
		assert_string_equal(hex, cases[i].seal);
	}
}

static void test_parts_are_apart(void **state)
{
	const struct slice cuts[][3] = {
	    {SLICE("ab"), SLICE("c"), SLICE("")},
	    {SLICE("a"), SLICE("bc"), SLICE("")},
	    {SLICE("abc"), SLICE(""), SLICE("")},
	    {SLICE(""), SLICE("abc"), SLICE("")},
	    {SLICE("ab"), SLICE(""), SLICE("c")},
	};
	struct seal_key key;

	(void)state;
	assert_int_equal(seal_key_pick(&key), 0);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct seal one = seal_parts(&key, cuts[i], 3);

		for (size_t j = 0; j < ARRAY_LEN(cuts); j++) {
			struct seal other = seal_parts(&key, cuts[j], 3);

			assert_int_equal(
			    seal_same_bytes(one.bytes, other.bytes, SEAL_SIZE), i == j);
		}
	}
}

static void test_keys_differ(void **state)
{
	struct seal_key one, other;
	struct seal a, b;

	(void)state;
	assert_int_equal(seal_key_pick(&one), 0);
	assert_int_equal(seal_key_pick(&other), 0);
	a = seal_bytes(&one, SLICE("text"));
	b = seal_bytes(&other, SLICE("text"));
	assert_false(seal_same_bytes(a.bytes, b.bytes, SEAL_SIZE));
}

static void test_same_bytes(void **state)
{
	char a[40] = "forty bytes", b[40];

	(void)state;
	for (size_t i = 0; i < sizeof(a); i++) {
		memcpy(b, a, sizeof(a));
		assert_true(seal_same_bytes(a, b, sizeof(a)));
		b[i] ^= 1;
		assert_false(seal_same_bytes(a, b, sizeof(a)));
	}
	assert_true(seal_same_bytes(a, b, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_ones),
	    cmocka_unit_test(test_parts_are_apart),
	    cmocka_unit_test(test_keys_differ),
	    cmocka_unit_test(test_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
