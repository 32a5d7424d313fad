/*
 * users -- the files of auth.users and auth.groups, read into a snapshot.
 */
#ifndef PROXY_USERS_H
#define PROXY_USERS_H

#include "base/attr.h"

struct load;

/*
 * Read what the keys name, if anything.  0, or -1 with the message written, which names both files
 * and both lines.  A member of a group who is no user is warned of.
 */
MUST_USE int users_load(const struct load *l);

#endif
