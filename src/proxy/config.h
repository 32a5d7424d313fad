/*
 * config -- the libconfig file as one immutable, counted snapshot: loaded, printed, compared.
 *
 * The values, struct config, are in snapshot.h, with config_ref and config_unref; every
 * key is a row of the table in key.c.
 */
#ifndef PROXY_CONFIG_H
#define PROXY_CONFIG_H

#include <stddef.h>
#include <stdio.h>

#include "proxy/snapshot.h"

struct load_help;

/* Where and why a file was refused.  "conf/x.conf:12: limits.head: must be 1024 to 1048576". */
struct config_error {
	char message[512];
};

/* Returns new (counted once), or NULL with the error filled in.  path NULL: the defaults. */
struct config *config_load(const char *path, struct config_error *ret_error);
struct config *config_load_again(
    const char *path, const struct load_help *help, struct config_error *ret_error);
/* The same from a string, which is named in messages; for tests and fuzzing.  Files that it names
 * are not read. */
struct config *config_parse(const char *text, const char *name, struct config_error *ret_error);

/*
 * The first key from *index on that only a start takes up and that differs; NULL when there is
 * none.  *index is moved behind it.
 */
const char *config_fixed_change(
    const struct config *old, const struct config *fresh, size_t *index);

/* The effective configuration as a file that loads to the same. */
void config_print(const struct config *config, FILE *out);

/* Every key's full name in turn ("timeouts.head"), NULL behind the last: for `make keys`. */
const char *config_key(size_t index);

#endif
