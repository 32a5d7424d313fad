/*
 * A chunked body, read whole, in pieces, and with chunks skipped behind framing that was
 * foreseen: the same payload, trailers and end.
 *
 * The first byte of an input sets the size of the pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/body.h"
#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	struct text payload;
	enum body_event last;
	size_t used;
	struct body body;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void feed(struct result *r, struct slice piece)
{
	do {
		size_t used = SIZE_MAX;

		r->last = body_next(&r->body, piece.ptr, piece.len, &used);
		check(used <= piece.len);
		if (r->last == BODY_DATA)
			text_add(&r->payload, piece.ptr, used);
		if (r->last == BODY_DATA || r->last == BODY_FRAMING)
			check(used > 0);
		if (r->last == BODY_MORE)
			check(used == 0 && piece.len == 0);
		piece.ptr += used;
		piece.len -= used;
		r->used += used;
	} while (r->last == BODY_DATA || r->last == BODY_FRAMING);
}

static void read_in_pieces(struct result *r, struct slice input, size_t size)
{
	const struct head head = {.minor = 1, .chunked = true};

	*r = (struct result){.last = BODY_MORE};
	body_of_request(&r->body, &head);
	while (r->last == BODY_MORE && input.len > 0) {
		size_t len = input.len < size ? input.len : size;

		feed(r, (struct slice){input.ptr, len});
		input.ptr += len;
		input.len -= len;
	}
	check(r->body.ended == (r->last == BODY_END));
	check(body_close(&r->body) == r->body.ended);
	check(r->body.trailers.len <= BODY_TRAILERS_MAX);
}

/* Likewise, but what can be skipped is, up to `size` bytes at once. */
static void read_ahead(struct result *r, struct slice input, size_t size)
{
	const struct head head = {.minor = 1, .chunked = true};

	*r = (struct result){.last = BODY_MORE};
	body_of_request(&r->body, &head);
	while (r->last == BODY_MORE && input.len > 0) {
		bool known = body_foresee(&r->body, input.ptr, input.len);
		size_t len = input.len < size ? input.len : size, payload;
		uint64_t run = body_run(&r->body);

		check(!known || run > r->body.known);
		check(run == 0 || r->body.known == 0 || known || size < BODY_CHUNK_HEAD_MAX + 2);
		if (run > 0) {
			len = run < len ? (size_t)run : len;
			payload = (size_t)body_skip(&r->body, len);
			text_add(&r->payload, input.ptr + len - payload, payload);
			r->used += len;
		} else {
			len = 1;
			feed(r, (struct slice){input.ptr, len});
		}
		input.ptr += len;
		input.len -= len;
	}
}

/* Trailers that are passed on are complete field lines. */
static void check_trailers(struct slice rest)
{
	while (rest.len > 0) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		size_t len;

		check(end != NULL && end > rest.ptr && end[-1] == '\r');
		len = (size_t)(end - rest.ptr) + 1;
		check(head_is_field_line((struct slice){rest.ptr, len - 2}));
		rest.ptr += len;
		rest.len -= len;
	}
}

static bool same(const struct text *a, const struct text *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->ptr, b->ptr, a->len) == 0);
}

static void result_done(struct result *r)
{
	text_done(&r->payload);
	body_done(&r->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = {(const char *)data, size};
	struct result whole, pieces, ahead;

	if (size < 2)
		return 0;
	input.ptr++;
	input.len--;
	read_in_pieces(&whole, input, input.len);
	read_in_pieces(&pieces, input, (size_t)(data[0] % 32) + 1);
	read_ahead(&ahead, input, (size_t)(data[0] % 32) + 1);
	check(whole.last == pieces.last && whole.last == ahead.last);
	check(same(&whole.payload, &pieces.payload) && same(&whole.payload, &ahead.payload));
	if (whole.last == BODY_END) {
		check(whole.used == pieces.used && whole.used == ahead.used);
		check(same(&whole.body.trailers, &pieces.body.trailers));
		check(same(&whole.body.trailers, &ahead.body.trailers));
		check_trailers((struct slice){whole.body.trailers.ptr, whole.body.trailers.len});
	}
	result_done(&ahead);
	result_done(&pieces);
	result_done(&whole);
	return 0;
}
