#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "http/target.h"

#define NAME_63 "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxy"
#define NAME_253 NAME_63 "." NAME_63 "." NAME_63 "." NAME_61
#define NAME_61 "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvw"

/* Parse a copy of exactly its size, so that a look behind its end is seen. */
static enum fail parse_copy(
    const char *method, struct slice text, struct target *ret_target, const char **ret_why)
{
	char *copy = malloc(text.len > 0 ? text.len : 1);
	enum fail fail;

	assert_non_null(copy);
	memcpy(copy, text.ptr, text.len);
	fail = target_parse(slice_of(method), (struct slice){copy, text.len}, ret_target, ret_why);
	free(copy);
	return fail;
}

static void assert_slice(struct slice s, const char *text)
{
	if (!slice_is(s, text))
		fail_msg("\"%.*s\" is not \"%s\"", (int)s.len, s.ptr, text);
}

static const struct {
	const char *method, *text;
	enum target_form form;
	const char *host;
	uint16_t port;
	const char *authority, *path;
} good[] = {
    {"GET", "http://example.com/", TARGET_ABSOLUTE, "example.com", 80, "example.com", "/"},
    {"GET", "HTTP://Example.COM/A", TARGET_ABSOLUTE, "example.com", 80, "Example.COM", "/A"},
    {"GET", "hTtP://h/", TARGET_ABSOLUTE, "h", 80, "h", "/"},
    {"PROPFIND", "http://h:8080/x", TARGET_ABSOLUTE, "h", 8080, "h:8080", "/x"},
    /* an empty path, with and without a query */
    {"GET", "http://h", TARGET_ABSOLUTE, "h", 80, "h", "/"},
    {"GET", "http://h?q=/a", TARGET_ABSOLUTE, "h", 80, "h", "?q=/a"},
    {"GET", "http://h:81?", TARGET_ABSOLUTE, "h", 81, "h:81", "?"},
    {"GET", "http://h/?q@x:1", TARGET_ABSOLUTE, "h", 80, "h", "/?q@x:1"},
    {"GET", "http://h//a/../b//", TARGET_ABSOLUTE, "h", 80, "h", "//a/../b//"},
    /* clients send these raw in path and query; they go on byte for byte */
    {"GET", "http://h/<>^`{|}[]\"?<>^`{|}[]\"", TARGET_ABSOLUTE, "h", 80, "h",
	"/<>^`{|}[]\"?<>^`{|}[]\""},
    {"GET", "http://h/%00%zz%", TARGET_ABSOLUTE, "h", 80, "h", "/%00%zz%"},
    {"GET", "http://h/http://g/", TARGET_ABSOLUTE, "h", 80, "h", "/http://g/"},
    /* userinfo is dropped */
    {"GET", "http://user@h/", TARGET_ABSOLUTE, "h", 80, "h", "/"},
    {"GET", "http://user:p%40ss;w@h:81/", TARGET_ABSOLUTE, "h", 81, "h:81", "/"},
    {"GET", "http://@h/", TARGET_ABSOLUTE, "h", 80, "h", "/"},
    {"GET", "http://good.example:80@evil/", TARGET_ABSOLUTE, "evil", 80, "evil", "/"},
    /* names */
    {"GET", "http://a_b.c-d.x1/", TARGET_ABSOLUTE, "a_b.c-d.x1", 80, "a_b.c-d.x1", "/"},
    {"GET", "http://Host.:8080/", TARGET_ABSOLUTE, "host", 8080, "Host.:8080", "/"},
    {"GET", "http://1.example/", TARGET_ABSOLUTE, "1.example", 80, "1.example", "/"},
    {"GET", "http://0xg/", TARGET_ABSOLUTE, "0xg", 80, "0xg", "/"},
    {"GET", "http://" NAME_253 "/", TARGET_ABSOLUTE, NAME_253, 80, NAME_253, "/"},
    {"GET", "http://" NAME_253 "./", TARGET_ABSOLUTE, NAME_253, 80, NAME_253 ".", "/"},
    /* addresses */
    {"GET", "http://127.0.0.1/", TARGET_ABSOLUTE, "127.0.0.1", 80, "127.0.0.1", "/"},
    {"GET", "http://127.0.0.1./", TARGET_ABSOLUTE, "127.0.0.1", 80, "127.0.0.1.", "/"},
    {"GET", "http://127.1/", TARGET_ABSOLUTE, "127.1", 80, "127.1", "/"},
    {"GET", "http://2130706433/", TARGET_ABSOLUTE, "2130706433", 80, "2130706433", "/"},
    {"GET", "http://0X7F000001:81/", TARGET_ABSOLUTE, "0x7f000001", 81, "0X7F000001:81", "/"},
    {"CONNECT", "0177.0.0.1:443", TARGET_AUTHORITY, "0177.0.0.1", 443, "0177.0.0.1:443", ""},
    {"GET", "http://[::1]/", TARGET_ABSOLUTE, "::1", 80, "[::1]", "/"},
    {"GET", "http://[2001:DB8::A]:81", TARGET_ABSOLUTE, "2001:db8::a", 81, "[2001:DB8::A]:81", "/"},
    {"GET", "http://[::ffff:1.2.3.4]/", TARGET_ABSOLUTE, "::ffff:1.2.3.4", 80, "[::ffff:1.2.3.4]",
	"/"},
    /* ports */
    {"GET", "http://h:/", TARGET_ABSOLUTE, "h", 80, "h:", "/"},
    {"GET", "http://[::1]:/", TARGET_ABSOLUTE, "::1", 80, "[::1]:", "/"},
    {"GET", "http://h:1/", TARGET_ABSOLUTE, "h", 1, "h:1", "/"},
    {"GET", "http://h:00080/", TARGET_ABSOLUTE, "h", 80, "h:00080", "/"},
    {"GET", "http://h:65535/", TARGET_ABSOLUTE, "h", 65535, "h:65535", "/"},
    /* OPTIONS, RFC 9112 3.2.4 */
    {"OPTIONS", "*", TARGET_ASTERISK, "", 0, "", "*"},
    {"OPTIONS", "http://h", TARGET_ABSOLUTE, "h", 80, "h", "*"},
    {"OPTIONS", "http://h:81", TARGET_ABSOLUTE, "h", 81, "h:81", "*"},
    {"OPTIONS", "http://h/", TARGET_ABSOLUTE, "h", 80, "h", "/"},
    {"OPTIONS", "http://h?q", TARGET_ABSOLUTE, "h", 80, "h", "?q"},
    {"OPTIONS", "/a", TARGET_ORIGIN, "", 0, "", "/a"},
    /* CONNECT */
    {"CONNECT", "Example.com:443", TARGET_AUTHORITY, "example.com", 443, "Example.com:443", ""},
    {"CONNECT", "h.:00443", TARGET_AUTHORITY, "h", 443, "h.:00443", ""},
    {"CONNECT", "127.0.0.1:22", TARGET_AUTHORITY, "127.0.0.1", 22, "127.0.0.1:22", ""},
    {"CONNECT", "[::1]:443", TARGET_AUTHORITY, "::1", 443, "[::1]:443", ""},
    /* the proxy itself is asked; methods are case-sensitive */
    {"GET", "/", TARGET_ORIGIN, "", 0, "", "/"},
    {"GET", "//h/a?b", TARGET_ORIGIN, "", 0, "", "//h/a?b"},
    {"connect", "http://h/", TARGET_ABSOLUTE, "h", 80, "h", "/"},
    {"options", "http://h", TARGET_ABSOLUTE, "h", 80, "h", "/"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct target t;
		const char *why = "";

		if (target_parse(slice_of(good[i].method), slice_of(good[i].text), &t, &why) !=
		    FAIL_NONE)
			fail_msg("%s %s: %s", good[i].method, good[i].text, why);
		assert_int_equal(t.form, good[i].form);
		assert_string_equal(t.host, good[i].host);
		assert_int_equal(t.host_len, strlen(good[i].host));
		assert_int_equal(t.port, good[i].port);
		assert_slice(t.authority, good[i].authority);
		assert_slice(t.path, good[i].path);
		assert_int_equal(
		    target_is_authority(slice_of(good[i].authority)), good[i].authority[0] != '\0');
	}
}

static const struct {
	const char *method, *text;
	const char *why; /* a part of the sentence */
} bad[] = {
    {"GET", "", "is empty"},
    {"GET", "index.html", "is no URL"},
    {"GET", "?q", "is no URL"},
    {"GET", "http:/h/", "is no URL"},
    {"GET", "http:h", "is no URL"},
    {"GET", "mailto:a@b", "is no URL"},
    {"GET", "://h/", "is no URL"},
    {"GET", "1http://h/", "is no URL"},
    {"GET", "*", "OPTIONS only"},
    {"options", "*", "OPTIONS only"},
    {"GET", "*/", "is no URL"},
    {"OPTIONS", "**", "is no URL"},
    /* other forms */
    {"GET", "h:80", "CONNECT only"},
    {"OPTIONS", "h:80", "CONNECT only"},
    {"connect", "h:443", "CONNECT only"},
    {"GET", "[::1]:80", "CONNECT only"},
    {"GET", "h", "is no URL"},
    /* other schemes */
    {"GET", "https://h/", "Use CONNECT for https"},
    {"GET", "HTTPS://h/", "Use CONNECT for https"},
    {"GET", "ftp://h/", "Only http is served"},
    {"GET", "ws://h/", "Only http is served"},
    {"GET", "httpx://h/", "Only http is served"},
    {"GET", "a+b-c.d://h/", "Only http is served"},
    /* bytes */
    {"GET", "http://h/a b", "space or control"},
    {"GET", "http://h/\x01", "space or control"},
    {"GET", "http://h/\t", "space or control"},
    {"GET", "http://h/\x7f", "space or control"},
    {"GET", "http://h/\xc3\xa4", "not ASCII"},
    {"GET", "http://h/#f", "fragments"},
    {"GET", "/#f", "fragments"},
    {"GET", "http://h#f", "fragments"},
    {"GET", "http://h/a\\b", "backslash"},
    {"GET", "http://h\\@g/", "backslash"},
    {"CONNECT", "h\\:443", "backslash"},
    /* hosts */
    {"GET", "http://", "name is empty"},
    {"GET", "http:///path", "name is empty"},
    {"GET", "http://?q", "name is empty"},
    {"GET", "http://:80/", "name is empty"},
    {"GET", "http://user@/", "name is empty"},
    {"GET", "http://./", "name is empty"},
    {"GET", "http://a..b/", "empty label"},
    {"GET", "http://.a/", "empty label"},
    {"GET", "http://a../", "empty label"},
    {"GET", "http://" NAME_63 "x/", "longer than 63"},
    {"GET", "http://" NAME_253 "x/", "longer than 253"},
    {"GET", "http://a%62c/", "percent-encoded"},
    {"GET", "http://a@b@c/", "'@'"},
    {"GET", "http://a:b:80/", "several ':'"},
    {"GET", "http://::1/", "several ':'"},
    {"GET", "http://a<b/", "other than letters"},
    {"GET", "http://a|b/", "other than letters"},
    {"GET", "http://a,b/", "other than letters"},
    {"GET", "http://a!b/", "other than letters"},
    {"GET", "http://a[b]/", "other than letters"},
    /* no address, and no name either */
    {"GET", "http://1.2.3.4.5/", "ends in a number"},
    {"GET", "http://1.2.3.256/", "ends in a number"},
    {"GET", "http://4294967296/", "ends in a number"},
    {"GET", "http://0x100000000/", "ends in a number"},
    {"GET", "http://089.0.0.1/", "ends in a number"},
    {"GET", "http://a.1/", "ends in a number"},
    {"GET", "http://a.b.0x1f/", "ends in a number"},
    /* IPv6 */
    {"GET", "http://[::1/", "without its ']'"},
    {"GET", "http://[::1", "without its ']'"},
    {"GET", "http://[]/", "no IPv6 address"},
    {"GET", "http://[1.2.3.4]/", "no IPv6 address"},
    {"GET", "http://[::g]/", "no IPv6 address"},
    {"GET", "http://[h]/", "no IPv6 address"},
    {"GET", "http://[v1.x]/", "no IPv6 address"},
    {"GET", "http://[::ffff:1.2.3.4.]/", "no IPv6 address"},
    {"GET", "http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/", "no IPv6 address"},
    {"GET", "http://[fe80::1%eth0]/", "zone"},
    {"GET", "http://[fe80::1%25eth0]/", "zone"},
    {"GET", "http://[::1]x/", "is no port"},
    {"GET", "http://[::1]80/", "is no port"},
    {"GET", "http://[::1].:80/", "is no port"},
    {"GET", "http://[::1]:80:81/", "no decimal number"},
    {"GET", "http://[::1]@h/", "user name"},
    {"GET", "http://a<b@h/", "user name"},
    /* ports */
    {"GET", "http://h:0/", "from 1 to 65535"},
    {"GET", "http://h:00000/", "from 1 to 65535"},
    {"GET", "http://h:65536/", "from 1 to 65535"},
    {"GET", "http://h:99999/", "from 1 to 65535"},
    {"GET", "http://h:000080/", "no decimal number"},
    {"GET", "http://h:4294967376/", "no decimal number"},
    {"GET", "http://h:+80/", "no decimal number"},
    {"GET", "http://h:-1/", "no decimal number"},
    {"GET", "http://h:0x50/", "no decimal number"},
    {"GET", "http://h:8o/", "no decimal number"},
    /* CONNECT */
    {"CONNECT", "h", "port is missing"},
    {"CONNECT", "h:", "port is missing"},
    {"CONNECT", "[::1]", "port is missing"},
    {"CONNECT", ":443", "name is empty"},
    {"CONNECT", "h:0", "from 1 to 65535"},
    {"CONNECT", "h:65536", "from 1 to 65535"},
    {"CONNECT", "::1:443", "several ':'"},
    {"CONNECT", "user@h:443", "user name"},
    {"CONNECT", "http://h/", "nothing else"},
    {"CONNECT", "https://h:443", "nothing else"},
    {"CONNECT", "/", "nothing else"},
    {"CONNECT", "h:443/", "nothing else"},
    {"CONNECT", "h:443?", "nothing else"},
    {"CONNECT", "*", "other than letters"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct target t = {.port = 7};
		const char *why = "";

		enum fail result = parse_copy(bad[i].method, slice_of(bad[i].text), &t, &why);

		assert_int_equal(result, FAIL_BAD_TARGET);
		if (!strstr(why, bad[i].why))
			fail_msg("%s %s: %s", bad[i].method, bad[i].text, why);
		assert_int_equal(t.port, 7); /* written only on success */
	}
}

/* Each byte at each place of a target: accepted where `allowed` says so, refused elsewhere. */
static void test_every_byte(void **state)
{
	static const char visible[] = "!\"$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "[]^_`abcdefghijklmnopqrstuvwxyz{|}~";
	static const char name[] = "-._0123456789abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const struct {
		const char *method, *text; /* '@' is where the byte goes */
		const char *allowed, *also;
	} cases[] = {
	    {"GET", "http://h/a@b", visible, ""},
	    {"GET", "http://h/?a@b", visible, ""},
	    {"GET", "/a@b", visible, ""},
	    {"GET", "http://a@b/", name, "/?@"}, /* "a/b/", "a?b/", "a@b/" end the host */
	    {"GET", "http://h:8@1", "0123456789", "/?@"},
	    {"GET", "http://[:@1]/", "", ":"},
	    {"GET", "http://[::@1]/", "0123456789abcdefABCDEF", ""},
	    {"CONNECT", "a@b:443", name, ""},
	    {"CONNECT", "h:4@", "0123456789", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t at = strcspn(cases[i].text, "@");
		char text[32];

		for (int c = 0; c < 256; c++) {
			struct slice s = {text, strlen(cases[i].text)};
			struct target t;
			const char *why;
			bool allowed =
			    c != 0 && (strchr(cases[i].allowed, c) || strchr(cases[i].also, c));

			memcpy(text, cases[i].text, s.len);
			text[at] = (char)c;
			if ((parse_copy(cases[i].method, s, &t, &why) == FAIL_NONE) != allowed)
				fail_msg("%s with byte %d", cases[i].text, c);
		}
	}
}

static void test_authority(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} cases[] = {
	    {"example.com", true},
	    {"example.com:80", true},
	    {"example.com:", true},
	    {"example.com.", true},
	    {"[::1]:80", true},
	    {"1.2.3.4", true},
	    {"", false},
	    {":80", false},
	    {"a b", false},
	    {"a,b", false},
	    {"a/", false},
	    {"user@h", false},
	    {"http://h", false},
	    {"h:80:80", false},
	    {"h:0", false},
	    {"h:http", false},
	    {"[::1", false},
	    {"::1", false},
	    {"h\xc3\xa4", false},
	};
	struct slice nul = {"a\0b", 3};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (target_is_authority(slice_of(cases[i].text)) != cases[i].is)
			fail_msg("%s", cases[i].text);
	assert_false(target_is_authority(nul));
	nul = (struct slice){"[::1\0]", 6};
	assert_false(target_is_authority(nul));
	assert_false(target_is_authority((struct slice){NULL, 0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_every_byte),
	    cmocka_unit_test(test_authority),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
