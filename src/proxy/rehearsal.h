/*
 * rehearsal -- what a start would do, tried without doing it.
 *
 * Changes nothing but this process, which may become another user: no file is made, and a daemon
 * that runs is not disturbed.
 */
#ifndef PROXY_REHEARSAL_H
#define PROXY_REHEARSAL_H

#include <stdio.h>

#include "base/attr.h"

struct config;

/*
 * Whether a start with this configuration, by this user, on this machine as it is, would succeed.
 * What would not is a line each, to `wrong`; what is worth knowing goes to `notes`.  0 or -1.
 */
MUST_USE int rehearsal_run(const struct config *config, FILE *notes, FILE *wrong);

#endif
