/*
 * users -- the files of auth.users and auth.groups, read into a snapshot, and who is asked.
 */
#ifndef PROXY_USERS_H
#define PROXY_USERS_H

#include <stdbool.h>

#include "base/attr.h"

struct addr;
struct config;
struct load;

/*
 * Read what the keys name, if anything.  0, or -1 with the message written, which names both files
 * and both lines.  A member of a group who is no user is warned of.
 */
MUST_USE int users_load(const struct load *l);

/* Whether a client from there has to say who it is. */
bool users_ask(const struct config *config, const struct addr *client);

#endif
