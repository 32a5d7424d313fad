/*
 * name -- a host name that can be asked for, checked and in lower case.
 *
 * RFC 1123 2.1 with the underscore that is met in the wild: labels of 1 to 63
 * letters, digits, '-' and '_', 253 bytes in all.  International names only as
 * A-labels (RFC 5890, "xn--...").  A name whose last label is a number is none: it
 * is an address that somebody has mistyped, or hopes will be taken for one.
 */
#ifndef NET_NAME_H
#define NET_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

#define NAME_TEXT_MAX 253 /* RFC 1035 3.1, as text without the last dot */

struct name {
	size_t len;
	char text[NAME_TEXT_MAX + 1]; /* lower case, no trailing dot, terminated */
};

/*
 * One trailing dot is allowed.  0, or -1 for what cannot be asked for: what is in *ret_name then
 * means nothing.
 */
MUST_USE int name_parse(struct slice text, struct name *ret_name);

/* "localhost" and what is below it (RFC 6761 6.3): this machine, whatever a name server says. */
bool name_is_localhost(const char *text);

#endif
