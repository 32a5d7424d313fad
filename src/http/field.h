/*
 * field -- one line of a head or a trailer section, split into name and value.
 *
 * Strictly by RFC 9112 5: a token, the colon at once behind it, and no folding.
 * The bytes of the value are not looked at; scan does that.
 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include <stdbool.h>

#include "base/slice.h"

/* The fields that something in head or headers decides about; all others are FIELD_OTHER. */
enum field_id {
	FIELD_OTHER,
	FIELD_ACCEPT,
	FIELD_AUTHORIZATION,
	FIELD_CONNECTION,
	FIELD_CONTENT_LENGTH,
	FIELD_EXPECT,
	FIELD_HOST,
	FIELD_KEEP_ALIVE,
	FIELD_MAX_FORWARDS,
	FIELD_PROXY_AUTHENTICATE,
	FIELD_PROXY_AUTHENTICATION_INFO,
	FIELD_PROXY_AUTHORIZATION,
	FIELD_PROXY_CONNECTION,
	FIELD_REFERER,
	FIELD_TE,
	FIELD_TRAILER,
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_USER_AGENT,
	FIELD_VIA
};

struct field {
	struct slice name;  /* a token, as written */
	struct slice value; /* without the white space around it, else byte for byte */
	enum field_id id;
};

/* Split a line (without CRLF), which the field then borrows from: token ":" OWS value OWS. */
bool field_split(struct slice line, struct field *ret_field);

/*
 * What is wrong with a line, not empty, that field_split refused: a static sentence.
 * `first`: it is the first one behind the start line.
 */
const char *field_complaint(struct slice line, bool first);

#endif
