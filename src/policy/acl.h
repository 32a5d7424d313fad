/*
 * acl -- who may use the proxy, and where they may go.
 *
 * Built once by config and read-only afterwards: all workers share one acl without a lock.
 *
 * The first rule that matches decides.  Behind the rules stand the built-in denials: addresses of
 * special purpose, ports that CONNECT may not go to, the ports of mail for all.  A rule that
 * allows lifts one of them only where it names that very thing: an address, a port, a host (which
 * is for blocklists).  Who may use the proxy at all is no matter of rules.
 *
 * Addresses and networks are judged unmapped: ::ffff:127.0.0.1 is 127.0.0.1.  An IPv6
 * address that leads to an IPv4 address (NAT64, 6to4, Teredo) is judged by that one, too.
 */
#ifndef POLICY_ACL_H
#define POLICY_ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "http/reply.h"
#include "policy/rulebook.h"

struct acl;
struct addr;
struct network;

/* Returns new: nobody may do anything yet.  NULL when out of memory. */
struct acl *acl_new(void);
void acl_free(struct acl *acl);

/*
 * Append a copy: a network that clients may come from, ports that CONNECT may go to (both
 * ends included), a network of destinations exempt from the denial.  0, or -1 when out of
 * memory.
 */
MUST_USE int acl_add_client(struct acl *acl, const struct network *network);
MUST_USE int acl_add_connect_ports(struct acl *acl, uint16_t first, uint16_t last);
MUST_USE int acl_add_address(struct acl *acl, const struct network *network);
/* Kinds of special addresses that are exempt. */
void acl_add_special(struct acl *acl, unsigned kinds);
/* Takes the rules, sealed.  NULL: there are none. */
void acl_set_rules(struct acl *acl, struct rulebook *rules);
const struct rulebook *acl_rules(const struct acl *acl); /* NULL: there are none */

bool acl_allows_client(const struct acl *acl, const struct addr *client);

enum acl_outcome {
	ACL_ALLOWED, /* as far as it is known: not yet by address, as long as there is none */
	ACL_DENIED,
	ACL_UNDECIDED /* the address will decide: a rule may match or not */
};

/* What an allowing rule has named, and with that lifted.  While undecided: may have. */
enum acl_lift { ACL_LIFTS_HOST = 1, ACL_LIFTS_PORT = 2, ACL_LIFTS_ADDRESS = 4 };

/* Pointers are into the acl. */
struct acl_verdict {
	enum acl_outcome outcome;
	enum fail fail; /* ACL_DENIED: RULE_DENIED, PORT_DENIED, BLOCKLIST, ADDRESS_DENIED */
	const struct rule *rule;   /* the first that matches and decides; NULL: none does */
	const struct rule *awaits; /* ACL_UNDECIDED: the first that the address decides about */
	unsigned lifts;            /* bits of enum acl_lift */
	/* What the rules up to that one set, each the first of its kind; NULL: none does. */
	const struct rule *source, *bandwidth, *log;
};

/* With nothing known of the address: before the name is asked for.  With one: for each. */
void acl_judge(
    const struct acl *acl, const struct acl_facts *facts, struct acl_verdict *ret_verdict);

/* The bytes of what a rule limits. */
static inline struct allowance acl_allowance(const struct acl_verdict *verdict)
{
	const struct rule *rule = verdict->bandwidth;

	return rule ? (struct allowance){rule->bucket, rule->bandwidth} : (struct allowance){0};
}

/* A denial is kept out of the log only by the rule that denies. */
static inline bool acl_logs(const struct acl_verdict *verdict)
{
	if (!verdict->log || verdict->log->log)
		return true;
	return verdict->fail != FAIL_NONE &&
	       (verdict->fail != FAIL_RULE_DENIED || !verdict->rule->has_log || verdict->rule->log);
}

#endif
