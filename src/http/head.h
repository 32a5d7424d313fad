/*
 * head -- a raw message head, checked byte by byte.
 *
 * Every rule of RFC 9112 that decides where a message ends is held here, strictly:
 * what is ambiguous is an error, nothing is repaired.  First head_scan finds the end
 * of the head in what has arrived, refusing bad bytes as soon as they are seen; then
 * head_parse_* reads the complete head.  No I/O.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "http/reply.h"

struct head_limits {
	size_t line;   /* bytes of the start line, without CRLF */
	size_t size;   /* bytes of the whole head, its CRLFs and what was skipped included; a head
			  that has not ended with so many is refused, so a buffer of this size does */
	size_t fields; /* field lines */
};

/* The fields that something here or in headers decides about; all others are FIELD_OTHER. */
enum field_id {
	FIELD_OTHER,
	FIELD_ACCEPT,
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

/* How far head_scan has come.  All zero to begin. */
struct head_scan {
	size_t pos;        /* bytes looked at */
	size_t line_start; /* offset of the line being looked at */
	size_t lines;      /* complete lines, the start line included */
	size_t skipped;    /* of an empty line in front of a request: 0 or 2 */
};

enum head_progress { HEAD_MORE, HEAD_COMPLETE, HEAD_BAD };

/*
 * Look at data, which begins with the first byte after the last message and has
 * grown since the last call (it may have moved).  Linear in all, and the verdict does
 * not depend on how the data came in pieces.  Up to one empty line before a request
 * line is skipped (RFC 9112 2.2); for responses there is none.  HEAD_COMPLETE:
 * *ret_len is the length of the head, everything before it (scan->skipped) included.
 * HEAD_BAD: *ret_error has FAIL_BAD_REQUEST, FAIL_LINE_TOO_LONG or FAIL_HEAD_TOO_LARGE
 * and a sentence: bare CR, bare LF, NUL, controls.  A response's caller translates.
 * After these two the scan is over.
 */
struct head_source {
	const char *data;
	size_t len;
	bool request;
};
struct head_error {
	enum fail fail;
	const char *why; /* static */
};
enum head_progress head_scan(struct head_scan *scan, const struct head_source *source,
    const struct head_limits *limits, size_t *ret_len, struct head_error *ret_error);

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
