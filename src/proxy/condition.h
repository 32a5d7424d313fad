/*
 * condition -- what a rule of access.rules may ask for: the names, and how values are written.
 */
#ifndef PROXY_CONDITION_H
#define PROXY_CONDITION_H

#include "http/target.h"
#include "policy/rulebook.h"

#define CONDITION_HOST_SIZE (TARGET_HOST_MAX + 1)

/*
 * Fill in what the text says: 0, or -1 when it is no such value.  Borrows the text, and host of
 * CONDITION_HOST_SIZE bytes, into which a host is written as targets have it.  Files of hosts, and
 * the zone of a time, are up to the caller.
 */
typedef int condition_value_fn(const char *text, char *host, struct rule_value *ret);

struct condition {
	const char *name;
	enum rule_condition kind;
	condition_value_fn *value;
	const char *expects; /* "must be ..." */
};

/* NULL: there is none of that name. */
const struct condition *condition_find(const char *name);

#endif
