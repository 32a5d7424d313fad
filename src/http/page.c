#include "http/page.h"

#include "base/attr.h"
#include "base/utf8.h"

/* The character that s begins with, made harmless.  Returns its bytes. */
static size_t add_character(struct text *out, struct slice s)
{
	size_t len = s.ptr[0] >= ' ' && s.ptr[0] <= '~' ? 1 : utf8_len(s);

	text_add(out, len > 0 ? s.ptr : "?", len > 0 ? len : 1);
	return len > 0 ? len : 1;
}

static void add_plain(struct text *out, struct slice s)
{
	for (size_t i = 0; i < s.len;)
		i += add_character(out, (struct slice){&s.ptr[i], s.len - i});
}

static void add_html(struct text *out, struct slice s)
{
	static const struct {
		char c;
		const char *entity;
	} entities[] = {
	    {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};

	for (size_t i = 0; i < s.len;) {
		size_t k = 0;

		while (k < ARRAY_LEN(entities) && entities[k].c != s.ptr[i])
			k++;
		if (k == ARRAY_LEN(entities)) {
			i += add_character(out, (struct slice){&s.ptr[i], s.len - i});
			continue;
		}
		text_add_string(out, entities[k].entity);
		i++;
	}
}

static void page_write_html(struct text *out, const struct page *page)
{
	text_add_string(out,
	    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
	add_html(out, text_slice(&page->title));
	text_add_string(out, "</title>\n<style>\n:root { color-scheme: light dark; }\n"
			     "body { font: 1rem/1.5 sans-serif; max-width: 38rem; margin: 4rem "
			     "auto; padding: 0 1rem; }"
			     "\nh1 { font-size: 1.4rem; }\npre { white-space: pre-wrap; "
			     "}\n</style>\n</head>\n<body>\n"
			     "<h1>");
	add_html(out, text_slice(&page->title));
	text_add_string(out, "</h1>\n<p>");
	add_html(out, slice_of(page->sentence));
	text_add_string(out, "</p>\n");
	if (page->detail.len > 0) {
		text_add_string(out, "<p>");
		text_add_string(out, page->label);
		text_add_string(out, "</p>\n<pre>");
		add_html(out, text_slice(&page->detail));
		text_add_string(out, "</pre>\n");
	}
	text_add_string(out, "<p><small>");
	add_html(out, slice_of(page->name));
	if (page->token != NULL) {
		text_add_string(out, ": ");
		text_add_string(out, page->token);
	}
	text_add_string(out, "</small></p>\n</body>\n</html>\n");
}

static void page_write_plain(struct text *out, const struct page *page)
{
	add_plain(out, text_slice(&page->title));
	text_add_string(out, "\n\n");
	add_plain(out, slice_of(page->sentence));
	text_add_string(out, "\n");
	if (page->detail.len > 0) {
		text_add_string(out, "\n");
		text_add_string(out, page->label);
		text_add_string(out, "\n");
		add_plain(out, text_slice(&page->detail));
		text_add_string(out, "\n");
	}
	text_add_string(out, "\n-- \n");
	add_plain(out, slice_of(page->name));
	if (page->token != NULL) {
		text_add_string(out, ": ");
		text_add_string(out, page->token);
	}
	text_add_string(out, "\n");
}

void page_write(struct text *out, const struct page *page, bool html)
{
	if (html)
		page_write_html(out, page);
	else
		page_write_plain(out, page);
	if (page->title.failed || page->detail.failed)
		out->failed = true;
}

const char *page_type(bool html)
{
	return html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8";
}

void page_done(struct page *page)
{
	text_done(&page->title);
	text_done(&page->detail);
}
