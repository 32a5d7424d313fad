/*
 * identity -- the user that the daemon runs as, once it no longer needs to be root.
 */
#ifndef BASE_IDENTITY_H
#define BASE_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/attr.h"

#define IDENTITY_NAME_MAX 32

struct identity {
	char name[IDENTITY_NAME_MAX + 1];
	uid_t uid;
	gid_t gid; /* its primary group */
};

/* Letters, digits, "_", "-", "."; 1 to IDENTITY_NAME_MAX of them, and no "-" in front. */
bool identity_is_name(const char *name);

/* Look the user up.  Returns 0, or -1 with errno; ENOENT: there is none of that name. */
MUST_USE int identity_find(const char *name, struct identity *ret_identity);

/*
 * As root: have the file there, for this user to write to.  One that exists is left as it is,
 * whoever owns it; a new one is made 0640 and given to the user.  Nothing that is there is
 * followed or changed, so it is no matter who can write to the folder.
 * Returns 0, or -1 with errno.
 */
MUST_USE int identity_make_file(const struct identity *identity, const char *path);

/*
 * Be this user for good: groups, group, user, all of real, effective and saved, and no way
 * back, which is tried.  Core dumps stay possible.  For the only thread there is.
 * Returns 0, or -1 with errno and *ret_step: what failed, as the end of "cannot ...".
 */
MUST_USE int identity_assume(const struct identity *identity, const char **ret_step);

#endif
