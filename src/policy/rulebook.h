/*
 * rulebook -- rules in their order, and which of them match.
 *
 * A rule matches when each of its conditions has a value that holds.  All values of all rules are
 * in one catalog, so that finding the rules that match takes a look-up for each thing that is
 * known, however many rules there are.  Built once, then read by any thread.
 */
#ifndef POLICY_RULEBOOK_H
#define POLICY_RULEBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "net/source.h"
#include "policy/hours.h"

struct bucket;
struct rulebook;
struct zone;

/* What is known of a request when it is judged.  All is borrowed. */
struct acl_facts {
	const struct addr *client;
	const char *user;          /* NULL: nobody in particular */
	const char *const *groups; /* that the user is in */
	size_t group_count;
	struct slice
	    host;    /* lower case, no trailing dot; of an address: addr_format_ip's, unmapped */
	bool listed; /* the host is on a blocklist */
	const struct addr *address; /* where it leads; NULL: not known yet */
	uint16_t port;
	struct slice method;
	bool tunnel;          /* CONNECT */
	const char *listener; /* NULL: not known */
	int64_t now;          /* seconds since 1970 */
};

enum rule_condition {
	RULE_CLIENT,
	RULE_USER,
	RULE_GROUP,
	RULE_HOST,
	RULE_ADDRESS,
	RULE_PORT,
	RULE_METHOD,
	RULE_SCHEME,
	RULE_LISTENER,
	RULE_TIME,
	RULE_CONDITIONS /* how many there are */
};

enum rule_action { RULE_SETS, RULE_ALLOWS, RULE_DENIES };

/* A rule without its conditions, and what it sets for the requests that it matches. */
struct rule {
	unsigned number; /* from 1 on; given by rulebook_add */
	unsigned line;   /* where it is in the file */
	enum rule_action action;
	const char *say; /* of a denial; NULL: nothing of its own.  Borrowed */
	struct source source;
	bool has_log, log;
	uint32_t bandwidth;    /* bytes a second; 0: not set */
	struct bucket *bucket; /* that they are paid from; borrowed */
	unsigned conditions;   /* which it has: bits of enum rule_condition */
};

#define RULEBOOK_MAX 32768    /* rules */
#define RULEBOOK_ZONES_MAX 64 /* time zones */
#define RULEBOOK_LISTS_MAX 64 /* lists of names */
#define RULEBOOK_TEXT_MAX 255 /* bytes of a name: host, user, group, method, listener */
#define RULEBOOK_WORDS (RULEBOOK_MAX / 64)

/* Whether the list has the host, or a domain that it is in. */
typedef bool rule_list_fn(const void *list, struct slice host);

/* One value of a condition. */
struct rule_value {
	enum rule_condition condition;
	struct slice text;      /* USER, GROUP, METHOD, LISTENER; HOST: as in the facts */
	bool domain;            /* HOST: also what is below it */
	rule_list_fn *list_has; /* HOST: not text, but a list; borrowed */
	const void *list;
	struct network network; /* CLIENT, ADDRESS; family 0: not a network, but these */
	unsigned special;       /* kinds of address */
	uint16_t first, last;   /* PORT */
	bool tunnel;            /* SCHEME */
	struct hours hours;     /* TIME */
	const struct zone *zone;
};

/* Returns new, or NULL when out of memory. */
struct rulebook *rulebook_new(void);
void rulebook_free(struct rulebook *book);

/* Append a copy of the rule; the values that follow are its.  0, or -1 (memory, or too many). */
MUST_USE int rulebook_add(struct rulebook *book, const struct rule *rule);
MUST_USE int rulebook_add_value(struct rulebook *book, const struct rule_value *value);
MUST_USE int rulebook_seal(struct rulebook *book);

size_t rulebook_count(const struct rulebook *book);
const struct rule *rulebook_rule(const struct rulebook *book, size_t index);

/*
 * The rules that match, as bits from the first rule on.  While the address is not known, also
 * those that may match once it is.  Returns how many words of bits are written.
 */
size_t rulebook_match(
    const struct rulebook *book, const struct acl_facts *facts, uint64_t ret_bits[RULEBOOK_WORDS]);

#endif
