#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <ares.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "net/record.h"

enum { A = 1, NS = 2, CNAME = 5, SOA = 6, TXT = 16, AAAA = 28 };

/* The answer to a question for a.test, and records appended to it. */
struct message {
	unsigned char bytes[4096];
	size_t len;
};

static void put(struct message *m, const void *bytes, size_t len)
{
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static void put16(struct message *m, unsigned n)
{
	put(m, (unsigned char[]){(unsigned char)(n >> 8), (unsigned char)n}, 2);
}

static void put32(struct message *m, uint32_t n)
{
	put16(m, n >> 16);
	put16(m, n & 0xffff);
}

static void begin(struct message *m, unsigned type)
{
	m->len = 0;
	put(m, "\0\1\x81\x80\0\1\0\0\0\0\0\0", 12);
	put(m, "\1a\4test", 8);
	put16(m, type);
	put16(m, 1);
}

/* section: 6 the answers, 8 the authority, 10 the rest; they have to come in this order. */
static void record(struct message *m, size_t section, const char *name, size_t name_len,
    unsigned type, uint32_t ttl, const void *data, size_t len)
{
	m->bytes[section + 1]++;
	put(m, name, name_len);
	put16(m, type);
	put16(m, 1);
	put32(m, ttl);
	put16(m, (unsigned)len);
	put(m, data, len);
}

#define SELF "\xc0\x0c", 2

static void soa(struct message *m, uint32_t ttl, uint32_t minimum)
{
	unsigned char data[22] = {0};

	for (int i = 0; i < 4; i++)
		data[18 + i] = (unsigned char)(minimum >> (24 - 8 * i));
	record(m, 8, "\4test", 6, SOA, ttl, data, sizeof(data));
}

static struct record read_it(const struct message *m, sa_family_t family, int status)
{
	struct record r;
	unsigned char *exact = malloc(m->len + 1);

	assert_non_null(exact);
	memcpy(exact, m->bytes, m->len);
	exact = realloc(exact, m->len ? m->len : 1);
	record_read(&r, family, status, exact, m->len);
	free(exact);
	assert_int_equal(r.count > 0, r.status == RECORD_OK);
	return r;
}

static void test_addresses(void **state)
{
	struct message m;
	struct record r;

	(void)state;
	begin(&m, A);
	record(&m, 6, SELF, A, 60, "\xc0\0\2\1", 4);
	record(&m, 6, SELF, TXT, 5, "\1x", 2);
	record(&m, 6, SELF, A, 50, "\xc0\0\2\2", 4);
	record(&m, 6, SELF, A, 70, "\xc0\0\2\1", 4); /* twice */
	record(&m, 6, SELF, AAAA, 1, "0123456789abcdef", 16);
	record(&m, 6, "\1b\4test", 8, A, 1, "\xc0\0\2\3", 4); /* of another name */
	r = read_it(&m, AF_INET, ARES_SUCCESS);
	assert_int_equal(r.status, RECORD_OK);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.ttl_s, 50);
	assert_int_equal(r.addrs[1].ip.v4.s_addr, htonl(0xc0000202));
	r = read_it(&m, AF_INET6, ARES_SUCCESS);
	assert_int_equal(r.count, 1);
	assert_memory_equal(&r.addrs[0].ip.v6, "0123456789abcdef", 16);
}

static void test_echo(void **state)
{
	struct message m;

	(void)state;
	begin(&m, A);
	m.bytes[2] = 1;
	assert_int_equal(read_it(&m, AF_INET, ARES_ENODATA).status, RECORD_FAILED);
	record(&m, 6, SELF, A, 60, "\xc0\0\2\1", 4);
	assert_int_equal(read_it(&m, AF_INET, ARES_SUCCESS).status, RECORD_FAILED);
}

static void test_many_addresses(void **state)
{
	struct message m;
	struct record r;

	(void)state;
	begin(&m, A);
	for (int i = 0; i < 100; i++) {
		unsigned char ip[4] = {192, 0, 2, (unsigned char)(i / 2)};

		record(&m, 6, SELF, A, 60, ip, 4);
	}
	r = read_it(&m, AF_INET, ARES_SUCCESS);
	assert_int_equal(r.count, RECORD_ADDRS_MAX);
	for (size_t i = 0; i < r.count; i++)
		assert_int_equal(r.addrs[i].ip.v4.s_addr, htonl((uint32_t)(0xc0000200 + i)));
}

/* Ten aliases, one of them with a short TTL; and aliases that lead in a circle. */
static void test_aliases(void **state)
{
	struct message m;
	struct record r;
	char name[] = "\1a\4test", next[] = "\1b\4test";

	(void)state;
	begin(&m, A);
	for (int i = 0; i < 10; i++, name[1]++, next[1]++)
		record(&m, 6, name, 8, CNAME, i == 5 ? 7 : 60, next, 8);
	record(&m, 6, name, 8, A, 60, "\xc0\0\2\1", 4);
	r = read_it(&m, AF_INET, ARES_SUCCESS);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.ttl_s, 7);

	begin(&m, A);
	record(&m, 6, SELF, CNAME, 60, "\1b\4test", 8);
	record(&m, 6, "\1b\4test", 8, CNAME, 60, "\1a\4test", 8);
	soa(&m, 100, 30);
	r = read_it(&m, AF_INET, ARES_SUCCESS);
	assert_int_equal(r.status, RECORD_NO_DATA);
	assert_int_equal(r.ttl_s, 30);
}

static void test_no(void **state)
{
	static const struct {
		uint32_t ttl, minimum, expected;
	} cases[] = {
	    {60, 30, 30},
	    {30, 60, 30},
	    {0, 60, 0},
	    {0x80000000, 60, 0}, /* RFC 2181 8 */
	    {60, 0xffffffff, 0},
	};
	struct message m;
	struct record r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin(&m, A);
		record(&m, 6, SELF, TXT, 1, "\1x", 2);
		record(&m, 8, "\4test", 6, NS, 1, "\1b\4test", 8);
		soa(&m, cases[i].ttl, cases[i].minimum);
		record(&m, 10, SELF, A, 1, "\xc0\0\2\1", 4);
		r = read_it(&m, AF_INET, ARES_ENOTFOUND);
		assert_int_equal(r.status, RECORD_NO_NAME);
		assert_int_equal(r.ttl_s, cases[i].expected);
		r = read_it(&m, AF_INET, ARES_ENODATA);
		assert_int_equal(r.status, RECORD_NO_DATA);
		assert_int_equal(r.ttl_s, cases[i].expected);
		r = read_it(&m, AF_INET, ARES_SUCCESS);
		assert_int_equal(r.status, RECORD_NO_DATA);
		assert_int_equal(r.ttl_s, cases[i].expected);
	}
	/* An SOA record elsewhere says nothing of this. */
	begin(&m, A);
	record(&m, 6, SELF, SOA, 1, "0123456789012345678901", 22);
	r = read_it(&m, AF_INET, ARES_ENODATA);
	assert_int_equal(r.ttl_s, RECORD_TTL_NONE);
}

static void test_cut_anywhere(void **state)
{
	struct message m;

	(void)state;
	begin(&m, A);
	record(&m, 6, SELF, CNAME, 60, "\1b\4test", 8);
	record(&m, 6, "\1b\4test", 8, A, 60, "\xc0\0\2\1", 4);
	soa(&m, 60, 30);
	for (size_t whole = m.len; m.len > 0; m.len--) {
		struct record r = read_it(&m, AF_INET, ARES_ENOTFOUND);

		assert_int_equal(r.ttl_s, m.len == whole ? 30 : RECORD_TTL_NONE);
		read_it(&m, AF_INET, ARES_SUCCESS);
		read_it(&m, AF_INET6, ARES_SUCCESS);
	}
}

static void test_statuses(void **state)
{
	static const struct {
		int ares;
		enum record_status status;
	} cases[] = {
	    {ARES_SUCCESS, RECORD_FAILED}, /* with nothing to read */
	    {ARES_ENOTFOUND, RECORD_NO_NAME},
	    {ARES_ENODATA, RECORD_NO_DATA},
	    {ARES_ETIMEOUT, RECORD_TIMEOUT},
	    {ARES_ECONNREFUSED, RECORD_FAILED},
	    {ARES_ESERVFAIL, RECORD_FAILED},
	    {ARES_EFORMERR, RECORD_FAILED},
	    {ARES_EBADRESP, RECORD_FAILED},
	    {ARES_ENOMEM, RECORD_NO_MEMORY},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct record r;

		record_read(&r, AF_INET, cases[i].ares, NULL, 0);
		assert_int_equal(r.status, cases[i].status);
		assert_int_equal(r.count, 0);
	}
}

static void test_outcome(void **state)
{
	/* The table of the header, a row for IPv4's OK before it, a column for NO_MEMORY behind. */
	static const char *const table[] = {
	    [RECORD_OK] = "OOOOOO",
	    [RECORD_NO_NAME] = "ONNNNM",
	    [RECORD_NO_DATA] = "ONDFTM",
	    [RECORD_FAILED] = "OFFFFM",
	    [RECORD_TIMEOUT] = "OTTFTM",
	    [RECORD_NO_MEMORY] = "OMMMMM",
	};
	static const char letters[] = "ONDFTM";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (size_t k = 0; k < ARRAY_LEN(table); k++) {
			struct record ipv4 = {.status = (enum record_status)i};
			struct record ipv6 = {.status = (enum record_status)k};
			char got = letters[record_outcome(&ipv4, &ipv6)];

			if (got != table[i][k])
				fail_msg("%c and %c: %c", letters[i], letters[k], got);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_echo),
	    cmocka_unit_test(test_many_addresses),
	    cmocka_unit_test(test_aliases),
	    cmocka_unit_test(test_no),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_outcome),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
