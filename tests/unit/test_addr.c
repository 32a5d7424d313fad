#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

static struct addr must_parse(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(slice_of(text), &a), 0);
	return a;
}

/* NULL: refused.  Else what addr_format_ip makes of it. */
static void test_parse(void **state)
{
	static const struct {
		const char *text, *strict, *loose;
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1", "192.0.2.1"},
	    {"0.0.0.0", "0.0.0.0", "0.0.0.0"},
	    {"255.255.255.255", "255.255.255.255", "255.255.255.255"},
	    {"2001:DB8::1", "2001:db8::1", "2001:db8::1"},
	    {"::", "::", "::"},
	    {"::ffff:192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.1"},
	    {"1:2:3:4:5:6:255.255.255.255", "1:2:3:4:5:6:ffff:ffff", "1:2:3:4:5:6:ffff:ffff"},
	    {"127.1", NULL, "127.0.0.1"},
	    {"127.0.1", NULL, "127.0.0.1"},
	    {"2130706433", NULL, "127.0.0.1"},
	    {"0x7f000001", NULL, "127.0.0.1"},
	    {"0X7F.1", NULL, "127.0.0.1"},
	    {"017700000001", NULL, "127.0.0.1"},
	    {"0177.0.0.01", NULL, "127.0.0.1"},
	    {"10.0.0.010", NULL, "10.0.0.8"},
	    {"00000000000000000000000000000000000000000000000000000000177.1", NULL, "127.0.0.1"},
	    {"0", NULL, "0.0.0.0"},
	    {"", NULL, NULL},
	    {"256.0.0.1", NULL, NULL},
	    {"4294967296", NULL, NULL},
	    {"1.2.3.4.5", NULL, NULL},
	    {"1.2.3.4.", NULL, NULL},
	    {"1..2", NULL, NULL},
	    {"08", NULL, NULL},
	    {"0x", NULL, NULL},
	    {"1.2.3.4 x", NULL, NULL},
	    {"1.2.3.4\n", NULL, NULL},
	    {" 1.2.3.4", NULL, NULL},
	    {"+1.2.3.4", NULL, NULL},
	    {"face", NULL, NULL},
	    {"localhost", NULL, NULL},
	    {"[::1]", NULL, NULL},
	    {"fe80::1%2", NULL, NULL},
	    {"1::2::3", NULL, NULL},
	    {"1:2:3:4:5:6:7:8:9", NULL, NULL},
	    {"0000000:0000000:0000000:0000000:0000000:0000000:0000000:0000000", NULL, NULL},
	};
	char out[ADDR_TEXT_MAX];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice text = slice_of(cases[i].text);

		memset(&a, 0xff, sizeof(a));
		assert_int_equal(addr_parse(text, &a), cases[i].strict ? 0 : -1);
		if (cases[i].strict) {
			assert_int_equal(a.port, 0);
			assert_int_equal(a.scope, 0);
			addr_format_ip(&a, out);
			assert_string_equal(out, cases[i].strict);
		}
		assert_int_equal(addr_parse_loose(text, &a), cases[i].loose ? 0 : -1);
		if (cases[i].loose) {
			addr_format_ip(&a, out);
			assert_string_equal(out, cases[i].loose);
		}
	}
}

static void test_parse_looks_at_the_slice_only(void **state)
{
	struct addr a;
	char zeros[1000];

	(void)state;
	assert_int_equal(addr_parse((struct slice){"10.0.0.12", 8}, &a), 0);
	assert_int_equal(ntohl(a.ip.v4.s_addr), 0x0a000001);
	assert_int_equal(addr_parse(SLICE("10.0.0.1\0"), &a), -1);
	assert_int_equal(addr_parse_loose(SLICE("10.1\0x"), &a), -1);
	assert_int_equal(addr_parse_loose((struct slice){NULL, 0}, &a), -1);
	memset(zeros, '0', sizeof(zeros));
	for (size_t len = 250; len < sizeof(zeros); len++)
		assert_int_equal(
		    addr_parse_loose((struct slice){zeros, len}, &a), len < 256 ? 0 : -1);
}

static void test_format_and_sockaddr(void **state)
{
	static const struct {
		const char *ip;
		uint16_t port;
		uint32_t scope;
		const char *text, *text_ip;
	} cases[] = {
	    {"192.0.2.1", 80, 0, "192.0.2.1:80", "192.0.2.1"},
	    {"2001:db8::1", 65535, 0, "[2001:db8::1]:65535", "2001:db8::1"},
	    {"fe80::1", 0, 3, "[fe80::1%3]:0", "fe80::1%3"},
	    {"1111:2222:3333:4444:5555:6666:7777:8888", 65535, UINT32_MAX,
		"[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535",
		"1111:2222:3333:4444:5555:6666:7777:8888%4294967295"},
	};
	char out[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = must_parse(cases[i].ip), back;
		struct sockaddr_storage sa;
		socklen_t len;

		a.port = cases[i].port;
		a.scope = cases[i].scope;
		addr_format(&a, out);
		assert_string_equal(out, cases[i].text);
		addr_format_ip(&a, out);
		assert_string_equal(out, cases[i].text_ip);
		len = addr_to_sockaddr(&a, &sa);
		assert_int_equal(len,
		    a.family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		assert_int_equal(addr_from_sockaddr((const struct sockaddr *)&sa, &back), 0);
		assert_true(addr_equal(&a, &back));
		assert_int_equal(back.scope, a.scope);
	}
}

static void test_other_families_are_refused(void **state)
{
	struct sockaddr sa = {.sa_family = AF_UNIX};
	struct addr a;

	(void)state;
	assert_int_equal(addr_from_sockaddr(&sa, &a), -1);
}

static void test_equal(void **state)
{
	static const struct {
		const char *a, *b;
		uint16_t a_port, b_port;
		uint32_t b_scope;
		bool equal;
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1", 80, 80, 0, true},
	    {"192.0.2.1", "192.0.2.1", 80, 81, 0, false},
	    {"192.0.2.1", "192.0.2.2", 80, 80, 0, false},
	    {"192.0.2.1", "::ffff:192.0.2.1", 80, 80, 0, false},
	    {"2001:db8::1", "2001:db8::1", 80, 80, 0, true},
	    {"2001:db8::1", "2001:db8::2", 80, 80, 0, false},
	    {"fe80::1", "fe80::1", 80, 80, 2, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = must_parse(cases[i].a), b = must_parse(cases[i].b);

		a.port = cases[i].a_port;
		b.port = cases[i].b_port;
		b.scope = cases[i].b_scope;
		assert_int_equal(addr_equal(&a, &b), cases[i].equal);
	}
}

/* What is behind an IPv4 address in the union does not count. */
static void test_equal_compares_the_address_only(void **state)
{
	struct addr a = must_parse("192.0.2.1"), b = a;

	(void)state;
	memset((char *)&b.ip + 4, 0xff, 12);
	assert_true(addr_equal(&a, &b));
}

static void test_unmapped(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"::ffff:127.0.0.1", "127.0.0.1"},
	    {"::ffff:7f00:1", "127.0.0.1"},
	    {"::127.0.0.1", "::127.0.0.1"},
	    {"64:ff9b::127.0.0.1", "64:ff9b::7f00:1"},
	    {"192.0.2.1", "192.0.2.1"},
	    {"::1", "::1"},
	};
	char out[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = must_parse(cases[i].in);

		a.port = 8080;
		a = addr_unmapped(&a);
		assert_int_equal(a.port, 8080);
		addr_format_ip(&a, out);
		assert_string_equal(out, cases[i].out);
	}
}

static void test_network_parse(void **state)
{
	static const struct {
		const char *text, *out;
	} cases[] = {
	    {"10.0.0.0/8", "10.0.0.0/8"},
	    {"0.0.0.0/0", "0.0.0.0/0"},
	    {"::/0", "::/0"},
	    {"::1", "::1/128"},
	    {"192.0.2.1", "192.0.2.1/32"},
	    {"192.0.2.1/32", "192.0.2.1/32"},
	    {"172.16.0.0/12", "172.16.0.0/12"},
	    {"192.0.2.2/31", "192.0.2.2/31"},
	    {"fe80::/10", "fe80::/10"},
	    {"2001:db8::/127", "2001:db8::/127"},
	    {"10.0.0.1/8", NULL},
	    {"172.8.0.0/12", NULL},
	    {"192.0.2.1/31", NULL},
	    {"2001:db8::1/127", NULL},
	    {"1.0.0.0/0", NULL},
	    {"10.0.0.0/33", NULL},
	    {"::/129", NULL},
	    {"::/256", NULL},
	    {"::/1000", NULL},
	    {"10.0.0.0/", NULL},
	    {"10.0.0.0/08", NULL},
	    {"10.0.0.0/+8", NULL},
	    {"10.0.0.0/-1", NULL},
	    {"10.0.0.0/8 ", NULL},
	    {"10.0.0.0/8/8", NULL},
	    {"10/8", NULL},
	    {"/8", NULL},
	    {"", NULL},
	};
	char out[ADDR_TEXT_MAX];
	struct network n;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(network_parse(slice_of(cases[i].text), &n), cases[i].out ? 0 : -1);
		if (cases[i].out) {
			network_format(&n, out);
			assert_string_equal(out, cases[i].out);
		}
	}
	assert_int_equal(network_parse((struct slice){NULL, 0}, &n), -1);
}

static void test_network_contains(void **state)
{
	static const struct {
		const char *network, *addr;
		bool contains;
	} cases[] = {
	    {"10.0.0.0/8", "10.255.255.255", true},
	    {"10.0.0.0/8", "11.0.0.0", false},
	    {"10.0.0.0/8", "9.255.255.255", false},
	    {"172.16.0.0/12", "172.31.255.255", true},
	    {"172.16.0.0/12", "172.32.0.0", false},
	    {"192.0.2.2/31", "192.0.2.3", true},
	    {"192.0.2.2/31", "192.0.2.4", false},
	    {"192.0.2.1", "192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.0", false},
	    {"0.0.0.0/0", "255.255.255.255", true},
	    {"0.0.0.0/0", "::1", false},
	    {"::/0", "ffff::", true},
	    {"::/0", "10.0.0.1", false},
	    {"10.0.0.0/8", "::ffff:10.0.0.1", false}, /* that is what addr_unmapped is for */
	    {"::ffff:0:0/96", "::ffff:10.0.0.1", true},
	    {"fe80::/10", "febf:ffff::1", true},
	    {"fe80::/10", "fec0::", false},
	    {"2001:db8::/127", "2001:db8::1", true},
	    {"2001:db8::/127", "2001:db8::2", false},
	    {"::1", "::1", true},
	};
	struct network n;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = must_parse(cases[i].addr);

		assert_int_equal(network_parse(slice_of(cases[i].network), &n), 0);
		assert_int_equal(network_contains(&n, &a), cases[i].contains);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_parse_looks_at_the_slice_only),
	    cmocka_unit_test(test_format_and_sockaddr),
	    cmocka_unit_test(test_other_families_are_refused),
	    cmocka_unit_test(test_equal),
	    cmocka_unit_test(test_equal_compares_the_address_only),
	    cmocka_unit_test(test_unmapped),
	    cmocka_unit_test(test_network_parse),
	    cmocka_unit_test(test_network_contains),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
