/*
 * page -- what the proxy has to say to a person, as HTML or as plain text.
 *
 * In all but label and token any bytes will do: they are escaped where they are written, and what
 * is neither ASCII nor UTF-8, or a control, is a "?" there.
 */
#ifndef HTTP_PAGE_H
#define HTTP_PAGE_H

#include <stdbool.h>

#include "base/text.h"

/* The strings are borrowed, the texts are freed by page_done. */
struct page {
	struct text title;
	const char *sentence;
	const char *label;  /* of detail */
	struct text detail; /* may be empty */
	const char *name;   /* ours, at the foot */
	const char *token;  /* to name the failure by when one asks for help; NULL: none */
};

void page_write(struct text *out, const struct page *page, bool html);
const char *page_type(bool html); /* of content */
void page_done(struct page *page);

#endif
