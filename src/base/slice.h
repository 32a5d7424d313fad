/*
 * slice -- a run of bytes that somebody else owns.
 *
 * Not terminated, may hold any byte.  Comparisons that ignore case do so for
 * ASCII only, whatever the locale.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

/* The slice of a string literal. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

/* Of a string with a NUL at its end, without that. */
static inline struct slice slice_of(const char *text)
{
	return (struct slice){text, strlen(text)};
}

bool slice_equal_nocase(struct slice a, struct slice b);

/* Inline, so that the length of a literal is known and most comparisons end with it. */
static inline bool slice_is(struct slice s, const char *text)
{
	/* An empty slice may have no pointer, which memcmp does not take. */
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.ptr, text, s.len) == 0);
}

static inline bool slice_is_nocase(struct slice s, const char *text)
{
	return s.len == strlen(text) && slice_equal_nocase(s, (struct slice){text, s.len});
}

/* Without the spaces and tabs at both ends (RFC 9110 5.6.3, OWS). */
struct slice slice_trim(struct slice s);

/*
 * Take the next element off a comma-separated list (RFC 9110 5.6.1): *rest is
 * moved behind it, *ret_item is trimmed and not empty.  Returns false at the end.
 * Commas inside quoted strings do not separate.
 */
bool slice_next_item(struct slice *rest, struct slice *ret_item);

#endif
