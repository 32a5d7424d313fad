#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "net/addr.h"
#include "policy/acl.h"

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse((struct slice){text, strlen(text)}, &a), 0);
	return a;
}

static struct network network_of(const char *text)
{
	struct network n;

	assert_int_equal(network_parse((struct slice){text, strlen(text)}, &n), 0);
	return n;
}

static void test_nothing_is_allowed_at_first(void **state)
{
	struct acl *acl = acl_new();
	struct addr loopback = addr_of("127.0.0.1");

	(void)state;
	assert_non_null(acl);
	assert_false(acl_allows_client(acl, &loopback));
	assert_false(acl_allows_connect_port(acl, 443));
	assert_false(acl_allows_address(acl, &loopback));
	acl_free(acl);
	acl_free(NULL);
}

static void test_clients(void **state)
{
	static const struct {
		const char *client;
		bool allowed;
	} cases[] = {
	    {"127.0.0.1", true},
	    {"127.255.255.255", true},
	    {"128.0.0.0", false},
	    {"::ffff:127.0.0.1", true},
	    {"::1", true},
	    {"::2", false},
	    {"10.1.2.3", true}, /* its entry is written mapped */
	    {"::ffff:10.1.2.3", true},
	    {"11.0.0.0", false},
	    {"2001:db8::5", true},
	    {"2001:db9::5", false},
	};
	static const char *const networks[] = {
	    "127.0.0.0/8", "::1", "::ffff:10.0.0.0/104", "2001:db8::/32"};
	struct acl *acl = acl_new();

	(void)state;
	for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++) {
		struct network n = network_of(networks[i]);

		assert_int_equal(acl_add_client(acl, &n), 0);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = addr_of(cases[i].client);

		assert_int_equal(acl_allows_client(acl, &a), cases[i].allowed);
	}
	acl_free(acl);
}

/* A network of which the mapped addresses are only a part stays as it is. */
static void test_wide_network(void **state)
{
	struct network all = network_of("::/0");
	struct addr v4 = addr_of("192.0.2.1"), v6 = addr_of("2001:db8::1");
	struct acl *acl = acl_new();

	(void)state;
	assert_int_equal(acl_add_client(acl, &all), 0);
	assert_true(acl_allows_client(acl, &v6));
	assert_false(acl_allows_client(acl, &v4));
	acl_free(acl);
}

static void test_connect_ports(void **state)
{
	static const struct {
		uint16_t port;
		bool allowed;
	} cases[] = {
	    {0, false},
	    {442, false},
	    {443, true},
	    {444, false},
	    {7999, false},
	    {8000, true},
	    {8010, true},
	    {8011, false},
	    {65535, true},
	};
	struct acl *acl = acl_new();

	(void)state;
	assert_int_equal(acl_add_connect_ports(acl, 443, 443), 0);
	assert_int_equal(acl_add_connect_ports(acl, 8000, 8010), 0);
	assert_int_equal(acl_add_connect_ports(acl, 65535, 65535), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(acl_allows_connect_port(acl, cases[i].port), cases[i].allowed);
	acl_free(acl);
}

/* Without any entry: first and last address of each network, and their neighbours. */
static void test_special(void **state)
{
	static const struct {
		const char *address;
		bool allowed;
	} cases[] = {
	    {"0.0.0.0", false},
	    {"0.255.255.255", false},
	    {"1.0.0.0", true},
	    {"10.0.0.1", true}, /* private use */
	    {"172.16.0.1", true},
	    {"192.168.0.1", true},
	    {"fd12:3456::1", true},
	    {"100.63.255.255", true},
	    {"100.64.0.0", false},
	    {"100.100.100.200", false},
	    {"100.127.255.255", false},
	    {"100.128.0.0", true},
	    {"126.255.255.255", true},
	    {"127.0.0.1", false},
	    {"127.255.255.255", false},
	    {"128.0.0.0", true},
	    {"168.63.129.16", false},
	    {"168.63.129.17", true},
	    {"169.253.255.255", true},
	    {"169.254.169.254", false},
	    {"169.255.0.0", true},
	    {"192.0.0.0", false},
	    {"192.0.0.192", false},
	    {"192.0.1.0", true},
	    {"192.0.2.1", false},
	    {"192.0.3.0", true},
	    {"192.88.99.1", false},
	    {"198.17.255.255", true},
	    {"198.18.0.0", false},
	    {"198.19.255.255", false},
	    {"198.20.0.0", true},
	    {"198.51.100.1", false},
	    {"203.0.113.1", false},
	    {"203.0.114.1", true},
	    {"223.255.255.255", true},
	    {"224.0.0.0", false},
	    {"239.255.255.250", false},
	    {"240.0.0.1", false},
	    {"255.255.255.255", false},
	    {"::", false},
	    {"::1", false},
	    {"::127.0.0.1", false},
	    {"::8.8.8.8", false},
	    /* mapped, translated, tunnelled: judged by what they carry */
	    {"::ffff:127.0.0.1", false},
	    {"::ffff:8.8.8.8", true},
	    {"::ffff:10.0.0.1", true},
	    {"::ffff:0:127.0.0.1", false},
	    {"::ffff:0:8.8.8.8", true},
	    {"64:ff9b::127.0.0.1", false},
	    {"64:ff9b::169.254.169.254", false},
	    {"64:ff9b::8.8.8.8", true},
	    {"64:ff9b:1::8.8.8.8", false},
	    {"2002:7f00:1::1", false},
	    {"2002:a9fe:a9fe::", false},
	    {"2002:808:808::1", true},
	    {"2001::80ff:fffe", false}, /* 127.0.0.1, inverted */
	    {"2001::f7f7:f7f7", true},  /* 8.8.8.8 */
	    {"100::1", false},
	    {"100:0:0:1::1", false},
	    {"100:0:0:2::1", true},
	    {"2001:2::1", false},
	    {"2001:10::1", false},
	    {"2001:20::1", true},
	    {"2001:db8::1", false},
	    {"2001:db9::1", true},
	    {"2001:4860:4860::8888", true},
	    {"3fff::1", false},
	    {"3fff:1000::1", true},
	    {"5f00::1", false},
	    {"fd00:ec2::254", false},
	    {"fd00:ec2::253", true},
	    {"fd00:42::42", false},
	    {"fd00:c1::a9fe:a9fe", false},
	    {"fd20:ce::254", false},
	    {"fe7f::1", true},
	    {"fe80::1", false},
	    {"febf::1", false},
	    {"fec0::1", false},
	    {"ff02::1", false},
	};
	struct acl *acl = acl_new();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = addr_of(cases[i].address);

		a.port = 80;
		if (acl_allows_address(acl, &a) != cases[i].allowed)
			fail_msg("%s is judged wrongly", cases[i].address);
	}
	acl_free(acl);
}

static void test_exempt(void **state)
{
	static const struct {
		const char *entry, *address;
		bool allowed;
	} cases[] = {
	    {"127.0.0.0/8", "127.0.0.1", true},
	    {"127.0.0.0/8", "::ffff:127.0.0.1", true},
	    {"::ffff:127.0.0.0/104", "127.0.0.1", true},
	    {"127.0.0.0/8", "64:ff9b::127.0.0.1", true},
	    {"127.0.0.0/8", "169.254.169.254", false},
	    {"127.0.0.0/8", "::1", false},
	    {"::1", "::1", true},
	    {"64:ff9b::/96", "64:ff9b::127.0.0.1", true},
	    {"64:ff9b::/96", "127.0.0.1", false},
	    {"0.0.0.0/0", "255.255.255.255", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct acl *acl = acl_new();
		struct network entry = network_of(cases[i].entry);
		struct addr a = addr_of(cases[i].address);

		assert_int_equal(acl_add_address(acl, &entry), 0);
		if (acl_allows_address(acl, &a) != cases[i].allowed)
			fail_msg("%s with %s is judged wrongly", cases[i].address, cases[i].entry);
		acl_free(acl);
	}
}

static void test_no_family(void **state)
{
	struct network all = network_of("::/0");
	struct addr nothing = {.family = AF_UNSPEC};
	struct acl *acl = acl_new();

	(void)state;
	assert_int_equal(acl_add_address(acl, &all), 0);
	assert_false(acl_allows_address(acl, &nothing));
	acl_free(acl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing_is_allowed_at_first),
	    cmocka_unit_test(test_clients),
	    cmocka_unit_test(test_wide_network),
	    cmocka_unit_test(test_connect_ports),
	    cmocka_unit_test(test_special),
	    cmocka_unit_test(test_exempt),
	    cmocka_unit_test(test_no_family),
	};

	return cmocka_run_group_tests_name("acl", tests, NULL, NULL);
}
