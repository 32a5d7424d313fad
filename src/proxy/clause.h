/*
 * clause -- a rule of access.rules as it is written: its parts by name, with their values.
 *
 * Only the shape is looked at here; what the parts mean is for rules and condition.
 */
#ifndef PROXY_CLAUSE_H
#define PROXY_CLAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/attr.h"

struct config_setting_t;

#define CLAUSE_VALUES_MAX 65536 /* of one part */
#define CLAUSE_VALUE_MAX 4095   /* bytes */

struct clause_part {
	char *name;
	unsigned line;
	bool is_number, is_list;
	int number;
	char **values; /* strings; one when it is no list */
	size_t count;
};

struct clause {
	unsigned line;
	struct clause_part *parts;
	size_t count;
};

/* What is wrong, and where. */
struct clause_fault {
	unsigned line;
	const char *part; /* its name, the setting's; NULL: the clause itself */
	const char *must; /* "must be ..."; NULL: out of memory */
};

/* Read a setting.  -1: the fault says why; what was read is there all the same, for clause_done. */
MUST_USE int clause_read(
    const struct config_setting_t *setting, struct clause *ret, struct clause_fault *ret_fault);
void clause_done(struct clause *clause);

/* NULL: there is none of that name. */
const struct clause_part *clause_find(const struct clause *clause, const char *name);

/* "{ host = [ "a", "b" ]; action = "deny"; }" */
void clause_print(const struct clause *clause, FILE *out);

#endif
