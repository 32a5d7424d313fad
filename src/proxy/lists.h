/*
 * lists -- the files of access.blocklists, read into a snapshot.
 */
#ifndef PROXY_LISTS_H
#define PROXY_LISTS_H

#include "base/attr.h"

struct load;

/* Read what the key names, if anything.  0, or -1 with the message written. */
MUST_USE int lists_load(const struct load *l);

#endif
