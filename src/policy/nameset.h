/*
 * nameset -- a very large set of host names, read from a file, matched by suffix.
 *
 * Written once, while it is loaded, and read-only afterwards: all workers share one without a lock.
 * A name in the set stands for itself and all names below it.  Some are exceptions; of
 * the names in the set that a host is or is below, the longest decides.
 *
 * A name takes its length and 4 bytes more, about twice that while it is loaded.  The memory comes
 * straight from the kernel and goes back there.
 */
#ifndef POLICY_NAMESET_H
#define POLICY_NAMESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct leisure;
struct nameset;

/* What was found in the file. */
struct nameset_facts {
	size_t names, exceptions; /* different ones */
	uint64_t unknown;         /* lines that no format of namelist explains */
	uint64_t first_unknown;   /* the number of the first, from 1 on */
};

/* The name in the set that decides about a host. */
struct nameset_match {
	size_t len; /* of the name: the longer, the more it says */
	bool exception;
};

/*
 * Read the file.  old, which may be NULL, was loaded from the same path before: when the file has
 * not changed since then, it is returned, counted once more.  leisure (may be NULL): how much time
 * to take.  Returns new (counted once), or NULL with errno; EINVAL: not a regular file, EFBIG: more
 * than 2 GiB, ESTALE: its size changes while it is read, ECANCELED: stopped.
 */
struct nameset *nameset_load(
    const char *path, struct nameset *old, struct leisure *leisure) MUST_USE;
/* The same from a text. */
struct nameset *nameset_parse(struct slice text) MUST_USE;

void nameset_unref(struct nameset *set); /* NULL is fine */

/* Whether the set says something about the host: lower case, no trailing dot. */
bool nameset_find(const struct nameset *set, struct slice host, struct nameset_match *ret_match);

/* Whether the host is in the set, and no exception. */
static inline bool nameset_has(const struct nameset *set, struct slice host)
{
	struct nameset_match match;

	return nameset_find(set, host, &match) && !match.exception;
}

const struct nameset_facts *nameset_facts(const struct nameset *set);

#endif
