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
#include <string.h>

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
void text_add_more(struct text *t, const char *bytes, size_t len); /* text_add, out of line */
void text_add_number(struct text *t, unsigned long long number);
void text_add_format(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);

/* Inline: heads are made of many small pieces, and most find room. */
static inline void text_add(struct text *t, const char *bytes, size_t len)
{
	if (len == 0 || len >= t->size - t->len || t->failed) {
		text_add_more(t, bytes, len);
		return;
	}
	memcpy(t->ptr + t->len, bytes, len);
	t->len += len;
	t->ptr[t->len] = '\0';
}

static inline void text_add_slice(struct text *t, struct slice s)
{
	text_add(t, s.ptr, s.len);
}

/* What it says so far; borrowed. */
static inline struct slice text_slice(const struct text *t)
{
	return (struct slice){t->ptr, t->len};
}

static inline void text_add_string(struct text *t, const char *string)
{
	text_add(t, string, strlen(string));
}

#endif
