#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "http/body.h"
#include "http/head.h"

static void test_of_request(void **state)
{
	static const struct {
		struct head head;
		enum body_kind kind;
		bool ended;
	} cases[] = {
	    {{.minor = 1}, BODY_NONE, true},
	    {{.minor = 1, .has_length = true}, BODY_LENGTH, true},
	    {{.minor = 1, .has_length = true, .content_length = 7}, BODY_LENGTH, false},
	    {{.minor = 1, .chunked = true}, BODY_CHUNKED, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct body b;

		body_of_request(&b, &cases[i].head);
		assert_int_equal(b.kind, cases[i].kind);
		assert_int_equal(b.ended, cases[i].ended);
		assert_int_equal(b.left, cases[i].head.content_length);
		body_done(&b);
	}
}

static void test_of_response(void **state)
{
	static const struct {
		const char *method;
		struct head head;
		enum body_kind kind;
	} cases[] = {
	    {"GET", {.status = 200}, BODY_CLOSE},
	    {"GET", {.status = 200, .has_length = true, .content_length = 7}, BODY_LENGTH},
	    {"GET", {.status = 200, .chunked = true}, BODY_CHUNKED},
	    {"HEAD", {.status = 200, .has_length = true, .content_length = 7}, BODY_NONE},
	    {"HEAD", {.status = 200, .chunked = true}, BODY_NONE},
	    {"head", {.status = 200, .chunked = true}, BODY_CHUNKED},
	    {"GET", {.status = 100}, BODY_NONE},
	    {"GET", {.status = 199, .chunked = true}, BODY_NONE},
	    {"GET", {.status = 204}, BODY_NONE},
	    {"GET", {.status = 205}, BODY_CLOSE},
	    {"GET", {.status = 304, .has_length = true, .content_length = 7}, BODY_NONE},
	    {"CONNECT", {.status = 200}, BODY_NONE},
	    {"CONNECT", {.status = 299, .chunked = true}, BODY_NONE},
	    {"CONNECT", {.status = 407, .has_length = true, .content_length = 7}, BODY_LENGTH},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct body b;

		body_of_response(&b, &cases[i].head, slice_of(cases[i].method));
		assert_int_equal(b.kind, cases[i].kind);
		body_done(&b);
	}
}

/* What came out of a body that was read in pieces of one size. */
struct result {
	char payload[256];
	size_t payload_len;
	size_t used;
	enum body_event last;
	char trailers[256]; /* of a complete body */
};

static enum body_event feed(struct body *b, struct slice piece, struct result *r)
{
	enum body_event event;

	do {
		size_t used = SIZE_MAX;
		/* A copy of its own, so that a byte read behind the piece is seen. */
		char *copy = malloc(piece.len > 0 ? piece.len : 1);

		memcpy(copy, piece.ptr, piece.len);
		event = body_next(b, copy, piece.len, &used);
		free(copy);
		assert_true(used <= piece.len);
		if (event == BODY_DATA) {
			assert_true(r->payload_len + used < sizeof(r->payload));
			memcpy(r->payload + r->payload_len, piece.ptr, used);
			r->payload_len += used;
		}
		if (event == BODY_DATA || event == BODY_FRAMING)
			assert_true(used > 0);
		piece.ptr += used;
		piece.len -= used;
		r->used += used;
	} while (event == BODY_DATA || event == BODY_FRAMING);
	return event;
}

static struct result read_in_pieces(const struct head *head, struct slice input, size_t size)
{
	struct result r = {.last = BODY_MORE};
	struct body b;

	body_of_response(&b, head, SLICE("GET"));
	for (size_t at = 0; at < input.len && r.last == BODY_MORE; at += size) {
		size_t len = input.len - at < size ? input.len - at : size;

		r.last = feed(&b, (struct slice){input.ptr + at, len}, &r);
	}
	assert_int_equal(b.ended, r.last == BODY_END);
	assert_true(b.trailers.len < sizeof(r.trailers));
	if (r.last == BODY_END && b.trailers.len > 0)
		memcpy(r.trailers, b.trailers.ptr, b.trailers.len);
	if (r.last == BODY_BAD || r.last == BODY_END)
		assert_int_equal(feed(&b, SLICE(""), &r), r.last); /* for good */
	if (r.last == BODY_BAD)
		assert_int_equal(feed(&b, SLICE("0\r\n\r\n"), &r), BODY_BAD);
	body_done(&b);
	return r;
}

#define LONG_EXTENSION                                                                             \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaa"

/* Every body in pieces of every size. */
static void test_chunked(void **state)
{
	static const struct {
		const char *input;
		enum body_event last;
		const char *payload;
		size_t left; /* bytes behind the body */
		const char *trailers;
	} cases[] = {
	    {"0\r\n\r\n", BODY_END, "", 0, ""},
	    {"0000000000000000\r\n\r\n", BODY_END, "", 0, ""},
	    {"5\r\nhello\r\n0\r\n\r\n", BODY_END, "hello", 0, ""},
	    {"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", BODY_END, "hello", 16, ""},
	    {"A\r\n0123456789\r\n1\r\n\r\r\n2\r\n\r\n\r\n0\r\n\r\n", BODY_END, "0123456789\r\r\n",
		0, ""},
	    {"0000000000000005\r\nhello\r\n00\r\n\r\n", BODY_END, "hello", 0, ""},
	    {"b\r\nhello world\r\n0\r\n\r\n0\r\n\r\n", BODY_END, "hello world", 5, ""},
	    /* extensions */
	    {"5;a\r\nhello\r\n0;b=\"x;y\"\r\n\r\n", BODY_END, "hello", 0, ""},
	    {"5 \t;\ta = \"\xc3\xa4\" " LONG_EXTENSION "\r\nhello\r\n0\r\n\r\n", BODY_END, "hello",
		0, ""},
	    {"5;\r\nhello\r\n0 ;\r\n\r\n", BODY_END, "hello", 0, ""},
	    {"5;a\rb\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5;a\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5;a\001\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5;a\177\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5;\"\r\n\"\r\nhello\r\n0\r\n\r\n", BODY_BAD, "\"\r\nhe", 0, ""},
	    /* sizes */
	    {"ffffffffffffffff\r\nhello", BODY_MORE, "hello", 0, ""},
	    {"10000000000000000\r\nhello", BODY_BAD, "", 0, ""},
	    {"00000000000000005\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"0x5\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"+5\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"-5\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {" 5\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5 \r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5 a\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5_\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"g\r\n", BODY_BAD, "", 0, ""},
	    {";a\r\n", BODY_BAD, "", 0, ""},
	    {"\r\n", BODY_BAD, "", 0, ""},
	    {"\n", BODY_BAD, "", 0, ""},
	    {"GET / HTTP/1.1\r\n", BODY_BAD, "", 0, ""},
	    /* line ends */
	    {"5\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5\r\r\nhello\r\n0\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"5\r\nhello\n0\r\n\r\n", BODY_BAD, "hello", 0, ""},
	    {"5\r\nhello0\r\n\r\n", BODY_BAD, "hello", 0, ""},
	    {"5\r\nhello!\r\n0\r\n\r\n", BODY_BAD, "hello", 0, ""},
	    {"5\r\nhello\r0\r\n\r\n", BODY_BAD, "hello", 0, ""},
	    {"5\r\nhello\r\n\r\n0\r\n\r\n", BODY_BAD, "hello", 0, ""},
	    {"0\r\n\n", BODY_BAD, "", 0, ""},
	    {"0\r\n\rX", BODY_BAD, "", 0, ""},
	    /* not yet complete */
	    {"5", BODY_MORE, "", 0, ""},
	    {"5\r\nhel", BODY_MORE, "hel", 0, ""},
	    {"5\r\nhello\r\n", BODY_MORE, "hello", 0, ""},
	    {"0\r\n", BODY_MORE, "", 0, ""},
	    {"0\r\n\r", BODY_MORE, "", 0, ""},
	    /* trailers */
	    {"0\r\nA: b\r\nX-Sum:1\r\n\r\nmore", BODY_END, "", 4, "A: b\r\nX-Sum:1\r\n"},
	    {"0\r\nContent-Length: 5\r\na: b\r\ntransfer-encoding: chunked\r\nHost: x\r\n"
	     "Connection: a\r\nKeep-Alive: 1\r\nTE: x\r\nTrailer: x\r\nUpgrade: x\r\n"
	     "Proxy-Authorization: x\r\nproxy-y: x\r\n\r\n",
		BODY_END, "", 0, "a: b\r\n"},
	    {"0\r\nProxy-: x\r\nHos: x\r\n\r\n", BODY_END, "", 0, "Proxy-: x\r\nHos: x\r\n"},
	    {"0\r\nHost : x\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"0\r\nno colon\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"0\r\n: x\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"0\r\na: b\r\n c\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"0\r\na: b\n\r\n", BODY_BAD, "", 0, ""},
	    {"0\r\na: b\rc\r\n\r\n", BODY_BAD, "", 0, ""},
	    {"0\r\na: \001\r\n\r\n", BODY_BAD, "", 0, ""},
	};
	static const struct head head = {.status = 200, .minor = 1, .chunked = true};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice input = slice_of(cases[i].input);

		for (size_t size = 1; size <= input.len; size++) {
			struct result r = read_in_pieces(&head, input, size);

			assert_int_equal(r.last, cases[i].last);
			assert_string_equal(r.payload, cases[i].payload);
			assert_string_equal(r.trailers, cases[i].trailers);
			if (r.last == BODY_END && size == input.len)
				assert_int_equal(input.len - r.used, cases[i].left);
		}
	}
}

/* The longest framing that is taken, and one byte more. */
static void test_bounds(void **state)
{
	static const struct {
		const char *before; /* the byte to repeat is its last one */
		size_t room;
	} cases[] = {
	    {"5;a", BODY_LINE_MAX},
	    {"0\r\na:b", BODY_LINE_MAX + 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t excess = 0; excess < 2; excess++) {
			size_t len = strlen(cases[i].before), total = cases[i].room - 2 + excess;
			char *input = malloc(total + 2);
			struct body b;
			struct result r = {0};
			struct head head = {.chunked = true};

			memset(input, cases[i].before[len - 1], total);
			memcpy(input, cases[i].before, len);
			memcpy(input + total, "\r\n", 2);
			body_of_request(&b, &head);
			assert_int_equal(feed(&b, (struct slice){input, total + 2}, &r),
			    excess > 0 ? BODY_BAD : BODY_MORE);
			body_done(&b);
			free(input);
		}
	}
}

/* All trailers together are bounded, those that are dropped included. */
static void test_trailers_bound(void **state)
{
	static const char *const lines[] = {"a: b\r\n", "Host: bcde\r\n"};
	const struct head head = {.chunked = true};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct slice line = slice_of(lines[i]);
		size_t sent = 0;
		struct result r = {0};
		struct body b;

		body_of_request(&b, &head);
		assert_int_equal(feed(&b, SLICE("0\r\n"), &r), BODY_MORE);
		while (feed(&b, line, &r) == BODY_MORE)
			sent += line.len;
		assert_true(sent <= BODY_TRAILERS_MAX);
		assert_true(sent > BODY_TRAILERS_MAX - line.len);
		assert_true(b.trailers.len <= BODY_TRAILERS_MAX);
		body_done(&b);
	}
}

static void test_length(void **state)
{
	const struct head head = {
	    .status = 200, .minor = 1, .has_length = true, .content_length = 5};

	(void)state;
	for (size_t size = 1; size <= 8; size++) {
		struct result r = read_in_pieces(&head, SLICE("helloGET"), size);

		assert_int_equal(r.last, BODY_END);
		assert_string_equal(r.payload, "hello");
		assert_int_equal(r.used, 5);
	}
}

/* The end of a length is known with its last byte, and of nothing at once. */
static void test_end(void **state)
{
	const struct head some = {.has_length = true, .content_length = 3};
	const struct head none = {.has_length = true};
	size_t used = 9;
	struct body b;

	(void)state;
	body_of_request(&b, &some);
	assert_int_equal(body_next(&b, "", 0, &used), BODY_MORE);
	assert_int_equal(used, 0);
	assert_false(body_close(&b));
	assert_int_equal(body_next(&b, "abc", 3, &used), BODY_DATA);
	assert_true(b.ended);
	assert_true(body_close(&b));
	assert_int_equal(body_next(&b, "", 0, &used), BODY_END);
	assert_int_equal(used, 0);
	body_of_request(&b, &none);
	assert_int_equal(body_next(&b, "", 0, &used), BODY_END);
	assert_int_equal(body_next(&b, "abc", 3, &used), BODY_END);
	assert_int_equal(used, 0);
}

static void test_close(void **state)
{
	const struct head until_close = {.status = 200}, chunked = {.status = 200, .chunked = true};
	struct result r = {0};
	struct body b;

	(void)state;
	body_of_response(&b, &until_close, SLICE("GET"));
	assert_int_equal(feed(&b, SLICE("hello"), &r), BODY_MORE);
	assert_string_equal(r.payload, "hello");
	assert_false(b.ended);
	assert_true(body_close(&b));
	assert_int_equal(feed(&b, SLICE("hello"), &r), BODY_END);

	body_of_response(&b, &chunked, SLICE("GET"));
	assert_int_equal(feed(&b, SLICE("5\r\nhello\r\n"), &r), BODY_MORE);
	assert_false(body_close(&b));
	assert_int_equal(feed(&b, SLICE("0\r\n\r\n"), &r), BODY_END);
	assert_true(body_close(&b));
	body_done(&b);
}

static void test_chunk_head(void **state)
{
	static const struct {
		uint64_t size;
		const char *text;
	} cases[] = {
	    {0, "0\r\n"},
	    {1, "1\r\n"},
	    {15, "f\r\n"},
	    {16, "10\r\n"},
	    {0x1a2b3c, "1a2b3c\r\n"},
	    {UINT64_MAX, "ffffffffffffffff\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[BODY_CHUNK_HEAD_MAX];

		assert_int_equal(body_chunk_head(cases[i].size, out), strlen(cases[i].text));
		assert_string_equal(out, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_of_request),
	    cmocka_unit_test(test_of_response),
	    cmocka_unit_test(test_chunked),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_trailers_bound),
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_end),
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_chunk_head),
	};

	return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
