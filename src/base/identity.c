#include "base/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Of one line of the user database. */
#define IDENTITY_RECORD_MAX 16384

bool identity_is_name(const char *name)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t len = strlen(name);

	return len > 0 && len <= IDENTITY_NAME_MAX && name[0] != '-' &&
	       strspn(name, allowed) == len;
}

int identity_find(const char *name, struct identity *ret_identity)
{
	struct passwd record, *found = NULL;
	char *buffer = malloc(IDENTITY_RECORD_MAX);
	int error = ENOMEM;

	if (buffer != NULL)
		error = getpwnam_r(name, &record, buffer, IDENTITY_RECORD_MAX, &found);
	if (error == 0 && (found == NULL || !identity_is_name(name)))
		error = ENOENT;
	if (error == 0) {
		snprintf(ret_identity->name, sizeof(ret_identity->name), "%s", name);
		ret_identity->uid = record.pw_uid;
		ret_identity->gid = record.pw_gid;
	}
	free(buffer);
	errno = error;
	return error == 0 ? 0 : -1;
}

int identity_make_file(const struct identity *identity, const char *path)
{
	/* With O_EXCL a link is not followed either. */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0640);
	int error = 0;

	if (fd < 0)
		return errno == EEXIST ? 0 : -1;
	if (fchown(fd, identity->uid, identity->gid) != 0)
		error = errno;
	close(fd);
	errno = error;
	return error == 0 ? 0 : -1;
}

/* Whether nothing of who we were is left. */
static bool identity_is_assumed(const struct identity *identity)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (uids[i] != identity->uid || gids[i] != identity->gid)
			return false;
	/* Root may always: it is to be refused. */
	return setuid(0) != 0 && seteuid(0) != 0 && (identity->gid == 0 || setegid(0) != 0);
}

int identity_assume(const struct identity *identity, const char **ret_step)
{
	*ret_step = "set the groups";
	if (initgroups(identity->name, identity->gid) != 0)
		return -1;
	*ret_step = "change the group";
	if (setresgid(identity->gid, identity->gid, identity->gid) != 0)
		return -1;
	*ret_step = "change the user";
	if (setresuid(identity->uid, identity->uid, identity->uid) != 0)
		return -1;
	*ret_step = "be sure that root is left behind";
	if (!identity_is_assumed(identity)) {
		errno = EPERM;
		return -1;
	}
	/* The kernel takes it away with a change of user. */
	*ret_step = "allow core dumps";
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
