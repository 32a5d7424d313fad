/*
 * basic -- user name and password out of a Proxy-Authorization field (RFC 7617).
 *
 * Read strictly: one scheme, base64 with its padding and nothing behind it, no control
 * characters.  The bytes are taken as they are, which is UTF-8 when the client heeds our charset.
 */
#ifndef HTTP_BASIC_H
#define HTTP_BASIC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

#define BASIC_NAME_MAX 255
#define BASIC_PASSWORD_MAX 511 /* crypt(3) takes no longer one */

/* With a NUL behind each, which the lengths do not count.  For basic_wipe when it is done with. */
struct basic {
	size_t name_len, password_len;
	char name[BASIC_NAME_MAX + 1];
	char password[BASIC_PASSWORD_MAX + 1];
};

/* Whether the field's value is of the scheme Basic; others are not spoken here. */
bool basic_is_scheme(struct slice value);

/* Read such a value.  Returns 0, or -1 with a static sentence; then nothing is kept of it. */
MUST_USE int basic_decode(struct slice value, struct basic *ret_basic, const char **ret_why);

void basic_wipe(struct basic *basic);

/* Whether a name can be said in this scheme: 1 to BASIC_NAME_MAX bytes, no colon, no control. */
bool basic_is_name(struct slice name);
/* The same for a password, which may have colons. */
bool basic_is_password(struct slice password);

#endif
