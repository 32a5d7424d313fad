#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "net/addr.h"
#include "policy/special.h"

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(slice_of(text), &a), 0);
	return a;
}

#define NONE SPECIAL_NONE
#define PRIVATE SPECIAL_PRIVATE
#define LOOPBACK SPECIAL_LOOPBACK
#define LINK_LOCAL SPECIAL_LINK_LOCAL
#define METADATA SPECIAL_METADATA
#define RESERVED SPECIAL_RESERVED

/* First and last address of each block of IANA's registries and of ours, and their neighbours. */
static const struct {
	const char *address;
	enum special kind;
} cases[] = {
    {"0.0.0.0", RESERVED},
    {"0.255.255.255", RESERVED},
    {"1.0.0.0", NONE},
    {"9.255.255.255", NONE},
    {"10.0.0.0", PRIVATE},
    {"10.255.255.255", PRIVATE},
    {"11.0.0.0", NONE},
    {"100.63.255.255", NONE},
    {"100.64.0.0", RESERVED},
    {"100.100.100.200", METADATA},
    {"100.127.255.255", RESERVED},
    {"100.128.0.0", NONE},
    {"126.255.255.255", NONE},
    {"127.0.0.0", LOOPBACK},
    {"127.255.255.255", LOOPBACK},
    {"128.0.0.0", NONE},
    {"168.63.129.15", NONE},
    {"168.63.129.16", METADATA},
    {"168.63.129.17", NONE},
    {"169.253.255.255", NONE},
    {"169.254.0.0", LINK_LOCAL},
    {"169.254.169.254", METADATA},
    {"169.254.170.2", METADATA},
    {"169.254.255.255", LINK_LOCAL},
    {"169.255.0.0", NONE},
    {"172.15.255.255", NONE},
    {"172.16.0.0", PRIVATE},
    {"172.31.255.255", PRIVATE},
    {"172.32.0.0", NONE},
    {"191.255.255.255", NONE},
    {"192.0.0.0", RESERVED},
    {"192.0.0.8", RESERVED},
    {"192.0.0.9", RESERVED},
    {"192.0.0.10", RESERVED},
    {"192.0.0.170", RESERVED},
    {"192.0.0.192", METADATA},
    {"192.0.0.255", RESERVED},
    {"192.0.1.0", NONE},
    {"192.0.2.0", RESERVED},
    {"192.0.2.255", RESERVED},
    {"192.0.3.0", NONE},
    {"192.31.195.255", NONE},
    {"192.31.196.0", RESERVED},
    {"192.31.196.255", RESERVED},
    {"192.31.197.0", NONE},
    {"192.52.192.255", NONE},
    {"192.52.193.0", RESERVED},
    {"192.52.193.255", RESERVED},
    {"192.52.194.0", NONE},
    {"192.88.98.255", NONE},
    {"192.88.99.0", RESERVED},
    {"192.88.99.2", RESERVED},
    {"192.88.99.255", RESERVED},
    {"192.88.100.0", NONE},
    {"192.167.255.255", NONE},
    {"192.168.0.0", PRIVATE},
    {"192.168.255.255", PRIVATE},
    {"192.169.0.0", NONE},
    {"192.175.47.255", NONE},
    {"192.175.48.0", RESERVED},
    {"192.175.48.255", RESERVED},
    {"192.175.49.0", NONE},
    {"198.17.255.255", NONE},
    {"198.18.0.0", RESERVED},
    {"198.19.255.255", RESERVED},
    {"198.20.0.0", NONE},
    {"198.51.99.255", NONE},
    {"198.51.100.0", RESERVED},
    {"198.51.100.255", RESERVED},
    {"198.51.101.0", NONE},
    {"203.0.112.255", NONE},
    {"203.0.113.0", RESERVED},
    {"203.0.113.255", RESERVED},
    {"203.0.114.0", NONE},
    {"223.255.255.255", NONE},
    {"224.0.0.0", RESERVED},
    {"239.255.255.250", RESERVED},
    {"240.0.0.0", RESERVED},
    {"255.255.255.254", RESERVED},
    {"255.255.255.255", RESERVED},
    {"::", RESERVED},
    {"::1", LOOPBACK},
    {"::2", RESERVED},
    {"::127.0.0.1", RESERVED},
    {"::8.8.8.8", RESERVED},
    {"64:ff9a:ffff::1", NONE},
    {"64:ff9b:1::", RESERVED},
    {"64:ff9b:1::8.8.8.8", RESERVED},
    {"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", RESERVED},
    {"64:ff9b:2::", NONE},
    {"100::", RESERVED},
    {"100::ffff:ffff:ffff:ffff", RESERVED},
    {"100:0:0:1::1", RESERVED},
    {"100:0:0:2::", NONE},
    {"2000:ffff:ffff::", NONE},
    {"2001:1::1", RESERVED},
    {"2001:1::2", RESERVED},
    {"2001:1::3", RESERVED},
    {"2001:2::1", RESERVED},
    {"2001:3::1", RESERVED},
    {"2001:4:112::1", RESERVED},
    {"2001:10::1", RESERVED},
    {"2001:20::1", RESERVED},
    {"2001:30::1", RESERVED},
    {"2001:1ff:ffff::1", RESERVED},
    {"2001:200::1", NONE},
    {"2001:db7:ffff::1", NONE},
    {"2001:db8::", RESERVED},
    {"2001:db8:ffff:ffff::1", RESERVED},
    {"2001:db9::", NONE},
    {"2001:4860:4860::8888", NONE},
    {"2620:4f:7fff::1", NONE},
    {"2620:4f:8000::1", RESERVED},
    {"2620:4f:8001::1", NONE},
    {"3ffe:ffff::1", NONE},
    {"3fff::", RESERVED},
    {"3fff:fff:ffff::1", RESERVED},
    {"3fff:1000::", NONE},
    {"5eff:ffff::1", NONE},
    {"5f00::", RESERVED},
    {"5f00:ffff::1", RESERVED},
    {"5f01::", NONE},
    {"fbff:ffff::1", NONE},
    {"fc00::", PRIVATE},
    {"fd00:ec2::253", PRIVATE},
    {"fd00:ec2::254", METADATA},
    {"fd00:ec2::23", METADATA},
    {"fd00:42::42", METADATA},
    {"fd00:c1::a9fe:a9fe", METADATA},
    {"fd20:ce::254", METADATA},
    {"fdff:ffff::1", PRIVATE},
    {"fe00::", NONE},
    {"fe7f::1", NONE},
    {"fe80::1", LINK_LOCAL},
    {"febf::1", LINK_LOCAL},
    {"fec0::1", RESERVED},
    {"feff::1", RESERVED},
    {"ff00::", RESERVED},
    {"ff02::1", RESERVED},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED},
    /* mapped, translated, tunnelled: by what they carry */
    {"::ffff:127.0.0.1", LOOPBACK},
    {"::ffff:10.0.0.1", PRIVATE},
    {"::ffff:8.8.8.8", NONE},
    {"::ffff:0:127.0.0.1", LOOPBACK},
    {"::ffff:0:8.8.8.8", NONE},
    {"64:ff9b::127.0.0.1", LOOPBACK},
    {"64:ff9b::192.168.0.1", PRIVATE},
    {"64:ff9b::169.254.169.254", METADATA},
    {"64:ff9b::8.8.8.8", NONE},
    {"64:ff9b:0:0:0:1::1", NONE},
    {"2002:7f00:1::1", LOOPBACK},
    {"2002:a9fe:a9fe::", METADATA},
    {"2002:c0a8:1::1", PRIVATE},
    {"2002:808:808::1", NONE},
    {"2001:0:808:808::80ff:fffe", LOOPBACK}, /* 127.0.0.1, inverted */
    {"2001:0:808:808::f7f7:f7f7", NONE},     /* 8.8.8.8 */
    {"2001:0:7f00:1::f7f7:f7f7", RESERVED},  /* by way of a server that is special */
    {"2001::f7f7:f7f7", RESERVED},
};

static void test_kinds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a = addr_of(cases[i].address);
		enum special kind = special_of(&a);

		if (kind != cases[i].kind)
			fail_msg("%s is %s, not %s", cases[i].address,
			    kind ? special_name(kind) : "ordinary",
			    cases[i].kind ? special_name(cases[i].kind) : "ordinary");
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		unsigned kinds;
	} names[] = {
	    {"private", PRIVATE},
	    {"loopback", LOOPBACK},
	    {"link-local", LINK_LOCAL},
	    {"metadata", METADATA},
	    {"special", SPECIAL_ALL},
	    {"reserved", 0},
	    {"Private", 0},
	    {"", 0},
	    {"special ", 0},
	};
	struct addr none = {.family = AF_UNSPEC};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct slice name = {names[i].name, strlen(names[i].name)};

		assert_int_equal(special_parse(name), names[i].kinds);
		if (names[i].kinds != 0)
			assert_string_equal(special_name(names[i].kinds), names[i].name);
	}
	assert_int_equal(special_of(&none), RESERVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kinds),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("special", tests, NULL, NULL);
}
