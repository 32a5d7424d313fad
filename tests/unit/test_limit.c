#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "net/addr.h"
#include "policy/limit.h"

#define S BUCKET_SECOND

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(slice_of(text), &a), 0);
	return a;
}

static enum limit_rule enter(struct limit *limit, const struct limit_rules *rules,
    const char *client, uint64_t now, struct limit_account **ret_account)
{
	struct addr a = addr_of(client);
	uint64_t wait;

	return limit_enter(limit, rules, &a, now, ret_account, &wait);
}

/* ---- one client or two ---------------------------------------------------------------------- */

static void test_who_is_one_client(void **state)
{
	static const struct {
		const char *one, *other;
		bool same;
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false},
	    {"192.0.2.1", "::ffff:192.0.2.1", true},
	    {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
	    {"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
	    {"2001:db8:0:0:8000::", "2001:db8::1", true},
	    {"2001:db8:0:1::1", "2001:db8:0:2::1", false}, {"::1", "0.0.0.1", false},
	    {"c000:201::", "192.0.2.1", false}, /* begins with its bytes */
	};
	const struct limit_rules rules = {.clients = 10, .client_connections = 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct limit *limit = limit_new();
		struct limit_account *a, *b;
		enum limit_rule rule;

		assert_non_null(limit);
		assert_int_equal(enter(limit, &rules, cases[i].one, S, &a), LIMIT_NONE);
		rule = enter(limit, &rules, cases[i].other, S, &b);
		if (rule != (cases[i].same ? LIMIT_CLIENT_CONNECTIONS : LIMIT_NONE))
			fail_msg("%s and %s", cases[i].one, cases[i].other);
		limit_free(limit);
	}
}

static void test_scopes_are_links(void **state)
{
	const struct limit_rules rules = {.clients = 10, .client_connections = 1};
	struct limit *limit = limit_new();
	struct addr a = addr_of("fe80::1"), b = a;
	struct limit_account *account;
	uint64_t wait;

	(void)state;
	b.scope = 7;
	assert_int_equal(limit_enter(limit, &rules, &a, S, &account, &wait), LIMIT_NONE);
	assert_int_equal(limit_enter(limit, &rules, &b, S, &account, &wait), LIMIT_NONE);
	limit_free(limit);
}

/* ---- each rule ------------------------------------------------------------------------------ */

static void test_all_clients(void **state)
{
	const struct limit_rules rules = {.clients = 3};
	struct limit *limit = limit_new();
	struct limit_account *account;
	char text[32];

	(void)state;
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d", i);
		assert_int_equal(
		    enter(limit, &rules, text, S, &account), i < 3 ? LIMIT_NONE : LIMIT_CLIENTS);
		assert_null(account); /* none is needed */
	}
	limit_leave(limit, NULL, S);
	assert_int_equal(enter(limit, &rules, "192.0.2.1", S, &account), LIMIT_NONE);
	assert_int_equal(enter(limit, &rules, "192.0.2.1", S, &account), LIMIT_CLIENTS);
	limit_free(limit);
}

/* Steps in their order: a connection comes, the newest goes. */
static void test_connections(void **state)
{
	static const struct {
		bool comes;
		uint64_t now;
		enum limit_rule rule;
		uint64_t wait;
	} steps[] = {
	    {true, 10 * S, LIMIT_NONE, 0},
	    {true, 10 * S, LIMIT_NONE, 0},
	    {true, 10 * S, LIMIT_CLIENT_CONNECTIONS, 0},
	    {false, 10 * S, LIMIT_NONE, 0},
	    {true, 10 * S, LIMIT_NONE, 0}, /* the refused one took no token */
	    {false, 10 * S, LIMIT_NONE, 0},
	    {true, 10 * S, LIMIT_CLIENT_CONNECTS, S / 3 - 1},
	    {false, 10 * S, LIMIT_NONE, 0}, /* now there are none, and it is remembered */
	    {true, 10 * S, LIMIT_CLIENT_CONNECTS, S / 3 - 1},
	    {true, 10 * S + S / 3, LIMIT_NONE, 0},
	    {false, 10 * S + S / 3, LIMIT_NONE, 0},
	    {true, 20 * S, LIMIT_NONE, 0},
	};
	const struct limit_rules rules = {
	    .clients = 10, .client_connections = 2, .client_connects = 3};
	struct limit *limit = limit_new();
	struct addr client = addr_of("192.0.2.1");
	struct limit_account *inside[10];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		enum limit_rule rule = LIMIT_NONE;
		uint64_t wait = 0;

		if (steps[i].comes)
			rule = limit_enter(
			    limit, &rules, &client, steps[i].now, &inside[count], &wait);
		else
			limit_leave(limit, inside[--count], steps[i].now);
		if (rule != steps[i].rule || wait != steps[i].wait)
			fail_msg(
			    "step %zu: rule %d, wait %llu", i, (int)rule, (unsigned long long)wait);
		count += steps[i].comes && rule == LIMIT_NONE;
	}
	limit_free(limit);
}

static void test_requests_and_tunnels(void **state)
{
	static const struct {
		bool tunnel;
		uint64_t now;
		enum limit_rule rule;
	} cases[] = {
	    {true, 10 * S, LIMIT_NONE},
	    {true, 10 * S, LIMIT_CLIENT_TUNNELS}, /* which takes no token */
	    {false, 10 * S, LIMIT_NONE},
	    {false, 10 * S, LIMIT_CLIENT_REQUESTS},
	    {true, 10 * S, LIMIT_CLIENT_TUNNELS},
	    {false, 10 * S + S / 2, LIMIT_NONE},
	    {false, 10 * S + S / 2, LIMIT_CLIENT_REQUESTS},
	};
	const struct limit_rules rules = {.clients = 1, .client_requests = 2, .client_tunnels = 1};
	struct limit *limit = limit_new();
	struct limit_account *account;
	uint64_t wait;

	(void)state;
	assert_int_equal(enter(limit, &rules, "192.0.2.1", S, &account), LIMIT_NONE);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum limit_rule rule =
		    limit_request(limit, &rules, account, cases[i].tunnel, cases[i].now, &wait);

		if (rule != cases[i].rule)
			fail_msg("case %zu: rule %d", i, (int)rule);
		if ((rule == LIMIT_CLIENT_REQUESTS) != (wait > 0))
			fail_msg("case %zu: wait %llu", i, (unsigned long long)wait);
	}
	/* A tunnel that is refused for its rate is none. */
	limit_end_tunnel(account);
	assert_int_equal(limit_request(limit, &rules, account, true, 10 * S + S / 2, &wait),
	    LIMIT_CLIENT_REQUESTS);
	assert_int_equal(limit_request(limit, &rules, account, true, 11 * S, &wait), LIMIT_NONE);
	limit_free(limit);
}

static enum limit_rule begin(struct limit *limit, const struct limit_rules *rules, const char *host,
    uint16_t port, struct limit_origin **ret_origin)
{
	return limit_exchange(limit, rules, slice_of(host), port, ret_origin);
}

static void test_origins(void **state)
{
	const struct limit_rules rules = {.clients = 1, .origin_exchanges = 2}, off = {0};
	struct limit *limit = limit_new();
	struct limit_origin *one, *two, *other;

	(void)state;
	assert_int_equal(begin(limit, &rules, "a.test", 80, &one), LIMIT_NONE);
	assert_int_equal(begin(limit, &rules, "a.test", 80, &two), LIMIT_NONE);
	assert_ptr_equal(one, two);
	assert_int_equal(begin(limit, &rules, "a.test", 80, &other), LIMIT_ORIGIN_EXCHANGES);
	assert_null(other);
	assert_int_equal(begin(limit, &rules, "a.test", 443, &other), LIMIT_NONE);
	assert_int_equal(begin(limit, &rules, "b.test", 80, &other), LIMIT_NONE);
	assert_int_equal(begin(limit, &off, "a.test", 80, &other), LIMIT_NONE);
	assert_null(other);
	limit_end_exchange(limit, NULL);
	limit_end_exchange(limit, two);
	assert_int_equal(begin(limit, &rules, "a.test", 80, &other), LIMIT_NONE);
	limit_end_exchange(limit, one);
	limit_end_exchange(limit, other);
	assert_int_equal(begin(limit, &rules, "a.test", 80, &other), LIMIT_NONE);
	limit_free(limit);
}

/* ---- new rules ------------------------------------------------------------------------------ */

static void test_counts_go_on_under_new_rules(void **state)
{
	const struct limit_rules none = {.clients = 10};
	struct limit_rules rules = {.clients = 10, .client_connections = 3, .client_requests = 10};
	struct limit *limit = limit_new();
	struct addr client = addr_of("192.0.2.1");
	struct limit_account *inside[3], *account;
	uint64_t wait;

	(void)state;
	/* From before there were any: counted as soon as they are known. */
	assert_int_equal(enter(limit, &none, "192.0.2.1", S, &account), LIMIT_NONE);
	assert_null(account);
	inside[0] = limit_know(limit, &client);
	assert_non_null(inside[0]);
	for (int i = 1; i < 3; i++)
		assert_int_equal(enter(limit, &rules, "192.0.2.1", S, &inside[i]), LIMIT_NONE);
	assert_int_equal(enter(limit, &rules, "192.0.2.1", S, &account), LIMIT_CLIENT_CONNECTIONS);
	/* Lower: who is inside stays, and until two have left nobody comes in. */
	rules.client_connections = 2;
	limit_leave(limit, inside[0], S);
	assert_int_equal(enter(limit, &rules, "192.0.2.1", S, &account), LIMIT_CLIENT_CONNECTIONS);
	limit_leave(limit, inside[1], S);
	assert_int_equal(enter(limit, &rules, "192.0.2.1", S, &account), LIMIT_NONE);
	/* A rate: what was taken stays taken, as time. */
	for (int i = 0; i < 10; i++)
		assert_int_equal(
		    limit_request(limit, &rules, account, false, S, &wait), LIMIT_NONE);
	rules.client_requests = 2;
	assert_int_equal(
	    limit_request(limit, &rules, account, false, S, &wait), LIMIT_CLIENT_REQUESTS);
	assert_int_equal(wait, S / 2);
	limit_free(limit);
}

/* ---- who is remembered ---------------------------------------------------------------------- */

static void one_of(uint32_t i, struct addr *ret_addr)
{
	*ret_addr = (struct addr){.family = AF_INET, .ip.v4.s_addr = htonl(0x0a000000 + i)};
}

static enum limit_rule visit(struct limit *limit, const struct limit_rules *rules, uint32_t i)
{
	struct limit_account *account;
	struct addr client;
	uint64_t wait;
	enum limit_rule rule;

	one_of(i, &client);
	rule = limit_enter(limit, rules, &client, S, &account, &wait);
	if (rule == LIMIT_NONE)
		limit_leave(limit, account, S);
	return rule;
}

/* Many more than are remembered: the newest are, the oldest are not, who is here always is. */
static void test_table_is_full(void **state)
{
	const struct limit_rules rules = {
	    .clients = 10, .client_connections = 1, .client_connects = 1};
	const uint32_t many = 3 * LIMIT_REMEMBERED;
	struct limit *limit = limit_new();
	struct limit_account *account;
	struct addr client;
	uint64_t wait;
	uint32_t remembered = 0;

	(void)state;
	one_of(many, &client);
	assert_int_equal(limit_enter(limit, &rules, &client, S, &account, &wait), LIMIT_NONE);
	for (uint32_t i = 0; i < many; i++)
		assert_int_equal(visit(limit, &rules, i), LIMIT_NONE);
	assert_int_equal(visit(limit, &rules, many), LIMIT_CLIENT_CONNECTIONS);
	for (uint32_t i = many - 1000; i < many; i++)
		assert_int_equal(visit(limit, &rules, i), LIMIT_CLIENT_CONNECTS);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(visit(limit, &rules, i), LIMIT_NONE);
	for (uint32_t i = 0; i < many; i++) {
		one_of(i, &client);
		if (limit_enter(limit, &rules, &client, S, &account, &wait) == LIMIT_NONE)
			limit_leave(limit, account, 0); /* as if it had nothing to remember */
		else
			remembered++;
	}
	assert_true(remembered <= LIMIT_REMEMBERED);
	limit_free(limit);
}

/* ---- telling -------------------------------------------------------------------------------- */

static void test_told_once_a_second(void **state)
{
	const struct limit_rules rules = {.clients = 1};
	struct limit *limit = limit_new();
	uint64_t counts[LIMIT_RULES];
	struct limit_account *account;

	(void)state;
	assert_int_equal(enter(limit, &rules, "192.0.2.1", 5 * S, &account), LIMIT_NONE);
	assert_int_equal(enter(limit, &rules, "192.0.2.1", 5 * S, &account), LIMIT_CLIENTS);
	assert_int_equal(limit_tell(limit, 5 * S, counts), 0);
	for (int i = 0; i < LIMIT_RULES; i++)
		assert_int_equal(counts[i], i == LIMIT_CLIENTS);
	for (int i = 0; i < 7; i++)
		assert_int_equal(enter(limit, &rules, "192.0.2.1", 5 * S, &account), LIMIT_CLIENTS);
	assert_int_equal(limit_tell(limit, 5 * S + S / 4, counts), S - S / 4);
	assert_int_equal(limit_tell(limit, 6 * S, counts), 0);
	assert_int_equal(counts[LIMIT_CLIENTS], 7);
	assert_string_equal(limit_name(LIMIT_ORIGIN_EXCHANGES), "origin_exchanges");
	limit_free(limit);
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 20000 };

struct crowd {
	struct limit *limit;
	atomic_int connections, exchanges, requests;
	atomic_int too_many;
};

static const struct limit_rules crowd_rules = {.clients = 3,
    .client_connections = 2,
    .client_requests = 1000,
    .client_tunnels = 1,
    .origin_exchanges = 2};

static void count_in(struct crowd *crowd, atomic_int *count, int most)
{
	if (atomic_fetch_add(count, 1) >= most)
		atomic_fetch_add(&crowd->too_many, 1);
}

static void exchange(struct crowd *crowd, struct limit_account *account)
{
	struct limit_origin *origin;
	uint64_t wait;

	if (limit_request(crowd->limit, &crowd_rules, account, true, S, &wait) == LIMIT_NONE) {
		atomic_fetch_add(&crowd->requests, 1);
		limit_end_tunnel(account);
	}
	if (begin(crowd->limit, &crowd_rules, "a.test", 80, &origin) != LIMIT_NONE)
		return;
	count_in(crowd, &crowd->exchanges, crowd_rules.origin_exchanges);
	atomic_fetch_sub(&crowd->exchanges, 1);
	limit_end_exchange(crowd->limit, origin);
}

static void *visit_often(void *arg)
{
	struct crowd *crowd = arg;
	struct addr client = {.family = AF_INET, .ip.v4.s_addr = htonl(0xc0000201)};
	struct limit_account *account;
	uint64_t wait;

	for (int i = 0; i < ROUNDS; i++) {
		if (limit_enter(crowd->limit, &crowd_rules, &client, S, &account, &wait) !=
		    LIMIT_NONE)
			continue;
		count_in(crowd, &crowd->connections, crowd_rules.client_connections);
		exchange(crowd, account);
		atomic_fetch_sub(&crowd->connections, 1);
		limit_leave(crowd->limit, account, S);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct crowd crowd = {.limit = limit_new()};
	struct limit_account *account;
	pthread_t threads[THREADS];

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, visit_often, &crowd), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd.too_many, 0);
	assert_int_equal(crowd.requests, crowd_rules.client_requests);
	/* All was given back. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    enter(crowd.limit, &crowd_rules, "192.0.2.1", S, &account), LIMIT_NONE);
	assert_int_equal(enter(crowd.limit, &crowd_rules, "192.0.2.9", S, &account), LIMIT_NONE);
	assert_int_equal(enter(crowd.limit, &crowd_rules, "192.0.2.9", S, &account), LIMIT_CLIENTS);
	limit_free(crowd.limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_who_is_one_client),
	    cmocka_unit_test(test_scopes_are_links),
	    cmocka_unit_test(test_all_clients),
	    cmocka_unit_test(test_connections),
	    cmocka_unit_test(test_requests_and_tunnels),
	    cmocka_unit_test(test_origins),
	    cmocka_unit_test(test_counts_go_on_under_new_rules),
	    cmocka_unit_test(test_table_is_full),
	    cmocka_unit_test(test_told_once_a_second),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
