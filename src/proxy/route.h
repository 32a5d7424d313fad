/*
 * route -- where one request wants to go: its target, its addresses, and whether it may go there.
 *
 * A value that an exchange fills in step by step: read, judged by name, resolved, vetted by
 * address.  The addresses that are left are the only ones that may be connected to: a name is
 * resolved once.
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include <stddef.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "http/reply.h"
#include "http/target.h"
#include "net/addr.h"
#include "net/resolver.h"
#include "net/source.h"
#include "policy/acl.h"

struct blocklist_list;
struct config;
struct door;
struct entrance;
struct head;
struct htpasswd_user;

/* What the rules set for a connection to one address.  Values: it may outlive the rules. */
struct route_terms {
	struct addr to;
	struct allowance allowance;
	bool logs;
};

struct route {
	struct target target;
	const struct door *door; /* it leads elsewhere; borrowed */
	struct source source;    /* connections leave from it */
	struct acl_facts facts;  /* of the client and its request; the rest is added by judging */
	const struct blocklist_list *listed; /* the list that its host is on; NULL: none */
	struct acl_verdict verdict;          /* the last one */
	size_t addr_count;
	struct addr addrs[RESOLVER_ADDRS_MAX]; /* with the target's port, once they are vetted */
	bool has_terms;                        /* there are rules, and so there is room for: */
	struct route_terms terms[];            /* of each address that is vetted */
};

/* Who asks; all is borrowed. */
struct route_asker {
	const struct addr *client;
	const struct htpasswd_user *user; /* NULL: nobody in particular */
	const struct entrance *listener;  /* where the client came in */
	const struct door *door;          /* where nobody is led */
	int64_t now;                      /* seconds since 1970 */
};

/* Returns new, for routes that are judged by this configuration; recycle_free frees it. */
struct route *route_new(const struct config *config) MUST_USE;

/* The target of a request, and what rules may ask for; *ret_why is a sentence, or NULL. */
enum fail route_read(struct route *route, const struct head *head, const struct route_asker *asker,
    const char **ret_why);

struct slice route_host(const struct route *route);

/* By what is known without asking for the name. */
enum fail route_judge(struct route *route, const struct config *config);

/*
 * Add the addresses of an answer: those that are allowed, and that the family and the source leave,
 * in the family's order.  When none is added, why: FAIL_NONE only if others are there already, and
 * *ret_why is a sentence or left alone.  The verdict is that of the first address that is allowed,
 * or of the first one when none is.
 */
enum fail route_add(struct route *route, const struct resolver_answer *answer,
    const struct config *config, const char **ret_why);

/* Where it has them: those for one of the addresses that are vetted.  NULL: it is none. */
const struct route_terms *route_terms(const struct route *route, const struct addr *to);

/*
 * Whether a configuration would let what stands through to there, the user by its name.  Fills in
 * the route, of which the verdict and listed mean something in any case.
 */
enum fail route_recheck(struct route *route, const struct head *head,
    const struct route_asker *asker, const struct config *config, const struct addr *to);

/* What it is when none of the addresses could be connected to, with this errno. */
enum fail route_unreachable(int error);

#endif
