/*
 * head -- a raw message head, checked byte by byte.
 *
 * Every rule of RFC 9112 that decides where a message ends is held here, strictly:
 * what is ambiguous is an error, nothing is repaired.  First head_scan (scan.h) finds the
 * end of the head in what has arrived, refusing bad bytes as soon as they are seen; then
 * head_parse_* reads the complete head.  No I/O.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/field.h"
#include "http/reply.h"
#include "http/scan.h"

struct head {
	/* request */
	struct slice method, target;
	/* response */
	int status; /* 100 to 599 */
	struct slice reason;
	/* both */
	int minor;            /* HTTP/1.minor: 0 or 1 */
	struct field *fields; /* in their order; allocated, freed by head_done */
	size_t field_count;
	uint64_t content_length; /* when has_length */
	bool has_length, chunked;
	bool close, keep_alive; /* options of Connection, and of Proxy-Connection in requests */
	bool upgrade;           /* Connection names upgrade and Upgrade names something; never in
				   a request of HTTP/1.0 (RFC 9110 7.8) */
	bool expect_continue;   /* likewise never in HTTP/1.0 (RFC 9110 10.1.1) */
	struct slice host;      /* value of Host; ptr NULL when there is none */
};

/*
 * Read a complete head (its empty line included, what was skipped in front not) that
 * head_scan has let through: the bytes of values are not looked at again.  The
 * slices borrow from text.  FAIL_NONE, or a failure and a sentence (static, without
 * quotes or backslashes); then *ret_head is as it was and there is nothing to free.
 * Responses: every failure is FAIL_BAD_RESPONSE (or FAIL_NO_MEMORY).  The
 * request-target is left to target_parse, but for spaces.
 */
enum fail head_parse_request(struct head *ret_head, struct slice text, const char **ret_why);
enum fail head_parse_response(struct head *ret_head, struct slice text, const char **ret_why);
void head_done(struct head *head); /* all zero again */

/* The first field with this id at or behind index `from`, or NULL. */
const struct field *head_find(const struct head *head, enum field_id id, size_t from);

/* Check one field line of a trailer section (without CRLF) by the same rules. */
bool head_is_field_line(struct slice line);

bool head_is_token(struct slice text); /* RFC 9110 5.6.2 */

#endif
