/*
 * byte -- what a byte is to the grammar of a message head.
 *
 * A byte may be of several classes; CR, LF, NUL, DEL and the controls other than
 * HTAB are of none.
 */
#ifndef HTTP_BYTE_H
#define HTTP_BYTE_H

#include <stddef.h>

enum byte_class {
	BYTE_LINE = 1,  /* visible ASCII and SP: the request line */
	BYTE_VALUE = 2, /* these, HTAB and obs-text: field values and reasons, RFC 9110 5.5 */
	BYTE_TOKEN = 4  /* tchar: names and methods, RFC 9110 5.6.2 */
};

/* The offset from `pos` on, at most `end`, of the first byte that is not of the class. */
size_t byte_skip(const char *bytes, size_t pos, size_t end, enum byte_class class);

#endif
