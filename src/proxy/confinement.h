/*
 * confinement -- what the process gives up once it listens: root, new privileges, system calls.
 *
 * For the main thread, before there are workers: all of it is handed down to them.
 */
#ifndef PROXY_CONFINEMENT_H
#define PROXY_CONFINEMENT_H

#include <stdbool.h>

#include "base/attr.h"

struct config;
struct identity;

/*
 * Who the configuration wants us to be, and whether that is another than who we are; the identity
 * is written only when there is a user in it.  NULL, or why that cannot be.
 */
const char *confinement_user(
    const struct config *config, struct identity *ret_identity, bool *ret_change);

/*
 * Started as root: make the log files, and be `user` from now on.  Then, whoever we are, enter
 * the sandbox.  path is of the configuration, NULL when there is none: that a reload will be
 * able to read it and its lists is looked at.  Returns 0, or -1 when it cannot be; why is logged.
 */
MUST_USE int confinement_enter(const struct config *config, const char *path);

#endif
