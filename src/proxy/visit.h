/*
 * visit -- one client connection as the limits see it: let in, or turned away, until it leaves.
 */
#ifndef PROXY_VISIT_H
#define PROXY_VISIT_H

#include <stdbool.h>

#include "base/attr.h"

struct addr;
struct config;
struct limit;
struct limit_account;
struct refusal;
struct wire;

/* All zero at first. */
struct visit {
	bool entered;                  /* counted by limit */
	struct limit_account *account; /* NULL: not yet needed */
};

/* What decides; all is borrowed. */
struct visit_gate {
	struct limit *limit;
	struct refusal *refusal;
	const struct config *config;
};

/*
 * Whether it is within the limits.  Else it gets an answer, as far as that goes out at once, and is
 * to be closed: reading first what has come, so that closing does not reset the connection under
 * the answer.
 */
MUST_USE bool visit_begin(
    struct visit *v, const struct visit_gate *gate, const struct addr *client, struct wire *wire);
void visit_end(struct visit *v, struct limit *limit);

/* The client's, while the visit lasts.  NULL when out of memory. */
struct limit_account *visit_account(
    struct visit *v, struct limit *limit, const struct addr *client);

#endif
