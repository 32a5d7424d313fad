#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "net/source.h"

static const struct source none;

static struct source must_parse(const char *text)
{
	struct source s;

	if (source_parse(slice_of(text), &s) != 0)
		fail_msg("%s is not read", text);
	return s;
}

static void test_read_and_written(void **state)
{
	static const struct {
		const char *text, *written;
	} good[] = {
	    {"192.0.2.7", "192.0.2.7"},
	    {"192.0.2.7/32", "192.0.2.7"},
	    {"192.0.2.0/24", "192.0.2.0/24"},
	    {"2001:DB8::1", "2001:db8::1"},
	    {"2001:db8:1::/64", "2001:db8:1::/64"},
	    {"::1", "::1"},
	    {"192.0.2.7, 2001:db8:1::/64", "192.0.2.7, 2001:db8:1::/64"},
	    {"2001:db8::1 ,192.0.2.0/24", "192.0.2.0/24, 2001:db8::1"},
	    {"2001:db8:ffff:ffff:ffff:ffff:ffff:fffe/127,192.255.255.254/31",
		"192.255.255.254/31, 2001:db8:ffff:ffff:ffff:ffff:ffff:fffe/127"},
	};
	static const char *const bad[] = {"", "x", "192.0.2.7/24", "2001:db8:1::1/64", "0.0.0.0",
	    "::", "0.0.0.0/0", "::/0", "224.0.0.1", "ff02::1", "fe80::1", "fe80::1%1",
	    "192.0.2.7:80", "[2001:db8::1]", "192.0.2.0/33", "192.0.2.0/", ",", "192.0.2.7,",
	    ",192.0.2.7", "192.0.2.7, 192.0.2.8", "::1, ::2", "192.0.2.7 ::1",
	    "192.0.2.7, ::1, ::2"};
	char out[SOURCE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct source s = must_parse(good[i].text);

		source_format(&s, out);
		assert_string_equal(out, good[i].written);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct source s;

		if (source_parse(slice_of(bad[i]), &s) == 0)
			fail_msg("%s is read", bad[i]);
	}
	source_format(&none, out);
	assert_string_equal(out, "");
}

static void test_equal(void **state)
{
	static const char *const texts[] = {"192.0.2.7", "192.0.2.8", "192.0.2.0/24",
	    "192.0.2.0/25", "2001:db8::/64",
	    "2001:db8::", "192.0.2.7, 2001:db8::", "192.0.2.7, 2001:db8::/64"};

	(void)state;
	assert_true(source_equal(&none, &none));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct source a = must_parse(texts[i]);

		assert_false(source_equal(&a, &none));
		assert_false(source_equal(&none, &a));
		for (size_t j = 0; j < ARRAY_LEN(texts); j++) {
			struct source b = must_parse(texts[j]);

			assert_int_equal(source_equal(&a, &b), i == j);
		}
	}
}

static void test_keep(void **state)
{
	struct source v6 = must_parse("2001:db8:1::/64"), v4 = must_parse("192.0.2.7"),
		      both = must_parse("192.0.2.7, ::1");
	const struct addr mixed[] = {{.family = AF_INET6, .port = 1},
	    {.family = AF_INET, .port = 2}, {.family = AF_INET6, .port = 3}};
	struct addr addrs[3];

	(void)state;
	memcpy(addrs, mixed, sizeof(mixed));
	assert_int_equal(source_keep(&none, addrs, 3), 3);
	assert_int_equal(addrs[1].port, 2);
	assert_int_equal(source_keep(&v6, addrs, 3), 2);
	assert_int_equal(addrs[0].port, 1);
	assert_int_equal(addrs[1].port, 3);
	assert_int_equal(source_keep(&v4, addrs, 2), 0);
	memcpy(addrs, mixed, sizeof(mixed));
	assert_int_equal(source_keep(&v4, addrs, 3), 1);
	assert_int_equal(addrs[0].port, 2);
	memcpy(addrs, mixed, sizeof(mixed));
	assert_int_equal(source_keep(&both, addrs, 3), 3);
	assert_null(source_for(&v4, AF_INET6));
	assert_ptr_equal(source_for(&both, AF_INET6), &both.v6);
	assert_ptr_equal(source_for(&both, AF_INET), &both.v4);
}

/* Never outside, and every bit behind the prefix is seen both ways. */
static void test_pick(void **state)
{
	static const char *const texts[] = {"192.0.2.7", "192.0.2.0/24", "192.0.2.16/29",
	    "2001:db8::1", "2001:db8:1::/64", "2001:db8:1:20::/59", "2001:db8::fffe/127"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct source s = must_parse(texts[i]);
		const struct network *from = source_for(&s, AF_INET);
		size_t len = from ? 4 : 16;
		uint8_t set[16] = {0}, clear[16] = {0};

		from = from ? from : source_for(&s, AF_INET6);
		for (int n = 0; n < 200; n++) {
			struct addr a = source_pick(from);
			const uint8_t *ip = (const uint8_t *)&a.ip;

			assert_true(network_contains(from, &a));
			assert_int_equal(a.port, 0);
			for (size_t b = 0; b < len; b++) {
				set[b] |= ip[b];
				clear[b] |= (uint8_t)~ip[b];
			}
		}
		for (size_t bit = from->bits; bit < 8 * len; bit++)
			assert_true(set[bit / 8] & clear[bit / 8] & 0x80 >> bit % 8);
	}
}

/* It takes no privilege, no interface has to have the address, and no port is taken yet. */
static void test_bind(void **state)
{
	static const struct {
		const char *text;
		sa_family_t family;
	} cases[] = {{"198.51.100.7", AF_INET}, {"198.51.100.0/24", AF_INET},
	    {"2001:db8::/64", AF_INET6}, {"198.51.100.7, 2001:db8::/64", AF_INET},
	    {"198.51.100.7, 2001:db8::/64", AF_INET6}};
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(9);
		for (int i = 0; i < (int)ARRAY_LEN(cases); i++) {
			struct source s = must_parse(cases[i].text);
			struct sockaddr_storage sa;
			socklen_t len = sizeof(sa);
			struct addr a;
			int fd = socket(cases[i].family, SOCK_STREAM, 0);

			if (fd < 0 && errno == EAFNOSUPPORT) /* a machine without IPv6 */
				continue;
			if (source_bind(&s, cases[i].family, fd) != 0 ||
			    getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
			    addr_from_sockaddr((const struct sockaddr *)&sa, &a) != 0 ||
			    !network_contains(source_for(&s, cases[i].family), &a) || a.port != 0)
				_exit(1 + i);
			close(fd);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(source_bind(&none, AF_INET, -1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read_and_written),
	    cmocka_unit_test(test_equal),
	    cmocka_unit_test(test_keep),
	    cmocka_unit_test(test_pick),
	    cmocka_unit_test(test_bind),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
