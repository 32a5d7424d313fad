/*
 * hostfile -- the files of host names that rules name, each read once for a configuration.
 */
#ifndef PROXY_HOSTFILE_H
#define PROXY_HOSTFILE_H

struct load;
struct nameset;

/*
 * The names in the file, which the config that is loaded keeps; without l->help none is read.
 * NULL with a sentence.  Lines that no format explains are told in the log.
 */
struct nameset *hostfile_get(const struct load *l, const char *path, const char **ret_why);

#endif
