/*
 * htpasswd -- the users of an htpasswd file with their hashes, and the groups of a second file.
 *
 * Lines "name:hash" and "group: user user"; empty lines, and those that begin with "#", mean
 * nothing.  Texts come from the caller, no file is opened here.  Once built it is read-only,
 * for any thread; names, hashes and users live as long as it does.
 */
#ifndef POLICY_HTPASSWD_H
#define POLICY_HTPASSWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define HTPASSWD_TEXT_MAX (16 * 1024 * 1024) /* bytes of a file */
#define HTPASSWD_USERS_MAX 100000
#define HTPASSWD_MEMBERS_MAX 1000000 /* of all groups together */
#define HTPASSWD_GROUP_MAX 255       /* bytes of a group's name */

struct htpasswd;

struct htpasswd_user {
	const char *name;          /* as written; may have any byte but ':' and controls */
	const char *hash;          /* for hash_check */
	const char *const *groups; /* in the order of strcmp, each once */
	size_t group_count;
	unsigned line;
};

/* What is wrong with a text, or strange.  The message is one line, names from the file escaped. */
struct htpasswd_note {
	unsigned line; /* 0: nothing is */
	char message[256];
};

struct htpasswd *htpasswd_new(void); /* NULL when out of memory */
void htpasswd_free(struct htpasswd *table);

/* Read the users, once.  0, or -1 with the reason (line 0: out of memory). */
MUST_USE int htpasswd_read_users(
    struct htpasswd *table, struct slice text, struct htpasswd_note *ret_wrong);

/*
 * Read the groups, once, after the users.  Members that are no users are passed over, so that a
 * user can be taken out of one file alone: *ret_strange is of the first of them.
 */
MUST_USE int htpasswd_read_groups(struct htpasswd *table, struct slice text,
    struct htpasswd_note *ret_wrong, struct htpasswd_note *ret_strange);

/* NULL: there is no such user.  Takes no longer for some than for others that matters. */
const struct htpasswd_user *htpasswd_find(const struct htpasswd *table, struct slice name);

/* Some user, the same for the same number; NULL when there is none. */
const struct htpasswd_user *htpasswd_pick(const struct htpasswd *table, uint64_t number);

size_t htpasswd_count(const struct htpasswd *table);

/* Whether anybody is in that group.  Looks at one after the other. */
bool htpasswd_has_group(const struct htpasswd *table, const char *group);

#endif
