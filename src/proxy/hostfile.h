/*
 * hostfile -- the files of host names that rules name, each read once for a configuration.
 */
#ifndef PROXY_HOSTFILE_H
#define PROXY_HOSTFILE_H

#include <stdatomic.h>
#include <stdbool.h>

struct config;
struct nameset;

/*
 * The names in the file, which the config keeps.  What has not changed since old, which may be
 * NULL, was loaded is taken from it; *stop (may be NULL) turning true ends it.  NULL with a
 * sentence.  Lines that no format explains are told in the log.
 */
struct nameset *hostfile_get(struct config *config, const char *path, const struct config *old,
    const atomic_bool *stop, const char **ret_why);

#endif
