/*
 * scan -- where a message head ends, found while it arrives.
 *
 * Lines are counted and measured, and every byte that has no place in a head is
 * refused as soon as it is seen; what the lines say is left to head.  No I/O, no
 * memory: the same data is shown again, longer, until there is a verdict.
 */
#ifndef HTTP_SCAN_H
#define HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "http/reply.h"

/* A message is refused above them. */
struct head_limits {
	size_t line;   /* bytes of the start line, without CRLF */
	size_t size;   /* bytes of the whole head, its CRLFs and what was skipped included; a head
			  that has not ended with so many is refused, so a buffer of this size does */
	size_t fields; /* field lines */
};

/* How far head_scan has come.  All zero to begin. */
struct head_scan {
	size_t pos;        /* bytes looked at */
	size_t line_start; /* offset of the line being looked at */
	size_t lines;      /* complete lines, the start line included */
	size_t skipped;    /* of an empty line in front of a request: 0 or 2 */
};

enum head_progress { HEAD_MORE, HEAD_COMPLETE, HEAD_BAD };

struct head_source {
	const char *data;
	size_t len;
	bool request;
};

struct head_error {
	enum fail fail;
	const char *why; /* static */
};

/*
 * Look at source->data, which begins with the first byte after the last message and has
 * grown since the last call (it may have moved).  Linear in all, and the verdict does
 * not depend on how the data came in pieces.  Up to one empty line before a request
 * line is skipped (RFC 9112 2.2); for responses there is none.  HEAD_COMPLETE:
 * *ret_len is the length of the head, everything before it (scan->skipped) included.
 * HEAD_BAD: *ret_error has FAIL_BAD_REQUEST, FAIL_LINE_TOO_LONG or FAIL_HEAD_TOO_LARGE
 * and a sentence: bare CR, bare LF, NUL, controls.  A response's caller translates.
 * After these two the scan is over.
 */
enum head_progress head_scan(struct head_scan *scan, const struct head_source *source,
    const struct head_limits *limits, size_t *ret_len, struct head_error *ret_error);

#endif
