/*
 * admission -- what one exchange has been granted by the limits, and gives back at its end: its
 * tunnel, its place at an origin, and the bucket that its bytes are paid from.
 */
#ifndef PROXY_ADMISSION_H
#define PROXY_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "policy/limit.h"

struct head;
struct intake;
struct route;

/* Where it asks; all is borrowed. */
struct admission_gate {
	struct limit *limit;
	const struct limit_rules *rules;
	struct intake *intake; /* its client */
};

/* All zero at first. */
struct admission {
	struct limit_account *tunnelling; /* counts it as a tunnel; NULL: nobody does */
	struct limit_origin *origin;      /* counts it; NULL: not counted */
	struct allowance allowance;       /* of bytes: the client's, or a rule's */
	bool by_rule;                     /* the client's wire pays from a bucket of the config */
};

/*
 * A request has come.  LIMIT_NONE: it may go on; else the rule that speaks against it, and how long
 * it will.  now in nanoseconds, as in limit.
 */
enum limit_rule admission_request(struct admission *a, const struct admission_gate *gate,
    const struct head *head, uint64_t now, uint64_t *ret_wait);

/* It wants to go there. */
enum limit_rule admission_origin(
    struct admission *a, const struct admission_gate *gate, const struct route *route);

/*
 * From now on its bytes are a rule's, no more the client's; with a bucket of NULL they stay the
 * client's.  -1 when out of memory.
 */
MUST_USE int admission_rule(
    struct admission *a, const struct admission_gate *gate, struct allowance allowance);

/* The client's socket is a tunnel's from now on, which has the allowance. */
void admission_detach(struct admission *a);

void admission_end(struct admission *a, const struct admission_gate *gate);

#endif
