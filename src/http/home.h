/*
 * home -- what the proxy answers when it is asked itself: in origin-form, with "*", or as the
 * last one that Max-Forwards allows.
 */
#ifndef HTTP_HOME_H
#define HTTP_HOME_H

#include "http/head.h"
#include "http/reply.h"
#include "http/target.h"

struct text;

/* FAIL_NONE: a 200 was appended.  `reply` says how: name, html, close and so on. */
enum fail home_write(struct text *out, const struct head *request, const struct target *target,
    const struct reply *reply);

#endif
