/*
 * rules -- access.rules of the file, as rules of the acl.
 */
#ifndef PROXY_RULES_H
#define PROXY_RULES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "proxy/load.h"

/*
 * Give config->acl the rules that config->written.rules says, when all else is loaded.  Lists of
 * hosts that have not changed since old, which may be NULL, was loaded are taken from it; *stop
 * (may be NULL) turning true ends it.  0, or -1 with the message written: "penstock.conf:14:
 * access.rules[3].time: must be ..."; rules are counted from 1.
 */
MUST_USE int rules_build(const struct load *l, const struct config *old, const atomic_bool *stop);

#endif
