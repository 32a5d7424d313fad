#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attr.h"
#include "net/order.h"

/*
 * Destinations and their sources ("": unreachable), as they come and as they are wanted.  The
 * first ten are the examples of RFC 6724 10.2, that with a home address excepted.
 */
static const struct {
	const char *why;
	const char *to[4], *from[4];
	const char *order; /* of the indexes */
} cases[] = {
    {"matching scope", {"198.51.100.121", "2001:db8:1::1"}, {"169.254.13.78", "2001:db8:1::2"},
	"10"},
    {"matching scope", {"2001:db8:1::1", "198.51.100.121"}, {"fe80::1", "198.51.100.117"}, "10"},
    {"higher precedence", {"10.1.2.3", "2001:db8:1::1"}, {"10.1.2.4", "2001:db8:1::2"}, "10"},
    {"smaller scope", {"2001:db8:1::1", "fe80::1"}, {"2001:db8:1::2", "fe80::2"}, "10"},
    {"smaller scope", {"fe80::1", "2001:db8:1::1"}, {"fe80::2", "2001:db8:1::2"}, "01"},
    {"longest prefix", {"2001:db8:3ffe::1", "2001:db8:1::1"}, {"2001:db8:1::2", "2001:db8:1::2"},
	"10"},
    {"matching label", {"2002:c633:6401::1", "2001:db8:1::1"}, {"2002:c633:6401::2", "fe80::2"},
	"01"},
    {"higher precedence", {"2002:c633:6401::1", "2001:db8:1::1"},
	{"2002:c633:6401::2", "2001:db8:1::2"}, "10"},
    {"matching label", {"2001:db8::1", "2002:c633:6401::1"},
	{"2002:c633:6401::2", "2002:c633:6401::2"}, "10"},
    {"matching label: not a private network to the world", {"2001:db8:1::1", "198.51.100.1"},
	{"fd11::2", "10.1.2.4"}, "10"},
    {"unusable last", {"2001:db8::1", "192.0.2.1"}, {"", "10.0.0.1"}, "10"},
    {"unusable last", {"192.0.2.1", "2001:db8::1"}, {"", "2001:db8::2"}, "10"},
    {"unusable, and still in order", {"192.0.2.1", "2001:db8::1"}, {"", ""}, "10"},
    {"IPv4 stays as it is", {"192.0.2.9", "10.0.0.1", "192.0.2.1"},
	{"10.0.0.2", "10.0.0.2", "10.0.0.2"}, "012"},
    {"loopback", {"127.0.0.1", "::1"}, {"127.0.0.1", "::1"}, "10"},
    {"unique local source, unique local destination", {"2001:db8::1", "fd00::1"},
	{"fd00::2", "fd00::2"}, "10"},
    {"Teredo after IPv4", {"2001::1", "192.0.2.1"}, {"2001::2", "10.0.0.1"}, "10"},
    {"6to4 after IPv4", {"2002::1", "192.0.2.1"}, {"2002::2", "10.0.0.1"}, "10"},
    {"NAT64 before IPv4", {"192.0.2.1", "64:ff9b::c000:201"}, {"10.0.0.1", "2001:db8::2"}, "10"},
    {"site-local", {"fec0::1", "2001:db8::1"}, {"fec0::2", "2001:db8::2"}, "10"},
    {"no longer than the subnet",
	{"2001:db8:0:0:1::1", "2001:db8:0:0:ff00::1", "2001:db8:0:0:ff00::3"},
	{"2001:db8:0:0:ff00::2", "2001:db8:0:0:ff00::2", "2001:db8:0:0:ff00::2"}, "012"},
    {"stable", {"2001:db8::3", "192.0.2.2", "2001:db8::1", "192.0.2.1"},
	{"2001:db8::2", "10.0.0.1", "2001:db8::2", "10.0.0.1"}, "0213"},
};

static struct addr addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(slice_of(text), &a), 0);
	return a;
}

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct order_pair pairs[4] = {0};
		size_t count = 0;
		char order[5] = "";

		for (; count < 4 && cases[i].to[count]; count++) {
			pairs[count].to = addr(cases[i].to[count]);
			pairs[count].to.port = (uint16_t)count;
			pairs[count].reachable = cases[i].from[count][0] != '\0';
			if (pairs[count].reachable)
				pairs[count].from = addr(cases[i].from[count]);
		}
		order_pairs(pairs, count);
		for (size_t k = 0; k < count; k++)
			order[k] = (char)('0' + pairs[k].to.port);
		if (strcmp(order, cases[i].order) != 0)
			fail_msg("%s, row %zu: %s, not %s", cases[i].why, i, order, cases[i].order);
	}
}

/* Any two that are compared are compared the same way in every order. */
static void test_every_order(void **state)
{
	static const char *const to[] = {"2001:db8::3", "192.0.2.2", "2002::1", "fd00::1",
	    "fe80::1", "2001::1", "10.0.0.1", "::1", "127.0.0.1", "169.254.1.1"};
	static const char *const from[] = {"2001:db8::2", "10.0.0.2", "", "fd00::2", "fe80::2",
	    "2001::2", "10.0.0.2", "::1", "127.0.0.1", ""};
	struct order_pair expected[10], pairs[10];

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		expected[i] =
		    (struct order_pair){.to = addr(to[i]), .reachable = from[i][0] != '\0'};
		if (expected[i].reachable)
			expected[i].from = addr(from[i]);
	}
	order_pairs(expected, 10);
	for (unsigned turn = 0; turn < 2000; turn++) {
		memcpy(pairs, expected, sizeof(pairs));
		for (size_t i = 9; i > 0; i--) {
			size_t k = (size_t)rand() % (i + 1);
			struct order_pair swap = pairs[i];

			pairs[i] = pairs[k];
			pairs[k] = swap;
		}
		order_pairs(pairs, 10);
		/* The two IPv4 addresses of global scope have no order. */
		for (size_t i = 0; i < 10; i++) {
			bool either = expected[i].to.family == AF_INET;

			assert_true(either ? pairs[i].to.family == AF_INET
					   : addr_equal(&pairs[i].to, &expected[i].to));
		}
	}
}

static int *sockets(void)
{
	static int count;

	return &count;
}

int socket(int domain, int type, int protocol)
{
	(*sockets())++;
	return (int)syscall(SYS_socket, domain, type, protocol);
}

static void test_sources_are_found(void **state)
{
	struct addr addrs[] = {addr("127.0.0.1"), addr("2001:db8::1"), addr("::1")};
	struct addr same[] = {addr("192.0.2.1"), addr("10.0.0.1"), addr("198.51.100.1")};
	struct addr one[] = {addr("2001:db8::1")};
	struct addr unlike[] = {addr("127.0.0.1"), addr("255.255.255.255")};
	int fd = (int)syscall(SYS_socket, AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool six = fd >= 0 && bind(fd, (const struct sockaddr *)&here, sizeof(here)) == 0;

	(void)state;
	close(fd);
	order_addrs(same, ARRAY_LEN(same));
	order_addrs(one, 1);
	order_addrs(one, 0);
	assert_int_equal(*sockets(), 0);
	assert_int_equal(same[0].ip.v4.s_addr, addr("192.0.2.1").ip.v4.s_addr);
	order_addrs(addrs, ARRAY_LEN(addrs));
	assert_int_equal(*sockets(), 2);
	/* Loopback can be reached, whatever the network of this machine is, and broadcast never. */
	assert_true(addr_equal(&addrs[0], &(struct addr[]){addr(six ? "::1" : "127.0.0.1")}[0]));
	order_addrs(unlike, ARRAY_LEN(unlike));
	assert_true(addr_equal(&unlike[0], &(struct addr[]){addr("127.0.0.1")}[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_every_order),
	    cmocka_unit_test(test_sources_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
