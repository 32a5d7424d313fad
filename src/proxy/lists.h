/*
 * lists -- the files of access.blocklists, read into a snapshot, and what is said of them.
 */
#ifndef PROXY_LISTS_H
#define PROXY_LISTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

#define LISTS_LINE_MAX 1024

struct blocklist_list;
struct config;
struct load;

/* Read what the key names, if anything.  0, or -1 with the message written. */
MUST_USE int lists_load(const struct load *l);

/* In the order in which they were written; NULL behind the last. */
const struct blocklist_list *lists_at(const struct config *config, size_t index);

/*
 * "list ads (/etc/penstock/ads.txt): 4711 names, 12 exceptions", and how many lines are unknown.
 * Returns whether all is well: there are none of these, and there are names.
 */
bool lists_describe(const struct blocklist_list *list, char *out, size_t size);

/* A line for each list that has been read anew, a warning where not all is well. */
void lists_log(const struct config *config);

/* How many requests each has denied, as a metric. */
void lists_log_totals(const struct config *config);

#endif
