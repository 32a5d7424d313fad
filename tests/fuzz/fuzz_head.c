/*
 * A head, request and response, scanned whole and in pieces: the same verdict, and
 * what is accepted keeps what head.h promises.
 *
 * The first byte of an input seeds the sizes of the pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct head_limits limits = {.line = 300, .size = 1500, .fields = 20};

struct verdict {
	enum head_progress progress;
	size_t len;     /* of a complete head */
	size_t skipped; /* of that, in front */
	struct head_error error;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The pieces are up to `most` bytes long.  Every block is just as large as what it holds. */
static struct verdict scan_in_pieces(struct slice text, bool request, size_t most, uint32_t seed)
{
	struct verdict v = {.progress = HEAD_MORE};
	struct head_scan scan = {0};
	size_t given = 0;

	while (v.progress == HEAD_MORE && given < text.len) {
		struct head_source source = {.request = request};
		char *copy;

		seed = seed * 1664525 + 1013904223;
		given += 1 + (seed >> 16) % most;
		if (given > text.len)
			given = text.len;
		copy = malloc(given);
		check(copy != NULL);
		memcpy(copy, text.ptr, given);
		source.data = copy;
		source.len = given;
		v.progress = head_scan(&scan, &source, &limits, &v.len, &v.error);
		check(scan.pos <= given);
		check(v.progress != HEAD_MORE || scan.pos + 1 >= given);
		free(copy);
	}
	v.skipped = scan.skipped;
	return v;
}

static bool is_inside(struct slice part, struct slice text)
{
	return part.ptr >= text.ptr && part.len <= text.len &&
	       (size_t)(part.ptr - text.ptr) <= text.len - part.len;
}

static bool has_byte(struct slice s, char c)
{
	return s.len > 0 && memchr(s.ptr, c, s.len) != NULL;
}

static void check_field(const struct field *f, struct slice text, bool scanned)
{
	check(is_inside(f->name, text) && is_inside(f->value, text));
	check(head_is_token(f->name));
	check(slice_trim(f->value).len == f->value.len);
	check(!has_byte(f->value, '\n'));
	check(!scanned || (!has_byte(f->value, '\r') && !has_byte(f->value, '\0')));
}

static void check_head(const struct head *h, struct slice text, bool request, bool scanned)
{
	for (size_t i = 0; i < h->field_count; i++)
		check_field(&h->fields[i], text, scanned);
	check(h->minor == 0 || h->minor == 1);
	check(!h->has_length || !h->chunked);
	check(!h->chunked || h->minor == 1);
	check(h->content_length < 1000000000000000000);
	check((head_find(h, FIELD_TRANSFER_ENCODING, 0) != NULL) == h->chunked);
	check((head_find(h, FIELD_CONTENT_LENGTH, 0) != NULL) == h->has_length);
	if (!request) {
		check(is_inside(h->reason, text));
		check(h->status >= 100 && h->status <= 599);
		return;
	}
	check(is_inside(h->method, text) && head_is_token(h->method));
	check(is_inside(h->target, text) && h->target.len > 0 && !has_byte(h->target, ' '));
	check(h->minor == 0 || h->host.ptr != NULL);
	check(h->host.ptr == NULL || is_inside(h->host, text));
}

static void parse(struct slice text, bool request, bool scanned)
{
	char *copy = malloc(text.len > 0 ? text.len : 1);
	struct head head;
	const char *why = NULL;
	enum fail fail;

	check(copy != NULL);
	memcpy(copy, text.ptr, text.len);
	text.ptr = copy;
	fail = request ? head_parse_request(&head, text, &why)
		       : head_parse_response(&head, text, &why);
	if (fail == FAIL_NONE) {
		check_head(&head, text, request, scanned);
		head_done(&head);
	} else {
		check(why != NULL);
		check(request || fail == FAIL_BAD_RESPONSE);
	}
	free(copy);
}

static void try_kind(struct slice text, bool request, uint32_t seed)
{
	struct verdict whole = scan_in_pieces(text, request, 1, seed);

	for (size_t most = 2; most <= 512; most *= 4) {
		struct verdict other = scan_in_pieces(text, request, most, seed);

		check(other.progress == whole.progress);
		check(other.error.fail == whole.error.fail && other.error.why == whole.error.why);
		check(other.len == whole.len && other.skipped == whole.skipped);
	}
	if (whole.progress == HEAD_COMPLETE) {
		check(whole.len <= text.len && whole.len <= limits.size);
		text = (struct slice){text.ptr + whole.skipped, whole.len - whole.skipped};
	}
	parse(text, request, whole.progress == HEAD_COMPLETE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text;

	if (size == 0)
		return 0;
	text = (struct slice){(const char *)data + 1, size - 1};
	try_kind(text, true, data[0]);
	try_kind(text, false, data[0]);
	return 0;
}
