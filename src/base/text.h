/*
 * text -- a piece of text that grows while it is written.
 *
 * Embedded; all zero is a valid empty text.  A failed allocation makes it
 * `failed` for good and later additions do nothing, so a writer checks once, at
 * its end.  Always terminated with a NUL that `len` does not count.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

struct text {
	char *ptr; /* NULL while empty */
	size_t len;
	size_t size; /* allocated */
	bool failed;
};

void text_done(struct text *t);
void text_clear(struct text *t); /* empty, memory kept, no longer failed */
void text_add(struct text *t, const char *bytes, size_t len);
void text_add_slice(struct text *t, struct slice s);
void text_add_string(struct text *t, const char *string);
void text_add_number(struct text *t, unsigned long long number);
void text_add_format(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
