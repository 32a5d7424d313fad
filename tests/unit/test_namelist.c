#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "policy/namelist.h"

/* "a.b @c.d " for a name and an exception. */
static int collect(struct slice name, bool exception, void *arg)
{
	struct text *out = arg;

	text_add_string(out, exception ? "@" : "");
	text_add_slice(out, name);
	text_add_string(out, " ");
	return 0;
}

static const struct {
	const char *list, *names;
	uint64_t unknown, first;
} cases[] = {
    /* plain */
    {"", "", 0, 0},
    {"a.example", "a.example ", 0, 0},
    {"a.example\nb.example\n", "a.example b.example ", 0, 0},
    {"  a.example \t\r\n\r\n\n", "a.example ", 0, 0},
    {"\xef\xbb\xbf"
     "a.example\n",
	"a.example ", 0, 0},
    {"A.Example.\n", "a.example ", 0, 0},
    {".a.example\n*.b.example\n", "a.example b.example ", 0, 0},
    {"zip\n", "zip ", 0, 0},
    {"a_b-c.xn--bcher-kva.example\n", "a_b-c.xn--bcher-kva.example ", 0, 0},
    {"a.example b.example\n", "", 1, 1},
    {"a.example\nb\xc3\xbc.example\n..\n", "a.example ", 2, 2},
    {"-\n", "- ", 0, 0},
    {".\n", "", 1, 1},
    {"*.\n*\na..b\n.a.\n", "a ", 3, 1},
    {"1.2.3.4\n1.2\na.0x1f\n::1\n2001:db8::1\n", "", 5, 1},
    {"0xa.example\n1.example\na.0xg\n", "0xa.example 1.example a.0xg ", 0, 0},
    {"http://a.example/\na.example/path\na.example:80\n", "", 3, 1},
    {"a.example##.ad\nexample.*\n/ads/\n", "", 3, 1},
    /* comments */
    {"# a\n! b\n; c\n#\n!\n;\n[Adblock Plus 2.0]\n[x]\n##.ad\n", "", 0, 0},
    {"a.example # why\nb.example #why\nc.example\t#\n", "a.example b.example c.example ", 0, 0},
    {"a.example#why\n", "", 1, 1},
    {"[x\n", "", 1, 1},
    /* hosts */
    {"0.0.0.0 a.example\n127.0.0.1\tb.example c.example\n:: d.example\n::1 e.example\n",
	"a.example b.example c.example d.example e.example ", 0, 0},
    {"127.0.0.53 a.example # b.example\n", "a.example ", 0, 0},
    {"127.0.0.1 localhost\n127.0.0.1 localhost.localdomain local\n255.255.255.255 broadcasthost\n"
     "::1 localhost ip6-localhost\nfe80::1%lo0 localhost\nff02::1 ip6-allnodes\n0.0.0.0 0.0.0.0\n",
	"", 0, 0},
    {"192.168.1.1 nas.home\n", "", 1, 1},
    {"0.0.0.0 a.example b..c d.example\n", "a.example d.example ", 1, 1},
    {"0.0.0.0\n", "", 1, 1},
    {"0.0.0.0 A.EXAMPLE.\r\n", "a.example ", 0, 0},
    /* dnsmasq */
    {"address=/a.example/\naddress=/b.example/0.0.0.0\naddress=/c.example/::\naddress=/d.example/"
     "#\n",
	"a.example b.example c.example d.example ", 0, 0},
    {"local=/a.example/\nserver=/b.example/\nserver=/c.example/#\n",
	"a.example b.example @c.example ", 0, 0},
    {"address=/a.example/b.example/127.0.0.1\n", "a.example b.example ", 0, 0},
    {"address=/a.example/192.0.2.1\nserver=/a.example/192.0.2.1\nserver=192.0.2.1\n"
     "address=//\naddress=/a.example\naddress=/#/\naddress=\naddress=/\nlocal=/x/::\n",
	"", 9, 1},
    {"no-resolv\nconf-dir=/etc/x\n", "no-resolv ", 1, 2},
    /* adblock */
    {"||a.example^\n||B.example^|\n||*.c.example^\n", "a.example b.example c.example ", 0, 0},
    {"@@||a.example^\n@@||b.example^|\n@@c.example\n@@.d.example\n",
	"@a.example @b.example @c.example @d.example ", 0, 0},
    {"||a.example^$third-party\n||a.example\n||a.example/x^\n||a*.example^\n||^\n@@\n@@||\n"
     "|http://a.example^\n@@@@a.example\n",
	"", 9, 1},
};

static void feed(const char *list, size_t len, size_t piece, struct text *out, struct namelist *n)
{
	*n = (struct namelist){.each = collect, .arg = out};
	text_clear(out);
	text_add_string(out, "");
	for (size_t at = 0; at < len; at += piece)
		assert_int_equal(
		    namelist_feed(n, list + at, len - at < piece ? len - at : piece), 0);
	assert_int_equal(namelist_end(n), 0);
}

/* In one piece, and in pieces of every size. */
static void test_formats(void **state)
{
	struct namelist n;
	struct text out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].list);

		for (size_t piece = 1; piece <= len + 1; piece++) {
			feed(cases[i].list, len, piece, &out, &n);
			if (strcmp(out.ptr ? out.ptr : "", cases[i].names) != 0)
				fail_msg("%s: %s", cases[i].list, out.ptr);
			if (n.unknown != cases[i].unknown || n.first_unknown != cases[i].first)
				fail_msg("%s: %llu unknown, first %llu", cases[i].list,
				    (unsigned long long)n.unknown,
				    (unsigned long long)n.first_unknown);
		}
	}
	text_done(&out);
}

static void test_bytes_of_every_kind(void **state)
{
	static const char list[] = "a.example\nb\0c.example\n\0\n# \0 \xff\nd.example\0\ne.example";
	struct namelist n;
	struct text out = {0};

	(void)state;
	feed(list, sizeof(list) - 1, sizeof(list), &out, &n);
	assert_string_equal(out.ptr, "a.example e.example ");
	assert_int_equal(n.unknown, 3);
	assert_int_equal(n.first_unknown, 2);
	text_done(&out);
}

/* A line may be NAMELIST_LINE_MAX long, however it comes. */
static void test_long_lines(void **state)
{
	struct namelist n;
	struct text list = {0}, out = {0};

	(void)state;
	for (size_t len = NAMELIST_LINE_MAX - 1; len <= NAMELIST_LINE_MAX + 2; len++) {
		bool fits = len <= NAMELIST_LINE_MAX;

		text_clear(&list);
		text_add_string(&list, "a.example\nb.example #");
		while (list.len < len + strlen("a.example\n"))
			text_add_string(&list, "x");
		text_add_string(&list, "\nc.example\n");
		for (size_t piece = 1; piece <= 2 * list.len; piece = piece * 3 + 1) {
			feed(list.ptr, list.len, piece, &out, &n);
			assert_string_equal(out.ptr,
			    fits ? "a.example b.example c.example " : "a.example c.example ");
			assert_int_equal(n.unknown, !fits);
			assert_int_equal(n.first_unknown, fits ? 0 : 2);
		}
	}
	text_done(&list);
	text_done(&out);
}

static void test_long_names(void **state)
{
	char label[NAMELIST_NAME_MAX + 3], out[NAMELIST_NAME_MAX + 1];

	(void)state;
	memset(label, 'a', sizeof(label));
	assert_int_equal(namelist_read_name((struct slice){label, 63}, out), 63);
	assert_int_equal(namelist_read_name((struct slice){label, 64}, out), 0);
	for (size_t i = 63; i < sizeof(label); i += 64)
		label[i] = '.';
	assert_int_equal(namelist_read_name((struct slice){label, 253}, out), 253);
	assert_int_equal(strlen(out), 253);
	assert_int_equal(namelist_read_name((struct slice){label, 254}, out), 0);
	label[253] = '.';
	assert_int_equal(namelist_read_name((struct slice){label, 254}, out), 253);
	assert_int_equal(namelist_read_name((struct slice){label, 0}, out), 0);
	assert_int_equal(namelist_read_name((struct slice){label + 1, 63}, out), 62);
}

static int refuse(struct slice name, bool exception, void *arg)
{
	(void)name;
	(void)exception;
	++*(int *)arg;
	return -1;
}

static void test_ends_when_told_to(void **state)
{
	int calls = 0;
	struct namelist n = {.each = refuse, .arg = &calls};

	(void)state;
	assert_int_equal(namelist_feed(&n, "# x\na.example\nb.example\n", 24), -1);
	assert_int_equal(calls, 1);
	n = (struct namelist){.each = refuse, .arg = &calls};
	assert_int_equal(namelist_feed(&n, "0.0.0.0 a.example b.example", 27), 0);
	assert_int_equal(namelist_end(&n), -1);
	assert_int_equal(calls, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_formats),
	    cmocka_unit_test(test_bytes_of_every_kind),
	    cmocka_unit_test(test_long_lines),
	    cmocka_unit_test(test_long_names),
	    cmocka_unit_test(test_ends_when_told_to),
	};

	return cmocka_run_group_tests_name("namelist", tests, NULL, NULL);
}
