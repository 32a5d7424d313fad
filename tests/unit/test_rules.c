#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "net/addr.h"
#include "policy/acl.h"
#include "proxy/config.h"

#define MONDAY_NOON 1704110400 /* 2024-01-01 12:00 UTC */

static struct config *config_of(const char *rules)
{
	struct config_error error = {""};
	struct config *config;
	char text[4096];

	snprintf(text, sizeof(text),
	    "auth = { users = \"/x/users\"; groups = \"/x/groups\"; };"
	    "access = { connect_ports = [ \"443\", \"8000-8999\" ]; rules = (\n%s\n); };",
	    rules);
	config = config_parse(text, "x.conf", &error);
	if (config == NULL)
		fail_msg("%s", error.message);
	return config;
}

/* What is left out is usual: a GET of http://www.example.com/ by 192.168.1.5. */
struct request {
	const char *client, *user, *group, *host, *address, *method, *listener;
	uint16_t port;
	bool tunnel, listed;
	int64_t now;
};

static struct acl_verdict judge(const struct acl *acl, const struct request *q)
{
	struct addr client, address;
	const char *groups[] = {"others", q->group};
	const char *method = q->method ? q->method : q->tunnel ? "CONNECT" : "GET";
	struct acl_facts facts = {.client = &client,
	    .user = q->user,
	    .groups = groups,
	    .group_count = q->group ? 2 : 0,
	    .host = slice_of(q->host ? q->host : "www.example.com"),
	    .port = q->port     ? q->port
		    : q->tunnel ? 443
				: 80,
	    .method = slice_of(method),
	    .tunnel = q->tunnel,
	    .listed = q->listed,
	    .listener = q->listener,
	    .now = q->now ? q->now : MONDAY_NOON};
	struct acl_verdict verdict;

	assert_int_equal(addr_parse(slice_of(q->client ? q->client : "192.168.1.5"), &client), 0);
	if (q->address) {
		assert_int_equal(addr_parse(slice_of(q->address), &address), 0);
		facts.address = &address;
	}
	acl_judge(acl, &facts, &verdict);
	return verdict;
}

/* One rule that denies, and whether it matches. */
static void test_conditions(void **state)
{
	static const struct {
		const char *condition;
		struct request request;
		bool matches;
	} cases[] = {
	    {"", {0}, true},
	    {"client = \"192.168.1.0/24\";", {0}, true},
	    {"client = \"192.168.1.0/24\";", {.client = "::ffff:192.168.1.9"}, true},
	    {"client = \"192.168.1.0/24\";", {.client = "192.168.2.5"}, false},
	    {"client = \"::ffff:192.168.1.0/120\";", {0}, true},
	    {"client = \"0.0.0.0/0\";", {0}, true},
	    {"client = \"::/0\";", {0}, false},
	    {"client = \"::/0\";", {.client = "2001:db8::1"}, true},
	    {"client = [ \"10.0.0.1\", \"2001:db8::/32\" ];", {.client = "2001:db8:5::1"}, true},
	    {"client = [ \"10.0.0.1\", \"2001:db8::/32\" ];", {.client = "2001:db9::"}, false},
	    {"client = [ \"10.0.0.1\", \"2001:db8::/32\" ];", {.client = "10.0.0.1"}, true},
	    {"client = [ \"10.0.0.1\", \"2001:db8::/32\" ];", {.client = "10.0.0.2"}, false},
	    {"user = \"anna\";", {.user = "anna"}, true},
	    {"user = \"anna\";", {.user = "Anna"}, false},
	    {"user = \"anna\";", {0}, false},
	    {"group = [ \"staff\", \"admin\" ];", {.user = "anna", .group = "admin"}, true},
	    {"group = [ \"staff\", \"admin\" ];", {.user = "anna", .group = "guests"}, false},
	    {"group = [ \"staff\", \"admin\" ];", {.user = "anna"}, false},
	    {"host = \"www.example.com\";", {0}, true},
	    {"host = \"WWW.Example.com.\";", {0}, true},
	    {"host = \"example.com\";", {0}, false},
	    {"host = \".example.com\";", {0}, true},
	    {"host = \".example.com\";", {.host = "example.com"}, true},
	    {"host = \".example.com\";", {.host = "badexample.com"}, false},
	    {"host = \".example.com\";", {.host = "a.b.c.example.com"}, true},
	    {"host = \".example.com\";", {.host = "example.com.evil"}, false},
	    {"host = \".com\";", {0}, true},
	    {"host = \"0x7f.1\";", {.host = "127.0.0.1"}, true},
	    {"host = \"[2001:DB8:0::1]\";", {.host = "2001:db8::1"}, true},
	    {"host = \".1\";", {.host = "127.0.0.1"}, false},
	    {"port = \"80\";", {0}, true},
	    {"port = [ \"443\", \"8000-8999\" ];", {.port = 8999}, true},
	    {"port = [ \"443\", \"8000-8999\" ];", {.port = 9000}, false},
	    {"port = [ \"443\", \"8000-8999\" ];", {0}, false},
	    {"method = \"GET\";", {0}, true},
	    {"method = [ \"POST\", \"PUT\" ];", {.method = "PUT"}, true},
	    {"method = [ \"POST\", \"PUT\" ];", {0}, false},
	    {"scheme = \"http\";", {0}, true},
	    {"scheme = \"tunnel\";", {0}, false},
	    {"scheme = \"tunnel\";", {.tunnel = true}, true},
	    {"scheme = [ \"http\", \"tunnel\" ];", {.tunnel = true}, true},
	    {"listener = \"lan\";", {.listener = "lan"}, true},
	    {"listener = \"lan\";", {.listener = "wan"}, false},
	    {"listener = \"lan\";", {0}, false},
	    {"time = \"mon 12:00-12:01\"; zone = \"UTC\";", {0}, true},
	    {"time = \"mon 12:01-13:00\"; zone = \"UTC\";", {0}, false},
	    {"time = \"mon 13:00-13:01\"; zone = \"Europe/Berlin\";", {0}, true},
	    {"time = [ \"tue\", \"mon 21:00-21:01\" ]; zone = \"Asia/Tokyo\";", {0}, true},
	    /* in Berlin clocks went from 02:00 to 03:00, and on another day from 03:00 to 02:00 */
	    {"time = \"sun 01:00-02:00\"; zone = \"Europe/Berlin\";", {.now = 1711846799}, true},
	    {"time = \"sun 02:00-03:00\"; zone = \"Europe/Berlin\";", {.now = 1711846800}, false},
	    {"time = \"sun 03:00-04:00\"; zone = \"Europe/Berlin\";", {.now = 1711846800}, true},
	    {"time = \"sun 02:00-03:00\"; zone = \"Europe/Berlin\";", {.now = 1729990799}, true},
	    {"time = \"sun 02:00-03:00\"; zone = \"Europe/Berlin\";", {.now = 1729990800}, true},
	    {"time = \"sun 02:00-03:00\"; zone = \"Europe/Berlin\";", {.now = 1729994400}, false},
	    {"time = \"sat 22:00-03:00\"; zone = \"Europe/Berlin\";", {.now = 1729990800}, true},
	    {"address = \"192.0.2.0/24\";", {.address = "192.0.2.9"}, true},
	    {"address = \"8.8.0.0/16\";", {.address = "8.8.4.4"}, true},
	    {"address = \"8.8.0.0/16\";", {.address = "::ffff:8.8.4.4"}, true},
	    {"address = \"8.8.0.0/16\";", {.address = "64:ff9b::8.8.4.4"}, true},
	    {"address = \"8.8.0.0/16\";", {.address = "2002:808:404::1"}, true},
	    {"address = \"8.8.0.0/16\";", {.address = "8.9.0.1"}, false},
	    {"address = \"private\";", {.address = "10.0.0.1"}, true},
	    {"address = \"private\";", {.address = "127.0.0.1"}, false},
	    {"address = [ \"link-local\", \"loopback\" ];", {.address = "::1"}, true},
	    {"address = \"metadata\";", {.address = "169.254.169.254"}, true},
	    {"address = \"special\";", {.address = "240.0.0.1"}, true},
	    {"address = \"special\";", {.address = "8.8.8.8"}, false},
	    {"client = \"192.168.1.5\"; host = \".com\"; port = \"80\";", {0}, true},
	    {"client = \"192.168.1.5\"; host = \".com\"; port = \"81\";", {0}, false},
	    {"client = \"192.168.1.6\"; host = \".com\"; port = \"80\";", {0}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[1024];
		struct config *config;
		struct acl_verdict verdict;

		snprintf(text, sizeof(text), "{ %s action = \"deny\"; say = \"No.\"; }",
		    cases[i].condition);
		config = config_of(text);
		verdict = judge(config->acl, &cases[i].request);
		if ((verdict.fail == FAIL_RULE_DENIED) != cases[i].matches)
			fail_msg("case %zu: %s", i, cases[i].condition);
		if (cases[i].matches) {
			assert_string_equal(verdict.rule->say, "No.");
			assert_int_equal(verdict.rule->number, 1);
			assert_int_equal(verdict.rule->line, 2);
		}
		config_unref(config);
	}
}

/* Several rules, what they decide before the address is known, and after. */
static void test_order(void **state)
{
	static const char allow[] = "{ host = \"www.example.com\"; action = \"allow\"; }";
	static const char deny_host[] = "{ host = \".example.com\"; action = \"deny\"; }";
	static const char deny_private[] = "{ address = \"private\"; action = \"deny\"; }";
	static const char allow_private[] = "{ address = \"private\"; action = \"allow\"; }";
	static const char allow_private_host[] =
	    "{ host = \".com\"; address = \"private\"; action = \"allow\"; }";
	static const char allow_25[] = "{ port = \"25\"; action = \"allow\"; }";
	static const char allow_all[] = "{ action = \"allow\"; }";
	static const char deny_all[] = "{ action = \"deny\"; }";
	static const char quiet[] = "{ host = \".com\"; log = \"off\"; }";
	static const struct {
		const char *rules[4];
		struct request request;
		enum acl_outcome outcome;
		enum fail fail;
		unsigned rule, awaits;
	} cases[] = {
	    {{allow, deny_host}, {0}, ACL_ALLOWED, FAIL_NONE, 1, 0},
	    {{deny_host, allow}, {0}, ACL_DENIED, FAIL_RULE_DENIED, 1, 0},
	    {{allow, deny_host}, {.host = "example.com"}, ACL_DENIED, FAIL_RULE_DENIED, 2, 0},
	    {{allow, deny_host}, {.host = "example.org"}, ACL_ALLOWED, FAIL_NONE, 0, 0},
	    {{quiet, deny_all}, {0}, ACL_DENIED, FAIL_RULE_DENIED, 2, 0},
	    /* an address may change it, or not */
	    {{deny_private}, {0}, ACL_UNDECIDED, FAIL_NONE, 0, 1},
	    {{deny_private, allow}, {0}, ACL_UNDECIDED, FAIL_NONE, 2, 1},
	    {{allow, deny_private}, {0}, ACL_ALLOWED, FAIL_NONE, 1, 0},
	    {{deny_private, deny_all}, {0}, ACL_DENIED, FAIL_RULE_DENIED, 2, 1},
	    {{allow_private, deny_all}, {0}, ACL_UNDECIDED, FAIL_NONE, 2, 1},
	    {{allow_private, deny_all}, {.address = "10.0.0.1"}, ACL_ALLOWED, FAIL_NONE, 1, 0},
	    {{allow_private, deny_all}, {.address = "8.8.8.8"}, ACL_DENIED, FAIL_RULE_DENIED, 2, 0},
	    {{deny_private, allow}, {.address = "10.0.0.1"}, ACL_DENIED, FAIL_RULE_DENIED, 1, 0},
	    {{deny_private, allow}, {.address = "8.8.8.8"}, ACL_ALLOWED, FAIL_NONE, 2, 0},
	    /* the built-in denials stand behind, and are lifted by name only */
	    {{allow_all}, {.address = "10.0.0.1"}, ACL_DENIED, FAIL_ADDRESS_DENIED, 1, 0},
	    {{allow}, {.address = "10.0.0.1"}, ACL_DENIED, FAIL_ADDRESS_DENIED, 1, 0},
	    {{allow_private}, {.address = "127.0.0.1"}, ACL_DENIED, FAIL_ADDRESS_DENIED, 0, 0},
	    {{allow, allow_private}, {.address = "10.0.0.1"}, ACL_DENIED, FAIL_ADDRESS_DENIED, 1,
		0},
	    {{allow_all}, {.port = 25}, ACL_DENIED, FAIL_PORT_DENIED, 1, 0},
	    {{allow_25}, {.port = 25}, ACL_ALLOWED, FAIL_NONE, 1, 0},
	    {{allow_25}, {.port = 25, .tunnel = true}, ACL_ALLOWED, FAIL_NONE, 1, 0},
	    {{allow_25}, {.port = 587}, ACL_DENIED, FAIL_PORT_DENIED, 0, 0},
	    {{allow_private}, {.port = 25}, ACL_DENIED, FAIL_PORT_DENIED, 0, 1},
	    {{allow_all}, {.port = 22, .tunnel = true}, ACL_DENIED, FAIL_PORT_DENIED, 1, 0},
	    {{"{ port = \"22\"; action = \"allow\"; }"}, {.port = 22, .tunnel = true}, ACL_ALLOWED,
		FAIL_NONE, 1, 0},
	    {{"{ port = \"22\"; address = \"private\"; action = \"allow\"; }"},
		{.port = 22, .tunnel = true}, ACL_UNDECIDED, FAIL_NONE, 0, 1},
	    {{"{ port = \"22\"; address = \"private\"; action = \"allow\"; }"},
		{.port = 22, .tunnel = true, .address = "8.8.8.8"}, ACL_DENIED, FAIL_PORT_DENIED, 0,
		0},
	    {{"{ port = \"22\"; address = \"private\"; action = \"allow\"; }"},
		{.port = 22, .tunnel = true, .address = "10.0.0.1"}, ACL_ALLOWED, FAIL_NONE, 1, 0},
	    /* so do blocklists, and an address may decide whether they are lifted */
	    {{quiet}, {.listed = true}, ACL_DENIED, FAIL_BLOCKLIST, 0, 0},
	    {{allow_all}, {.listed = true}, ACL_DENIED, FAIL_BLOCKLIST, 1, 0},
	    {{allow}, {.listed = true}, ACL_ALLOWED, FAIL_NONE, 1, 0},
	    {{allow}, {.listed = true, .port = 25}, ACL_DENIED, FAIL_PORT_DENIED, 1, 0},
	    {{allow}, {.listed = true, .address = "10.0.0.1"}, ACL_DENIED, FAIL_ADDRESS_DENIED, 1,
		0},
	    {{deny_host}, {.listed = true}, ACL_DENIED, FAIL_RULE_DENIED, 1, 0},
	    {{allow_private}, {.listed = true}, ACL_DENIED, FAIL_BLOCKLIST, 0, 1},
	    {{allow_private_host}, {.listed = true}, ACL_UNDECIDED, FAIL_NONE, 0, 1},
	    {{allow_private_host}, {.listed = true, .address = "8.8.8.8"}, ACL_DENIED,
		FAIL_BLOCKLIST, 0, 0},
	    {{allow_private_host}, {.listed = true, .address = "10.0.0.1"}, ACL_ALLOWED, FAIL_NONE,
		1, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct acl_verdict verdict;
		struct config *config;
		char text[2048] = "";

		for (size_t k = 0; k < 4 && cases[i].rules[k]; k++) {
			strcat(text, k > 0 ? ",\n" : "");
			strcat(text, cases[i].rules[k]);
		}
		config = config_of(text);
		verdict = judge(config->acl, &cases[i].request);
		if (verdict.outcome != cases[i].outcome || verdict.fail != cases[i].fail ||
		    (verdict.rule ? verdict.rule->number : 0) != cases[i].rule ||
		    (verdict.awaits ? verdict.awaits->number : 0) != cases[i].awaits)
			fail_msg("case %zu: outcome %d, %s, rule %u, awaits %u", i,
			    (int)verdict.outcome, verdict.fail ? reply_token(verdict.fail) : "-",
			    verdict.rule ? verdict.rule->number : 0,
			    verdict.awaits ? verdict.awaits->number : 0);
		config_unref(config);
	}
}

/* Each the first of its kind, until a rule has decided. */
static void test_settings(void **state)
{
	struct config *config =
	    config_of("{ host = \".com\"; log = \"off\"; },\n"
		      "{ bandwidth = 1000; log = \"on\"; },\n"
		      "{ address = \"8.0.0.0/8\"; source = \"192.0.2.7\"; },\n"
		      "{ source = \"2001:db8::/64\"; action = \"allow\"; },\n"
		      "{ bandwidth = 5; log = \"off\"; source = \"192.0.2.9\"; }");
	const struct rulebook *rules = acl_rules(config->acl);
	struct acl_verdict v = judge(config->acl, &(struct request){.address = "8.8.8.8"});
	struct allowance allowance = acl_allowance(&v);

	(void)state;
	assert_int_equal(rulebook_count(rules), 5);
	assert_ptr_equal(v.log, rulebook_rule(rules, 0));
	assert_ptr_equal(v.bandwidth, rulebook_rule(rules, 1));
	assert_ptr_equal(v.source, rulebook_rule(rules, 2));
	assert_ptr_equal(v.rule, rulebook_rule(rules, 3));
	assert_false(acl_logs(&v));
	assert_non_null(allowance.bucket);
	assert_int_equal(allowance.rate, 1000);
	v = judge(config->acl, &(struct request){.address = "9.9.9.9", .host = "a.org"});
	assert_ptr_equal(v.source, rulebook_rule(rules, 3));
	assert_int_equal(v.source->source.v6.bits, 64);
	assert_true(acl_logs(&v));
	assert_ptr_equal(acl_allowance(&v).bucket, allowance.bucket);
	config_unref(config);

	config = config_of("{ host = \"a.org\"; bandwidth = 1000; }");
	v = judge(config->acl, &(struct request){0});
	assert_true(acl_logs(&v));
	assert_null(acl_allowance(&v).bucket);
	config_unref(config);
}

/* The rules text, the line of the message, and what it has to say. */
static const struct {
	const char *rules, *begins, *says;
} refused[] = {
    {"{ action = \"deny\"; },\n{ time = \"mon 8-9\"; action = \"deny\"; }",
	"x.conf:2: access.rules[2].time: must be days and hours", "\"mon 8-9\""},
    {"{\naction = \"deny\";\ntiem = \"mon\"; }", "x.conf:3: access.rules[1].tiem: ", "no such"},
    {"{ time = \"mon\"; zone = \"Europe/Atlantis\"; action = \"deny\"; }",
	"x.conf:1: access.rules[1].zone: \"Europe/Atlantis\": ", "/usr/share/zoneinfo"},
    {"{ zone = \"UTC\"; action = \"deny\"; }", "x.conf:1: access.rules[1].zone: ", "time"},
    {"{ time = \"mon\"; zone = \"\"; action = \"deny\"; }", "x.conf:1: access.rules[1].zone: ", ""},
    {"{ host = \"*.example.com\"; action = \"deny\"; }",
	"x.conf:1: access.rules[1].host: ", "*.example.com"},
    {"{ host = \"a b\"; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", "a b"},
    {"{ host = \".\"; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", ""},
    {"{ host = \"a:80\"; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", ""},
    {"{ host = \"http://a/\"; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", ""},
    {"{ host = \"\\xfc.de\"; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", "xn--"},
    {"{ host = [ ]; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", "empty"},
    {"{ host = \"@names\"; action = \"deny\"; }",
	"x.conf:1: access.rules[1].host: cannot read \"names\": ", "root"},
    {"{ host = \"@/nowhere/x\"; action = \"deny\"; }",
	"x.conf:1: access.rules[1].host: cannot read \"/nowhere/x\": ", "not read here"},
    {"{ host = { }; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", "string"},
    {"{ host = 5; action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", "name"},
    {"{ host = ( \"a\", 5 ); action = \"deny\"; }", "x.conf:1: access.rules[1].host: ", ""},
    {"\"deny\"", "x.conf:1: access.rules[1]: must be a group", ""},
    {"{ host = \"a\"; }", "x.conf:1: access.rules[1]: ", "action"},
    {"{ }", "x.conf:1: access.rules[1]: ", "action"},
    {"{ action = \"block\"; }", "x.conf:1: access.rules[1].action: ", "\"block\""},
    {"{ action = [ \"deny\", \"allow\" ]; }", "x.conf:1: access.rules[1].action: ", "deny"},
    {"{ action = \"allow\"; say = \"x\"; }", "x.conf:1: access.rules[1].say: ", "deny"},
    {"{ action = \"deny\"; say = \"\"; }", "x.conf:1: access.rules[1].say: ", "sentence"},
    {"{ method = \"get\"; action = \"deny\"; }", "x.conf:1: access.rules[1].method: ", "GET"},
    {"{ scheme = \"https\"; action = \"deny\"; }", "x.conf:1: access.rules[1].scheme: ", "tunnel"},
    {"{ port = \"0\"; action = \"deny\"; }", "x.conf:1: access.rules[1].port: ", "\"0\""},
    {"{ port = \"99-98\"; action = \"deny\"; }", "x.conf:1: access.rules[1].port: ", ""},
    {"{ port = 25; action = \"deny\"; }", "x.conf:1: access.rules[1].port: ", "\"25\""},
    {"{ client = \"private\"; action = \"deny\"; }", "x.conf:1: access.rules[1].client: ", ""},
    {"{ client = \"10.0.0.1/8\"; action = \"deny\"; }", "x.conf:1: access.rules[1].client: ", ""},
    {"{ address = \"local\"; action = \"deny\"; }",
	"x.conf:1: access.rules[1].address: ", "private"},
    {"{ user = \"anna\"; action = \"deny\"; }", "x.conf:1: access.rules[1].user: ", "auth.users"},
    {"{ log = \"on\"; },\n{ group = \"a\"; action = \"allow\"; }",
	"x.conf:2: access.rules[2].group: ", "auth.users"},
    {"{ bandwidth = 0; }", "x.conf:1: access.rules[1].bandwidth: ", "2000000000"},
    {"{ bandwidth = 2000000001; }", "x.conf:1: access.rules[1].bandwidth: ", "2000000000"},
    {"{ bandwidth = -5; }", "x.conf:1: access.rules[1].bandwidth: ", "2000000000"},
    {"{ bandwidth = \"5\"; }", "x.conf:1: access.rules[1].bandwidth: ", "2000000000"},
    {"{ source = \"eth0\"; }", "x.conf:1: access.rules[1].source: ", "eth0"},
    {"{ log = \"no\"; }", "x.conf:1: access.rules[1].log: ", "off"},
    {"{ log = true; }", "x.conf:1: access.rules[1].log: ", ""},
    {"{ user = \"a\"; user = \"b\"; log = \"off\"; }", "x.conf:1: ", "duplicate"},
};

/* With users who say who they are. */
static void test_refused_users(void **state)
{
	static const struct {
		const char *auth, *rule, *says;
	} cases[] = {
	    {"users = \"/x/users\";", "group = \"staff\"; action = \"deny\";", "auth.groups"},
	    {"users = \"/x/users\";", "user = \"\"; action = \"deny\";", "name of a user"},
	    {"users = \"\";", "user = \"anna\"; log = \"off\";", "auth.users"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_error error = {""};
		char text[1024];

		/* Before the users: what comes first in the file does not matter. */
		snprintf(text, sizeof(text), "access = { rules = ( { %s } ); };\nauth = { %s };",
		    cases[i].rule, cases[i].auth);
		assert_null(config_parse(text, "x.conf", &error));
		if (strncmp(error.message, "x.conf:1: access.rules[1].", 26) != 0 ||
		    strstr(error.message, cases[i].says) == NULL)
			fail_msg("%s\nis refused with: %s", text, error.message);
	}
}

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct config_error error = {""};
		char text[1024];

		snprintf(text, sizeof(text), "access = { rules = ( %s ); };", refused[i].rules);
		if (config_parse(text, "x.conf", &error) != NULL)
			fail_msg("%s is taken", refused[i].rules);
		if (strncmp(error.message, refused[i].begins, strlen(refused[i].begins)) != 0 ||
		    strstr(error.message, refused[i].says) == NULL)
			fail_msg("%s\nis refused with: %s", refused[i].rules, error.message);
	}
}

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

static void test_printed(void **state)
{
	static const char first[] = "{ host = [ \".a.org\", \"b.org\" ]; client = [ \"::1\" ]; "
				    "action = \"deny\"; say = \"It's \\\"no\\\".\"; }";
	static const char second[] = "{ bandwidth = 7; log = \"off\"; }";
	struct config_error error = {""};
	struct config *config, *again;
	char text[1024], *once, *twice;

	(void)state;
	snprintf(text, sizeof(text), "%s, %s", first, second);
	config = config_of(text);
	once = printed(config);
	assert_non_null(strstr(once, first));
	assert_non_null(strstr(once, second));
	again = config_parse(once, "printed", &error);
	if (again == NULL)
		fail_msg("%s", error.message);
	twice = printed(again);
	assert_string_equal(once, twice);
	free(once);
	free(twice);
	config_unref(config);
	config_unref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conditions),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_settings),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_refused_users),
	    cmocka_unit_test(test_printed),
	};

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
