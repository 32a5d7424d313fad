/*
 * rules -- what it takes to judge a request by many rules.
 *
 * For 100 rules and for 10,000, of several kinds: as operators write them, and as they are worst:
 * every condition in every rule, values that all hold but for one, names of a hundred labels.
 * Prints the best of the rounds for each kind; ends with 1 when one is above its limit.  Times are
 * of the CPU: other work on the machine does not count.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/zone.h"
#include "policy/acl.h"

#define ROUNDS 20
#define JUDGEMENTS 2000
#define TEXTS 64

static const struct zone *utc;

struct making {
	struct rulebook *book;
	size_t i; /* the rule's number, from 0 */
	char texts[TEXTS];
};

static void ensure(bool good)
{
	if (good)
		return;
	fputs("out of memory\n", stderr);
	exit(1);
}

static void add_rule(struct making *m)
{
	struct rule rule = {.action = RULE_DENIES};

	ensure(rulebook_add(m->book, &rule) == 0);
}

static void add_value(struct making *m, const struct rule_value *value)
{
	ensure(rulebook_add_value(m->book, value) == 0);
}

static void add_text(struct making *m, enum rule_condition condition, const char *text)
{
	struct rule_value value = {
	    .condition = condition, .text = {text, strlen(text)}, .domain = true};

	add_value(m, &value);
}

static void add_network(struct making *m, enum rule_condition condition, const char *text)
{
	struct rule_value value = {.condition = condition};

	ensure(network_parse((struct slice){text, strlen(text)}, &value.network) == 0);
	add_value(m, &value);
}

static void add_hours(struct making *m, const char *text)
{
	struct rule_value value = {.condition = RULE_TIME, .zone = utc};

	ensure(hours_parse((struct slice){text, strlen(text)}, &value.hours) == 0);
	add_value(m, &value);
}

static void add_ports(struct making *m, uint16_t first, uint16_t last)
{
	struct rule_value value = {.condition = RULE_PORT, .first = first, .last = last};

	add_value(m, &value);
}

/* ---- kinds of rules --------------------------------------------------------------------- */

/* Sites that some may not reach at some hours. */
static void make_usual(struct making *m)
{
	add_rule(m);
	snprintf(m->texts, TEXTS, "h%zu.example", m->i);
	add_text(m, RULE_HOST, m->texts);
	snprintf(m->texts, TEXTS, "10.%zu.%zu.0/24", m->i / 256 % 256, m->i % 256);
	add_network(m, RULE_CLIENT, m->texts);
	add_network(m, RULE_CLIENT, "192.168.0.0/16");
	add_hours(m, "mon-fri 08:00-17:00");
}

/* All hold but for the last condition. */
static void make_near(struct making *m)
{
	add_rule(m);
	add_text(m, RULE_HOST, "a");
	add_network(m, RULE_CLIENT, "192.168.0.0/16");
	add_text(m, RULE_USER, "anna");
	add_text(m, RULE_GROUP, "staff");
	add_text(m, RULE_METHOD, "GET");
	add_ports(m, 1, 1023);
	add_hours(m, "00:00-24:00");
	add_network(m, RULE_ADDRESS, "0.0.0.0/0");
	add_text(m, RULE_LISTENER, "other");
}

/* Values of all lengths, few alike. */
static void make_wide(struct making *m)
{
	struct addr base = {.family = AF_INET6};
	struct rule_value value = {.condition = RULE_CLIENT};
	static const uint8_t lengths[] = {0, 32, 48, 56, 64, 128};

	add_rule(m);
	for (size_t i = 0; i < 16; i++)
		base.ip.v6.s6_addr[i] = 0;
	value.network = (struct network){base, lengths[m->i % sizeof(lengths)]};
	add_value(m, &value);
	value.condition = RULE_ADDRESS;
	add_value(m, &value);
	for (size_t i = 0; i + 1 < TEXTS && i < 2 * (m->i % 10); i += 2)
		memcpy(m->texts + i, "a.", 3);
	if (m->i % 10 == 0)
		memcpy(m->texts, "a.", 3);
	m->texts[strlen(m->texts) - 1] = '\0';
	add_text(m, RULE_HOST, m->texts);
	add_ports(m, (uint16_t)(1 + m->i % 80), (uint16_t)(80 + m->i));
	snprintf(m->texts, TEXTS, "%02zu:%02zu-%02zu:%02zu", m->i / 60 % 12, m->i % 60,
	    12 + m->i / 60 % 12, m->i % 60);
	add_hours(m, m->texts);
	add_text(m, RULE_METHOD, "POST");
}

/* Networks of all lengths, each within all that are shorter. */
static void make_nested(struct making *m)
{
	struct rule_value value = {
	    .condition = RULE_CLIENT, .network = {{.family = AF_INET6}, (uint8_t)(m->i % 129)}};

	add_rule(m);
	add_value(m, &value);
	value.condition = RULE_ADDRESS;
	add_value(m, &value);
	add_text(m, RULE_METHOD, "POST");
}

static const struct kind {
	const char *name;
	void (*make)(struct making *m);
} kinds[] = {
    {"usual", make_usual},
    {"all but one condition holds", make_near},
    {"values of all lengths", make_wide},
    {"networks of all lengths", make_nested},
};

/* ---- measuring -------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double measure(const struct acl *acl, const struct acl_facts *facts)
{
	uint64_t best = UINT64_MAX;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t began = cpu_ns(), took;

		for (int i = 0; i < JUDGEMENTS; i++) {
			struct acl_verdict verdict;

			acl_judge(acl, facts, &verdict);
			ensure(verdict.rule == NULL);
		}
		took = cpu_ns() - began;
		best = took < best ? took : best;
	}
	return (double)best / JUDGEMENTS / 1000;
}

static double judge_us(const struct kind *kind, size_t rules)
{
	static const char *const groups[] = {"staff", "all"};
	struct making m = {.book = rulebook_new()};
	struct acl *acl = acl_new();
	struct addr client, address;
	char host[201];
	struct acl_facts facts = {.client = &client,
	    .user = "anna",
	    .groups = groups,
	    .group_count = 2,
	    .host = {host, 199},
	    .address = &address,
	    .port = 80,
	    .method = SLICE("GET"),
	    .listener = "lan",
	    .now = 1704110400};
	bool six = kind->make == make_wide || kind->make == make_nested;
	double us;

	ensure(acl != NULL && m.book != NULL);
	for (m.i = 0; m.i < rules; m.i++)
		kind->make(&m);
	ensure(rulebook_seal(m.book) == 0);
	acl_set_rules(acl, m.book);
	for (size_t i = 0; i < sizeof(host); i++)
		host[i] = i % 2 ? '.' : 'a';
	ensure(addr_parse(six ? SLICE("::") : SLICE("192.168.1.5"), &client) == 0 &&
	       addr_parse(six ? SLICE("::") : SLICE("8.8.8.8"), &address) == 0);
	acl_add_special(acl, ~0U);
	us = measure(acl, &facts);
	acl_free(acl);
	return us;
}

int main(int argc, char **argv)
{
	double slack = argc > 1 ? strtod(argv[1], NULL) : 1;
	static const struct {
		size_t rules;
		double max_us;
	} sizes[] = {{100, 1}, {10000, 20}};
	const char *why;
	struct zone *zone = zone_load("UTC", &why);
	int failed = 0;

	ensure(zone != NULL);
	utc = zone;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			double us = judge_us(&kinds[k], sizes[s].rules);
			bool good = us < sizes[s].max_us * slack;

			printf("%6zu rules, %-28s %6.2f us a request (limit %2.0f)%s\n",
			    sizes[s].rules, kinds[k].name, us, sizes[s].max_us,
			    good ? "" : " TOO SLOW");
			failed |= !good;
		}
	}
	zone_free(zone);
	return failed;
}
