#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"
#include "net/addr.h"
#include "policy/acl.h"
#include "proxy/config.h"

static struct addr address(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(slice_of(text), &addr), 0);
	return addr;
}

static bool client_allowed(const struct config *config, const char *text)
{
	struct addr addr = address(text);

	return acl_allows_client(config->acl, &addr);
}

static bool allowed(const struct config *config, bool tunnel, uint16_t port, const char *text)
{
	struct addr client = address("::1"), to = address(text);
	struct acl_facts facts = {.client = &client,
	    .host = SLICE("a.test"),
	    .address = &to,
	    .port = port,
	    .method = tunnel ? SLICE("CONNECT") : SLICE("GET"),
	    .tunnel = tunnel};
	struct acl_verdict verdict;

	acl_judge(config->acl, &facts, &verdict);
	return verdict.outcome == ACL_ALLOWED;
}

static bool port_allowed(const struct config *config, uint16_t port)
{
	return allowed(config, true, port, "8.8.8.8");
}

static bool address_allowed(const struct config *config, const char *text)
{
	return allowed(config, false, 80, text);
}

static struct config *parse_good(const char *text)
{
	struct config_error error = {""};
	struct config *config = config_parse(text, "x.conf", &error);

	if (!config)
		fail_msg("%s", error.message);
	return config;
}

/* What config_print writes.  The caller frees it. */
static char *printed(const struct config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	config_print(config, out);
	fclose(out);
	return text;
}

static void test_defaults(void **state)
{
	struct config_error error;
	struct config *config = config_load(NULL, &error);
	struct addr place = address("127.0.0.1");

	(void)state;
	assert_non_null(config);
	place.port = 3128;
	assert_int_equal(config->listen_count, 1);
	assert_true(addr_equal(&config->listen[0].addr, &place));
	assert_int_equal(config->workers, 0);
	assert_string_equal(config->user, "");
	assert_true(config->sandbox);
	assert_string_equal(config->name, "penstock");
	assert_string_equal(config->auth.users, "");
	assert_string_equal(config->auth.groups, "");
	assert_string_equal(config->auth.realm, "penstock");
	assert_null(config->auth.table);
	assert_int_equal(config->auth.exempt_count, 0);
	assert_int_equal(config->auth.keep, 300);
	assert_int_equal(config->auth.failures, 10);
	assert_int_equal(config->auth.delay, 1);
	assert_int_equal(config->timeouts.head, 10);
	assert_int_equal(config->timeouts.idle, 60);
	assert_int_equal(config->timeouts.connect, 10);
	assert_int_equal(config->timeouts.first_byte, 120);
	assert_int_equal(config->timeouts.body, 120);
	assert_int_equal(config->timeouts.body_grace, 120);
	assert_int_equal(config->timeouts.tunnel, 600);
	assert_int_equal(config->timeouts.tunnel_lifetime, 0);
	assert_int_equal(config->timeouts.resolve, 10);
	assert_int_equal(config->timeouts.linger, 5);
	assert_int_equal(config->timeouts.drain, 30);
	assert_int_equal(config->limits.request_line, 8192);
	assert_int_equal(config->limits.head, 65536);
	assert_int_equal(config->limits.fields, 200);
	assert_int_equal(config->limits.in_flight, 262144);
	assert_int_equal(config->limits.body_rate_min, 100);
	assert_int_equal(config->limits.rules.clients, 10000);
	assert_int_equal(config->limits.pool, 1024);
	assert_int_equal(config->limits.pool_per_origin, 256);
	assert_int_equal(config->limits.pool_idle, 30);
	assert_int_equal(config->resolver.server_count, 0);
	assert_int_equal(config->resolver.cache, 10000);
	assert_int_equal(config->resolver.ttl_max, 3600);
	assert_int_equal(config->resolver.ttl_negative, 30);
	assert_int_equal(config->log.target, LOG_TARGET_STDERR);
	assert_int_equal(config->log.level, LOG_LEVEL_INFO);
	assert_string_equal(config->log.access, "");
	assert_true(client_allowed(config, "127.9.9.9"));
	assert_true(client_allowed(config, "::1"));
	assert_false(client_allowed(config, "192.0.2.1"));
	assert_true(port_allowed(config, 443));
	assert_true(port_allowed(config, 8443));
	assert_false(port_allowed(config, 444));
	assert_false(address_allowed(config, "10.0.0.1"));
	assert_true(address_allowed(config, "8.8.8.8"));
	assert_null(acl_rules(config->acl));
	config_unref(config);
}

/* Everything set to something else, in every notation that is accepted. */
#define FULL                                                                                       \
	"listen = ( { address = \"::1\"; port = 0; }, { port = 8080L, address = \"10.0.0.1\" },"   \
	" { name = \"lan\"; source = \"2001:db8::/64\"; address = \"::\"; port = 1; },"            \
	" { address = \"0.0.0.0\"; port = 1; source = \"192.0.2.1\"; name = \"lan\"; } );"         \
	"workers = 0x4 user = \"_a-b.c1\"; sandbox = \"off\" name: \"a\\x62c\"\n"                  \
	"access = { clients = ( \"10.0.0.0/8\", \"2001:db8::/32\" );"                              \
	" connect_ports = [ \"22\", \"1000-2000\" ]; allow_addresses = [ \"127.0.0.1\", "          \
	"\"private\" ]; };\n"                                                                      \
	"auth = { users = \"/x/users\"; groups = \"/x/groups\"; realm = \"a (b) 'c'\"; "           \
	"exempt = [ \"10.0.0.0/8\", \"::1\" ]; keep = 0; failures = 1000; delay = 20; };\n"        \
	"timeouts : { head = 1; idle = 2; connect = 3; first_byte = 4; body = 5;"                  \
	" body_grace = 3600; tunnel = 604800; tunnel_lifetime = 2592000; resolve = 7; linger = "   \
	"8; drain = 0; };\n"                                                                       \
	"limits = { request_line = 256; head = 1024; fields = 10; in_flight = 16384;"              \
	" body_rate_min = 0; clients = 1; pool = 0; pool_per_origin = 0; pool_idle = 3600; }; # "  \
	"comment\n"                                                                                \
	"resolver = { servers = [ \"192.0.2.53\", \"192.0.2.53:54\", \"2001:db8::53\","            \
	" \"[2001:db8::53]:5353\" ]; cache = 0; ttl_max = 0; ttl_negative = 0; }; // comment\n"    \
	"/* \" */ log = { target = \"syslog\"; level = \"debug\";"                                 \
	" access = \"/var/log/\" \"\\\"q\\\\\\t\xc3\xa9\"; };"

static void test_all_keys(void **state)
{
	struct config *config = parse_good(FULL);

	(void)state;
	assert_int_equal(config->listen_count, 4);
	assert_int_equal(config->listen[0].addr.family, AF_INET6);
	assert_int_equal(config->listen[0].addr.port, 0);
	assert_int_equal(config->listen[1].addr.port, 8080);
	assert_string_equal(config->listen[0].name, "[::1]:0");
	assert_string_equal(config->listen[1].name, "10.0.0.1:8080");
	assert_false(source_is_set(&config->listen[1].source));
	assert_string_equal(config->listen[2].name, "lan");
	assert_int_equal(config->listen[2].source.v6.bits, 64);
	assert_string_equal(config->listen[3].name, "lan");
	assert_int_equal(config->listen[3].source.v4.bits, 32);
	assert_int_equal(config->workers, 4);
	assert_string_equal(config->user, "_a-b.c1");
	assert_false(config->sandbox);
	assert_string_equal(config->name, "abc");
	assert_string_equal(config->auth.users, "/x/users");
	assert_string_equal(config->auth.groups, "/x/groups");
	assert_string_equal(config->auth.realm, "a (b) 'c'");
	assert_int_equal(config->auth.exempt_count, 2);
	assert_int_equal(config->auth.exempt[0].bits, 8);
	assert_int_equal(config->auth.keep, 0);
	assert_int_equal(config->auth.failures, 1000);
	assert_int_equal(config->auth.delay, 20);
	assert_int_equal(config->timeouts.body_grace, 3600);
	assert_int_equal(config->timeouts.tunnel, 604800);
	assert_int_equal(config->timeouts.tunnel_lifetime, 2592000);
	assert_int_equal(config->timeouts.drain, 0);
	assert_int_equal(config->limits.in_flight, 16384);
	assert_int_equal(config->limits.body_rate_min, 0);
	assert_int_equal(config->limits.pool, 0);
	assert_int_equal(config->resolver.server_count, 4);
	assert_string_equal(config->resolver.servers[3], "[2001:db8::53]:5353");
	assert_int_equal(config->log.target, LOG_TARGET_SYSLOG);
	assert_int_equal(config->log.level, LOG_LEVEL_DEBUG);
	assert_string_equal(config->log.access, "/var/log/\"q\\\t\xc3\xa9");
	assert_false(client_allowed(config, "127.0.0.1"));
	assert_true(client_allowed(config, "10.1.2.3"));
	assert_true(address_allowed(config, "127.0.0.1"));
	assert_false(address_allowed(config, "127.0.0.2"));
	assert_true(address_allowed(config, "fd00::1"));
	assert_true(port_allowed(config, 1500));
	assert_false(port_allowed(config, 443));
	config_unref(config);
}

static void test_empty_lists_allow_nothing(void **state)
{
	struct config *config = parse_good("access = { clients = []; connect_ports = (); };");

	(void)state;
	assert_false(client_allowed(config, "127.0.0.1"));
	assert_false(client_allowed(config, "::1"));
	assert_false(port_allowed(config, 443));
	config_unref(config);
}

static void test_print_round_trip(void **state)
{
	static const char *const cases[] = {"", FULL,
	    ("access = { clients = []; connect_ports = []; }; log = { access = \"\\n \\x01\\x7f\"; "
	     "};")};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config *config = parse_good(cases[i]);
		char *text = printed(config);
		struct config *again = parse_good(text);
		char *text_again = printed(again);

		assert_string_equal(text, text_again);
		assert_string_equal(config->log.access, again->log.access);
		for (size_t key = 0; config_key(key); key++) {
			const char *dot = strchr(config_key(key), '.');
			char line[80];

			snprintf(line, sizeof(line), "%s%s = ", dot ? "\n\t" : "\n",
			    dot ? dot + 1 : config_key(key));
			assert_non_null(strstr(text, line));
		}
		free(text);
		free(text_again);
		config_unref(config);
		config_unref(again);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
	    /* what libconfig finds */
	    {"workers = 1;\nworkers = 2;", "x.conf:2: duplicate setting name"},
	    {"\n\nworkers 1;", "x.conf:3: syntax error"},
	    {"timeouts = { head = 1; ", "x.conf:2: syntax error"},
	    {"access = { clients = [ \"::1\", 1 ]; };",
		"x.conf:1: mismatched element type in array"},
	    /* what it would pass over */
	    {"workers = 1;\n/* no end\n\n", "x.conf:2: this comment has no end"},
	    {"workers = 1;\n\n\"no end\n", "x.conf:3: this string has no end"},
	    {"\n @include \"/etc/passwd\"",
		"x.conf:2: @include is not supported: write everything into one file"},
	    {"a = ((((((((( 1 )))))))))", "x.conf:1: nested too deeply"},
	    /* unknown keys */
	    {"# one\nlog = {\n  levle = 1; };",
		"x.conf:3: log.levle: there is no such key, did you mean log.level?"},
	    {"timeout = { };", "x.conf:1: timeout: there is no such key, did you mean timeouts?"},
	    {"worker = 1;", "x.conf:1: worker: there is no such key, did you mean workers?"},
	    {"cache_peer = 1;", "x.conf:1: cache_peer: there is no such key"},
	    {"timeouts = { idle_client = 1; };",
		"x.conf:1: timeouts.idle_client: there is no such key"},
	    {"timeouts = { head = { x = 1; }; };",
		"x.conf:1: timeouts.head: must be a whole number from 1 to 3600 (seconds)"},
	    {"auth = { realm = \"a\\\"b\"; };", "x.conf:1: auth.realm: must be 1 to 128 printable "
						"ASCII characters without \\ and the "
						"double quote, not \"a\\\"b\""},
	    {"auth = { realm = \"\"; };", "x.conf:1: auth.realm: must be 1 to 128 printable ASCII "
					  "characters without \\ and the "
					  "double quote, not \"\""},
	    {"auth = { realm = \"\xc3\xbc\"; };", "x.conf:1: auth.realm: must be 1 to 128 "
						  "printable ASCII characters without \\ and the "
						  "double quote, not \"\\xc3\\xbc\""},
	    {"auth = { exempt = [ \"x\" ]; };",
		"x.conf:1: auth.exempt: must be a list of networks and addresses like [ "
		"\"192.0.2.0/24\", \"2001:db8::1\" ], but holds \"x\""},
	    {"auth = { failures = -1; };", "x.conf:1: auth.failures: must be a whole number from 0 "
					   "to 1000 (failures a minute)"},
	    {"timeouts = 5;", "x.conf:1: timeouts: must be a group { }"},
	    /* numbers */
	    {"workers = 257;", "x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = -1;", "x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = 1.5;", "x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = 1e0;", "x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = true;",
		"x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = \"1\";",
		"x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = 4294967297;",
		"x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = 0x100000001;",
		"x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"workers = 18446744073709551617L;",
		"x.conf:1: workers: must be a whole number from 0 to 256 (threads)"},
	    {"limits = {\n head = 8192;\n};",
		"x.conf:2: limits.request_line: must be less than limits.head (8192, 8192)"},
	    {"limits = {\n head = 8193;\nrequest_line = 10000; };",
		"x.conf:3: limits.request_line: must be less than limits.head (10000, 8193)"},
	    /* strings */
	    {"user = \"-x\";", "x.conf:1: user: must be a user's name of at most 32 characters, "
			       "or \"\" (stay who we are), not \"-x\""},
	    {"user = 1000;", "x.conf:1: user: must be a user's name of at most 32 characters, or "
			     "\"\" (stay who we are)"},
	    {"sandbox = true;", "x.conf:1: sandbox: must be \"on\" or \"off\""},
	    {"name = \"a b\";", "x.conf:1: name: must be a token of 1 to 64 letters, digits or "
				"!#$%&'*+-.^_`|~, not \"a b\""},
	    {"name = \"\";", "x.conf:1: name: must be a token of 1 to 64 letters, digits or "
			     "!#$%&'*+-.^_`|~, not \"\""},
	    {"log = { level = \"\\x1b[2J\\n\"; };",
		"x.conf:1: log.level: must be \"error\", \"warning\", \"info\" or \"debug\", not "
		"\"\\x1b[2J\\x0a\""},
	    {"log = { target = 1; };", "x.conf:1: log.target: must be \"stderr\" or \"syslog\""},
	    /* lists */
	    {"access = { clients = \"::1\"; };",
		"x.conf:1: access.clients: must be a list of networks and addresses like "
		"[ \"192.0.2.0/24\", \"2001:db8::1\" ], not \"::1\""},
	    {"access = { clients = (\n\"::1\",\n\"10.0.0.1/8\"); };",
		"x.conf:1: access.clients: must be a list of networks and addresses like "
		"[ \"192.0.2.0/24\", \"2001:db8::1\" ], but holds \"10.0.0.1/8\""},
	    {"access = { clients = ( 1 ); };",
		"x.conf:1: access.clients: must be a list of networks and addresses like "
		"[ \"192.0.2.0/24\", \"2001:db8::1\" ]"},
	    /* listen */
	    {"listen = ();",
		"x.conf:1: listen: must be a list of groups like ( { address = \"127.0.0.1\"; "
		"port = 3128; } )"},
	    {"listen = ( { address = \"localhost\"; port = 1; } );",
		"x.conf:1: listen.address: must be an IPv4 or IPv6 address like \"127.0.0.1\" or "
		"\"::1\""},
	    {"listen = (\n{ address = \"::1\";\nport = 65536; } );",
		"x.conf:3: listen.port: must be a whole number from 0 to 65535"},
	    {"listen = ( { address = \"::1\"; } );", "x.conf:1: listen: this group has no port"},
	    {"listen = ( { port = 1; } );", "x.conf:1: listen: this group has no address"},
	    {"listen = ( { address = \"::1\"; port = 1; }, { address = \"::1\"; port = 1; } );",
		"x.conf:1: listen: [::1]:1 is there twice"},
	    {"listen = ( { adress = \"::1\"; port = 1; } );",
		"x.conf:1: listen: a group has address, port, name and source, not adress"},
	    {"listen = ( { address = \"::1\"; port = 1.0; } );",
		"x.conf:1: listen.port: must be a whole number from 0 to 65535"},
	    {"listen = ( { address = \"::1\"; port = 1;\nname = \"a b\"; } );",
		"x.conf:2: listen.name: must be a token of 1 to 64 letters, digits or "
		"!#$%&'*+-.^_`|~"},
	    {"listen = ( { address = \"::1\"; port = 1; name = \"\"; } );",
		"x.conf:1: listen.name: must be a token of 1 to 64 letters, digits or "
		"!#$%&'*+-.^_`|~"},
	    {"listen = ( { address = \"::1\"; port = 1;\nsource = \"192.0.2.1/24\"; } );",
		"x.conf:2: listen.source: must be an address or a network like \"192.0.2.7\" or "
		"\"2001:db8:1::/64\", or one of each family: "
		"\"192.0.2.7, 2001:db8:1::/64\""},
	    {"listen = ( { address = \"::1\"; port = 1; source = 1; } );",
		"x.conf:1: listen.source: must be an address or a network like \"192.0.2.7\" or "
		"\"2001:db8:1::/64\", or one of each family: "
		"\"192.0.2.7, 2001:db8:1::/64\""},
	    {"listen = ( 3128 );",
		"x.conf:1: listen: must be a list of groups like ( { address = \"127.0.0.1\"; "
		"port = 3128; } )"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_error error = {""};

		assert_null(config_parse(cases[i].text, "x.conf", &error));
		assert_string_equal(error.message, cases[i].message);
	}
}

static void test_strings_of_lists(void **state)
{
	static const struct {
		const char *key, *good[8], *bad[24];
	} cases[] = {
	    {"access = { connect_ports = [ \"%s\" ]; };", {"1", "65535", "1-65535", "443-443"},
		{"", "0", "65536", "443-", "-443", "2-1", "1-65536", "+1", " 1", "1 ", "a", "1-2-3",
		    "000443"}},
	    {"resolver = { servers = [ \"%s\" ]; };",
		{"192.0.2.53", "192.0.2.53:1", "::1", "[::1]:65535", "2001:db8::53"},
		{"", "localhost", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "[::1]",
		    "[::1]:", "[192.0.2.1]:53", "[]:53", "[:53", "]:53", ":53", "[::1:53",
		    "192.0.2.53 53"}},
	    {"access = { allow_addresses = [ \"%s\" ]; };",
		{"127.0.0.1", "127.0.0.0/8", "::1", "fe80::/10", "0.0.0.0/0", "private", "special"},
		{"", "127.0.0.1/8", "127.0.0.1/33", "localhost", "reserved", "Private", "127.1",
		    "127.0.0.0/"}},
	};
	struct config_error error;
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t j = 0; cases[i].good[j]; j++) {
			const char *dot = strstr(cases[i].key, "%s");

			snprintf(text, sizeof(text), "%.*s%s%s", (int)(dot - cases[i].key),
			    cases[i].key, cases[i].good[j], dot + 2);
			config_unref(parse_good(text));
		}
		for (size_t j = 0; cases[i].bad[j]; j++) {
			const char *dot = strstr(cases[i].key, "%s");

			snprintf(text, sizeof(text), "%.*s%s%s", (int)(dot - cases[i].key),
			    cases[i].key, cases[i].bad[j], dot + 2);
			if (config_parse(text, "x.conf", &error))
				fail_msg("taken: %s", text);
		}
	}
}

/* Texts made to be large or slow are refused quickly. */
static void test_bounds(void **state)
{
	static const struct {
		const char *head, *repeat;
		size_t times;
		const char *tail, *message;
	} cases[] = {
	    {"", "                ", 1048576, "", "x.conf:1: more than 16777215 bytes"},
	    {"", "a=1;", 1001, "", "x.conf:1: too many settings"},
	    {"access = { rules = (", "{a=1;},", 1001, "{a=1;});};",
		"x.conf:1: access.rules[1].a: there is no such condition: client, user, group, "
		"host, address, port, method, scheme, listener, time with zone; nor such an "
		"effect: action with say, source, bandwidth, log"},
	    {"access = { rules = (", "{},", 32769, "{});};",
		"x.conf:1: access.rules: must be a list of at most 32768 groups like ( { host = "
		"\".example.com\"; action = \"deny\"; } )"},
	    {"access = { rules = ({ action = \"deny\"; port = [", "\"1\",", 65536, "\"1\"]; }); };",
		"x.conf:1: access.rules[1].port: must hold at most 65536 values"},
	    {"access = { rules = ({ action = \"deny\"; host = \"", "a", 4096, "\"; }); };",
		"x.conf:1: access.rules[1].host: must be a string of at most 4095 bytes, a list of "
		"such or, for bandwidth, a whole number"},
	    {"limits = {", "a=1;", 1001, "};", "x.conf:1: too many settings"},
	    {"listen = ", "(", 100000, "", "x.conf:1: nested too deeply"},
	    {"access = { clients = [", "\"::1\",", 65537, "\"::1\"]; };",
		"x.conf:1: access.clients: must be a list of networks and addresses like [ "
		"\"192.0.2.0/24\", \"2001:db8::1\" ]"},
	    {"resolver={servers=(\"::1\"", ",\"::1\"", 8, ")};",
		"x.conf:1: resolver.servers: must be a list of at most 8 servers like [ "
		"\"192.0.2.53\", \"[2001:db8::53]:5353\" ]"},
	    {"", "a", 100000, "", "x.conf:2: syntax error"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].repeat);
		char *text = malloc(
		    strlen(cases[i].head) + len * cases[i].times + strlen(cases[i].tail) + 1);
		struct config_error error = {""};
		char *end;

		assert_non_null(text);
		end = stpcpy(text, cases[i].head);
		for (size_t j = 0; j < cases[i].times; j++)
			end = stpcpy(end, cases[i].repeat);
		strcpy(end, cases[i].tail);
		assert_null(config_parse(text, "x.conf", &error));
		assert_string_equal(error.message, cases[i].message);
		free(text);
	}
}

static void test_long_names_are_cut(void **state)
{
	char text[3000], name[1000];
	struct config_error error = {""};

	(void)state;
	memset(text, 'k', sizeof(text));
	strcpy(text + sizeof(text) - 6, "= 1;\n");
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_null(config_parse(text, name, &error));
	assert_true(strlen(error.message) < sizeof(error.message));
	assert_non_null(strstr(error.message, "there is no such key"));
}

static void test_files(void **state)
{
	char path[] = "/tmp/test_config.XXXXXX";
	static const char nul[] = "workers = 1;\n\0workers = 2;\n";
	struct config_error error = {""};
	struct config *config;
	char expected[80];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "workers = 3;", 12), 12);
	config = config_load(path, &error);
	assert_non_null(config);
	assert_int_equal(config->workers, 3);
	config_unref(config);

	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, nul, sizeof(nul) - 1, 0), sizeof(nul) - 1);
	assert_null(config_load(path, &error));
	snprintf(expected, sizeof(expected), "%s:2: a NUL byte", path);
	assert_string_equal(error.message, expected);
	close(fd);
	unlink(path);

	assert_null(config_load(path, &error));
	snprintf(expected, sizeof(expected), "%s: No such file or directory", path);
	assert_string_equal(error.message, expected);
	assert_null(config_load("/tmp", &error));
	assert_string_equal(error.message, "/tmp: Is a directory");
	assert_null(config_load("/dev/zero", &error));
	assert_string_equal(error.message, "/dev/zero:1: more than 16777215 bytes");
}

static void test_counted(void **state)
{
	struct config *config = parse_good("");

	(void)state;
	assert_ptr_equal(config_ref(config), config);
	config_unref(config);
	assert_string_equal(config->name, "penstock");
	config_unref(config);
	config_unref(NULL);
}

/* What is only for judging goes with the last judge, all else with the last who needs it. */
static void test_kept_without_what_is_for_judging(void **state)
{
	struct config *config = parse_good("access = { rules = ( { time = \"mon\"; "
					   "bandwidth = 9; } ); }; name = \"kept\";");

	(void)state;
	config_ref(config);
	config_keep(config);
	config_unref(config);
	assert_non_null(config->acl);
	assert_int_equal(config->written.rule_count, 1);
	assert_int_equal(config->zone_count, 1);
	config_unref(config);
	assert_null(config->acl);
	assert_int_equal(config->written.rule_count, 0);
	assert_int_equal(config->zone_count, 0);
	assert_string_equal(config->name, "kept");
	assert_non_null(config->buckets);
	config_unkeep(config);
}

static void test_fixed_changes(void **state)
{
	struct config *old = parse_good("");
	struct config *fresh =
	    parse_good("workers = 2; timeouts = { idle = 1; }; log = { access = \"-\"; };");
	size_t index = 0;

	(void)state;
	assert_null(config_fixed_change(old, old, &index));
	index = 0;
	assert_string_equal(config_fixed_change(old, fresh, &index), "workers");
	assert_null(config_fixed_change(old, fresh, &index));
	config_unref(old);
	config_unref(fresh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_all_keys),
	    cmocka_unit_test(test_empty_lists_allow_nothing),
	    cmocka_unit_test(test_print_round_trip),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_strings_of_lists),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_long_names_are_cut),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_counted),
	    cmocka_unit_test(test_kept_without_what_is_for_judging),
	    cmocka_unit_test(test_fixed_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
