#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "net/addr.h"
#include "policy/acl.h"
#include "policy/special.h"

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(slice_of(text), &a), 0);
	return a;
}

static struct network network_of(const char *text)
{
	struct network n;

	assert_int_equal(network_parse(slice_of(text), &n), 0);
	return n;
}

static struct acl_verdict judge(
    const struct acl *acl, bool tunnel, uint16_t port, const char *address)
{
	struct addr client = addr_of("192.168.1.5"), a;
	struct acl_facts facts = {.client = &client,
	    .host = SLICE("www.example.com"),
	    .port = port,
	    .method = tunnel ? SLICE("CONNECT") : SLICE("GET"),
	    .tunnel = tunnel};
	struct acl_verdict verdict;

	if (address) {
		a = addr_of(address);
		a.port = port;
		facts.address = &a;
	}
	acl_judge(acl, &facts, &verdict);
	return verdict;
}

static bool allows_address(const struct acl *acl, const char *address)
{
	struct acl_verdict verdict = judge(acl, false, 80, address);

	assert_int_equal(
	    verdict.fail, verdict.outcome == ACL_ALLOWED ? FAIL_NONE : FAIL_ADDRESS_DENIED);
	return verdict.outcome == ACL_ALLOWED;
}

static bool allows_port(const struct acl *acl, bool tunnel, uint16_t port)
{
	struct acl_verdict verdict = judge(acl, tunnel, port, NULL);

	assert_int_equal(
	    verdict.fail, verdict.outcome == ACL_ALLOWED ? FAIL_NONE : FAIL_PORT_DENIED);
	return verdict.outcome == ACL_ALLOWED;
}

/* ---- without rules ---------------------------------------------------------------------- */

static void test_at_first(void **state)
{
	struct acl *acl = acl_new();
	struct addr loopback = addr_of("127.0.0.1");

	(void)state;
	assert_non_null(acl);
	assert_false(acl_allows_client(acl, &loopback));
	assert_false(allows_port(acl, true, 443));
	assert_true(allows_port(acl, false, 80));
	assert_false(allows_address(acl, "127.0.0.1"));
	assert_null(acl_rules(acl));
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
	for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
		struct network n = network_of(networks[i]);

		assert_int_equal(acl_add_client(acl, &n), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
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
		bool tunnel, http;
	} cases[] = {
	    {442, false, true},
	    {443, true, true},
	    {444, false, true},
	    {7999, false, true},
	    {8000, true, true},
	    {8010, true, true},
	    {8011, false, true},
	    {65535, true, true},
	    {25, true, false}, /* named for itself */
	    {465, false, false},
	    {587, false, false}, /* only in a range */
	    {24, false, true},
	    {26, false, true},
	};
	struct acl *acl = acl_new();

	(void)state;
	assert_int_equal(acl_add_connect_ports(acl, 443, 443), 0);
	assert_int_equal(acl_add_connect_ports(acl, 8000, 8010), 0);
	assert_int_equal(acl_add_connect_ports(acl, 65535, 65535), 0);
	assert_int_equal(acl_add_connect_ports(acl, 25, 25), 0);
	assert_int_equal(acl_add_connect_ports(acl, 500, 600), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(allows_port(acl, true, cases[i].port), cases[i].tunnel);
		assert_int_equal(allows_port(acl, false, cases[i].port), cases[i].http);
	}
	acl_free(acl);
}

/* What is special is denied; of which kind each address is, test_special says. */
static void test_special(void **state)
{
	static const char *const denied[] = {"0.0.0.0", "127.0.0.1", "10.0.0.1", "172.16.0.1",
	    "192.168.0.1", "169.254.169.254", "100.64.0.1", "255.255.255.255", "224.0.0.1", "::1",
	    "::", "fc00::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1",
	    "64:ff9b:1::8.8.8.8", "2002:a00:1::1", "2001:0:808:808::f5ff:fffe"};
	static const char *const allowed[] = {"8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8",
	    "64:ff9b::8.8.8.8", "2002:808:808::1"};
	struct acl *acl = acl_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(denied); i++) {
		if (allows_address(acl, denied[i]))
			fail_msg("%s is allowed", denied[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (!allows_address(acl, allowed[i]))
			fail_msg("%s is denied", allowed[i]);
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
	    {"::/0", "127.0.0.1", false},
	    {"169.254.0.0/16", "169.254.169.254", true},
	    {"private", "10.0.0.1", true},
	    {"private", "64:ff9b::10.0.0.1", true},
	    {"private", "fd00::1", true},
	    {"private", "fd00:ec2::254", false},
	    {"private", "127.0.0.1", false},
	    {"link-local", "169.254.1.1", true},
	    {"link-local", "169.254.169.254", false},
	    {"metadata", "169.254.169.254", true},
	    {"loopback", "::1", true},
	    {"special", "255.255.255.255", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct acl *acl = acl_new();
		unsigned kinds = special_parse(slice_of(cases[i].entry));

		acl_add_special(acl, kinds);
		if (kinds == 0) {
			struct network entry = network_of(cases[i].entry);

			assert_int_equal(acl_add_address(acl, &entry), 0);
		}
		if (allows_address(acl, cases[i].address) != cases[i].allowed)
			fail_msg("%s with %s is judged wrongly", cases[i].address, cases[i].entry);
		acl_free(acl);
	}
}

static void test_no_family(void **state)
{
	struct network all = network_of("::/0");
	struct addr nothing = {.family = AF_UNSPEC}, client = addr_of("::1");
	struct acl_facts facts = {.client = &client,
	    .host = SLICE("x"),
	    .port = 80,
	    .method = SLICE("GET"),
	    .address = &nothing};
	struct acl_verdict verdict;
	struct acl *acl = acl_new();

	(void)state;
	assert_int_equal(acl_add_address(acl, &all), 0);
	acl_add_special(acl, SPECIAL_ALL);
	acl_judge(acl, &facts, &verdict);
	assert_int_equal(verdict.fail, FAIL_ADDRESS_DENIED);
	acl_free(acl);
}

/* ---- rules ------------------------------------------------------------------------------ */

/* Each rule denies one host; the first of those that match decides, however many there are. */
static void test_many_rules(void **state)
{
	static const size_t counts[] = {1, 2, 63, 64, 65, 128, 1000, RULEBOOK_MAX};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		struct rulebook *book = rulebook_new();
		struct acl *acl = acl_new();
		struct addr client = addr_of("::1");
		struct acl_facts facts = {.client = &client, .port = 80, .method = SLICE("GET")};
		struct rule rule = {.action = RULE_DENIES};
		struct acl_verdict verdict;
		char host[32];

		for (size_t i = 0; i < counts[k]; i++) {
			struct rule_value value = {.condition = RULE_HOST, .domain = i % 2};

			snprintf(host, sizeof(host), "h%zu.test", i);
			value.text = slice_of(host);
			assert_int_equal(rulebook_add(book, &rule), 0);
			assert_int_equal(rulebook_add_value(book, &value), 0);
		}
		if (counts[k] == RULEBOOK_MAX)
			assert_int_equal(rulebook_add(book, &rule), -1);
		assert_int_equal(rulebook_seal(book), 0);
		acl_set_rules(acl, book);
		for (size_t i = 0; i < counts[k]; i += 1 + counts[k] / 70) {
			snprintf(host, sizeof(host), "h%zu.test", i);
			facts.host = slice_of(host);
			acl_judge(acl, &facts, &verdict);
			assert_int_equal(verdict.fail, FAIL_RULE_DENIED);
			assert_int_equal(verdict.rule->number, i + 1);
		}
		facts.host = SLICE("none.test");
		acl_judge(acl, &facts, &verdict);
		assert_int_equal(verdict.outcome, ACL_ALLOWED);
		assert_null(verdict.rule);
		acl_free(acl);
	}
}

static bool has_a(const void *list, struct slice host)
{
	return host.len > 0 && host.ptr[0] == *(const char *)list;
}

static void test_lists(void **state)
{
	struct rulebook *book = rulebook_new();
	struct acl *acl = acl_new();
	struct addr client = addr_of("::1");
	struct acl_facts facts = {.client = &client, .port = 80, .method = SLICE("GET")};
	struct rule rule = {.action = RULE_DENIES};
	struct acl_verdict verdict;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		static const char *const lists[] = {"a", "b", "a"};
		struct rule_value value = {.condition = RULE_HOST,
		    .list_has = has_a,
		    .list = i == 2 ? lists[0] : lists[i]};

		assert_int_equal(rulebook_add(book, &rule), 0);
		assert_int_equal(rulebook_add_value(book, &value), 0);
	}
	assert_int_equal(rulebook_seal(book), 0);
	acl_set_rules(acl, book);
	facts.host = SLICE("b.test");
	acl_judge(acl, &facts, &verdict);
	assert_int_equal(verdict.rule->number, 2);
	facts.host = SLICE("a.test");
	acl_judge(acl, &facts, &verdict);
	assert_int_equal(verdict.rule->number, 1);
	facts.host = SLICE("c.test");
	acl_judge(acl, &facts, &verdict);
	assert_int_equal(verdict.outcome, ACL_ALLOWED);
	acl_free(acl);
}

/* Every port of every range, next to its neighbours. */
static void test_ranges(void **state)
{
	static const struct {
		uint16_t first, last;
	} ranges[] = {{1, 65535}, {0, 0}, {65535, 65535}, {25, 25}, {8000, 8999}, {1, 2},
	    {32767, 32768}, {1023, 49151}, {0, 32767}, {5, 5}, {3, 12}};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(ranges); k++) {
		struct rulebook *book = rulebook_new();
		struct addr client = addr_of("::1");
		struct acl_facts facts = {
		    .client = &client, .host = SLICE("x"), .method = SLICE("GET")};
		struct rule rule = {.action = RULE_DENIES};
		struct rule_value value = {
		    .condition = RULE_PORT, .first = ranges[k].first, .last = ranges[k].last};
		uint64_t bits[RULEBOOK_WORDS];

		assert_int_equal(rulebook_add(book, &rule), 0);
		assert_int_equal(rulebook_add_value(book, &value), 0);
		assert_int_equal(rulebook_seal(book), 0);
		for (unsigned port = 0; port <= 65535; port++) {
			facts.port = (uint16_t)port;
			rulebook_match(book, &facts, bits);
			if (bits[0] != (port >= ranges[k].first && port <= ranges[k].last))
				fail_msg("%u in %u-%u", port, (unsigned)ranges[k].first,
				    (unsigned)ranges[k].last);
		}
		rulebook_free(book);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_at_first),
	    cmocka_unit_test(test_clients),
	    cmocka_unit_test(test_wide_network),
	    cmocka_unit_test(test_connect_ports),
	    cmocka_unit_test(test_special),
	    cmocka_unit_test(test_exempt),
	    cmocka_unit_test(test_no_family),
	    cmocka_unit_test(test_many_rules),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_ranges),
	};

	return cmocka_run_group_tests_name("acl", tests, NULL, NULL);
}
