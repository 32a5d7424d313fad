/*
 * rules -- access.rules of the file, as rules of the acl.
 */
#ifndef PROXY_RULES_H
#define PROXY_RULES_H

#include "base/attr.h"
#include "proxy/load.h"

/*
 * Give config->acl the rules that config->written.rules says, when all else is loaded.  0, or -1
 * with the message written: "penstock.conf:14: access.rules[3].time: must be ..."; rules are
 * counted from 1.
 */
MUST_USE int rules_build(const struct load *l);

#endif
