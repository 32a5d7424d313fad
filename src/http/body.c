#include "http/body.h"

#include <assert.h>
#include <string.h>

#include "base/attr.h"
#include "http/head.h"

/* Where a chunked body stands: what the next byte belongs to. */
enum {
	CHUNK_SIZE,      /* the size's digits */
	CHUNK_BLANK,     /* blanks in front of an extension */
	CHUNK_EXTENSION, /* skipped up to the line's end */
	CHUNK_SIZE_LF,   /* after the CR of the size's line */
	CHUNK_DATA,      /* payload */
	CHUNK_DATA_CR,   /* the CRLF behind the payload */
	CHUNK_DATA_LF,
	CHUNK_TRAILER,    /* a trailer's line, or the empty one */
	CHUNK_TRAILER_LF, /* after its CR */
	CHUNK_END,        /* behind the body */
	CHUNK_BAD         /* for good */
};

#define CHUNK_DIGITS_MAX 16

static void body_start(struct body *b, enum body_kind kind, uint64_t left)
{
	*b = (struct body){.kind = kind, .left = left};
	b->ended = kind == BODY_NONE || (kind == BODY_LENGTH && left == 0);
}

static void body_of_framing(struct body *b, const struct head *head, enum body_kind otherwise)
{
	if (head->chunked)
		body_start(b, BODY_CHUNKED, 0);
	else if (head->has_length)
		body_start(b, BODY_LENGTH, head->content_length);
	else
		body_start(b, otherwise, 0);
}

void body_of_request(struct body *b, const struct head *request)
{
	body_of_framing(b, request, BODY_NONE);
}

void body_of_response(struct body *b, const struct head *response, struct slice method)
{
	int status = response->status;
	bool tunnel = slice_is(method, "CONNECT") && status >= 200 && status <= 299;

	if (slice_is(method, "HEAD") || status < 200 || status == 204 || status == 304 || tunnel)
		body_start(b, BODY_NONE, 0);
	else
		body_of_framing(b, response, BODY_CLOSE);
}

void body_done(struct body *b)
{
	text_done(&b->trailers);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of a chunk's extension; what is in front of its name has been looked at. */
static bool is_extension_byte(char c)
{
	unsigned char u = (unsigned char)c;

	return u == '\t' || (u >= ' ' && u != 0x7f);
}

static int chunk_size(struct body *b, char c)
{
	int digit = hex_digit(c);

	if (digit >= 0) {
		/* So that no shift loses a bit; leading zeros count as well. */
		if (b->line > CHUNK_DIGITS_MAX)
			return CHUNK_BAD;
		b->odd |= digit == 0 && b->left == 0;
		b->left = b->left << 4 | (uint64_t)digit;
		return CHUNK_SIZE;
	}
	if (b->line == 1)
		return CHUNK_BAD;
	if (c == '\r')
		return CHUNK_SIZE_LF;
	b->odd = true;
	if (c == ';')
		return CHUNK_EXTENSION;
	return c == ' ' || c == '\t' ? CHUNK_BLANK : CHUNK_BAD;
}

static int chunk_size_lf(struct body *b, char c)
{
	if (c != '\n')
		return CHUNK_BAD;
	b->line = 0;
	if (b->left > 0)
		return CHUNK_DATA;
	/* From here on `left` counts what the trailers may still take. */
	b->left = BODY_TRAILERS_MAX;
	return CHUNK_TRAILER;
}

/*
 * Fields that a trailer must not carry, because they decide about framing or routing,
 * or are meant for one connection only (RFC 9110 6.5.1, 7.6.1).
 */
static bool is_dropped(struct slice name)
{
	static const char *const names[] = {"Connection", "Content-Length", "Host", "Keep-Alive",
	    "TE", "Trailer", "Transfer-Encoding", "Upgrade"};
	static const struct slice proxy = {"Proxy-", 6};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_is_nocase(name, names[i]))
			return true;
	}
	return name.len > proxy.len &&
	       slice_equal_nocase((struct slice){name.ptr, proxy.len}, proxy);
}

/* The line is at the end of the trailers, with its CRLF. */
static int trailer_line(struct body *b)
{
	size_t start = b->trailers.len - b->line;
	struct slice line = {b->trailers.ptr + start, b->line - 2};
	const char *colon = memchr(line.ptr, ':', line.len);

	b->line = 0;
	if (line.len > 0) {
		if (colon == NULL || !head_is_field_line(line))
			return CHUNK_BAD;
		if (!is_dropped((struct slice){line.ptr, (size_t)(colon - line.ptr)}))
			return CHUNK_TRAILER;
	}
	b->trailers.len = start;
	b->trailers.ptr[start] = '\0';
	return line.len > 0 ? CHUNK_TRAILER : CHUNK_END;
}

/* Lines may come in pieces, so each is collected first and then looked at. */
static int chunk_trailer(struct body *b, char c)
{
	if (b->left-- == 0)
		return CHUNK_BAD;
	text_add(&b->trailers, &c, 1);
	if (b->trailers.failed)
		return CHUNK_BAD;
	if (b->state == CHUNK_TRAILER_LF)
		return c == '\n' ? trailer_line(b) : CHUNK_BAD;
	if (c == '\r')
		return CHUNK_TRAILER_LF;
	return c == '\n' ? CHUNK_BAD : CHUNK_TRAILER;
}

/* The state behind one byte of framing. */
static int chunk_byte(struct body *b, char c)
{
	if (++b->line > BODY_LINE_MAX)
		return CHUNK_BAD;
	switch (b->state) {
	case CHUNK_SIZE:
		return chunk_size(b, c);
	case CHUNK_BLANK:
		if (c == ';')
			return CHUNK_EXTENSION;
		return c == ' ' || c == '\t' ? CHUNK_BLANK : CHUNK_BAD;
	case CHUNK_EXTENSION:
		if (c == '\r')
			return CHUNK_SIZE_LF;
		return is_extension_byte(c) ? CHUNK_EXTENSION : CHUNK_BAD;
	case CHUNK_SIZE_LF:
		return chunk_size_lf(b, c);
	case CHUNK_DATA_CR:
		return c == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
	case CHUNK_DATA_LF:
		b->line = 0;
		b->odd = false;
		return c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_LF:
		return chunk_trailer(b, c);
	default:
		return CHUNK_BAD;
	}
}

static enum body_event body_data(struct body *b, size_t len, size_t *ret_used)
{
	size_t used = b->left < len ? (size_t)b->left : len;

	*ret_used = used;
	b->left -= used;
	return used > 0 ? BODY_DATA : BODY_MORE;
}

/* Framing from here on, up to payload or a state behind `last`.  Returns how much it was. */
static size_t chunk_framing(struct body *b, const char *bytes, size_t len, int last)
{
	bool begins = (b->state == CHUNK_SIZE || b->state == CHUNK_DATA_CR) && b->line == 0;
	size_t used = 0;

	while (used < len && b->state <= last && b->state != CHUNK_DATA)
		b->state = chunk_byte(b, bytes[used++]);
	b->plain = begins && !b->odd && (b->state == CHUNK_DATA || body_is_between_chunks(b));
	return used;
}

static enum body_event body_next_chunked(
    struct body *b, const char *bytes, size_t len, size_t *ret_used)
{
	enum body_event event;

	if (b->known > 0 && len > 0) {
		*ret_used = b->known < len ? b->known : len;
		b->known -= *ret_used;
		b->plain = true;
		return BODY_FRAMING;
	}
	if (b->state == CHUNK_DATA) {
		event = body_data(b, len, ret_used);
		if (b->left == 0)
			b->state = CHUNK_DATA_CR;
		return event;
	}
	*ret_used = chunk_framing(b, bytes, len, CHUNK_TRAILER_LF);
	if (b->state == CHUNK_BAD)
		return BODY_BAD;
	b->ended = b->state == CHUNK_END;
	if (b->ended)
		return BODY_END;
	return *ret_used > 0 ? BODY_FRAMING : BODY_MORE;
}

enum body_event body_next(struct body *b, const char *bytes, size_t len, size_t *ret_used)
{
	enum body_event event;

	*ret_used = 0;
	switch (b->kind) {
	case BODY_CHUNKED:
		return body_next_chunked(b, bytes, len, ret_used);
	case BODY_CLOSE:
		*ret_used = b->ended ? 0 : len;
		if (b->ended)
			return BODY_END;
		return len > 0 ? BODY_DATA : BODY_MORE;
	case BODY_LENGTH:
		if (b->ended)
			return BODY_END;
		event = body_data(b, len, ret_used);
		b->ended = b->left == 0;
		return event;
	case BODY_NONE:
		break;
	}
	return BODY_END;
}

uint64_t body_run(const struct body *b)
{
	if (b->ended || (b->kind == BODY_CHUNKED && b->state != CHUNK_DATA))
		return 0;
	if (b->kind == BODY_CLOSE || b->left > UINT64_MAX - b->known)
		return UINT64_MAX;
	return b->kind == BODY_NONE ? 0 : b->known + b->left;
}

uint64_t body_skip(struct body *b, uint64_t count)
{
	uint64_t known = b->known < count ? b->known : count;

	if (b->kind == BODY_CLOSE)
		return count;
	assert(b->kind == BODY_CHUNKED ? count <= body_run(b) : count < b->left);
	b->known -= known;
	b->left -= count - known;
	if (b->left == 0)
		b->state = CHUNK_DATA_CR;
	return count - known;
}

bool body_foresee(struct body *b, const char *bytes, size_t len)
{
	struct body ahead = *b;
	size_t used;

	if (b->kind != BODY_CHUNKED || b->state == CHUNK_DATA)
		return false;
	used = chunk_framing(&ahead, bytes, len, CHUNK_DATA_LF);
	if (ahead.state != CHUNK_DATA || !ahead.plain)
		return false;
	*b = ahead;
	b->known = used;
	return true;
}

bool body_is_between_chunks(const struct body *b)
{
	return b->kind == BODY_CHUNKED && b->state == CHUNK_SIZE && b->line == 0;
}

bool body_close(struct body *b)
{
	if (b->kind == BODY_CLOSE)
		b->ended = true;
	return b->ended;
}

size_t body_chunk_head(uint64_t size, char out[BODY_CHUNK_HEAD_MAX])
{
	size_t digits = 1;

	while (digits < CHUNK_DIGITS_MAX && size >> (4 * digits) != 0)
		digits++;
	for (size_t i = 0; i < digits; i++)
		out[i] = "0123456789abcdef"[size >> (4 * (digits - 1 - i)) & 15];
	memcpy(out + digits, "\r\n", sizeof("\r\n"));
	return digits + 2;
}
