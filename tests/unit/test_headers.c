#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "http/headers.h"

static struct head request_of(const char *text)
{
	const char *why = "";
	struct head head;

	if (head_parse_request(&head, slice_of(text), &why) != FAIL_NONE)
		fail_msg("%s: %s", text, why);
	return head;
}

static struct head response_of(const char *text)
{
	const char *why = "";
	struct head head;

	if (head_parse_response(&head, slice_of(text), &why) != FAIL_NONE)
		fail_msg("%s: %s", text, why);
	return head;
}

#define GET "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n"

static void test_check_loop(void **state)
{
	static const struct {
		const char *via; /* field lines */
		enum fail fail;
	} cases[] = {
	    {"", FAIL_NONE},
	    {"Via: 1.1 penstock\r\n", FAIL_LOOP},
	    {"via: HTTP/1.1 PENstock\r\n", FAIL_LOOP},
	    {"Via: 1.1\tpenstock:3128 (note)\r\n", FAIL_LOOP},
	    {"Via: 1.1 penstock(note)\r\n", FAIL_LOOP},
	    {"Via: 1.0 fred, 1.1  penstock , 1.1 other\r\n", FAIL_LOOP},
	    {"Via: 1.0 fred\r\nA: b\r\nVia: 1.1 penstock\r\n", FAIL_LOOP},
	    {"Via: 1.0 fred (it \"s), 1.1 penstock\r\n", FAIL_LOOP},
	    {"Via: 1.0 fred (half, 1.1 penstock\r\n", FAIL_LOOP},
	    {"Via: 1.1 penstock2\r\n", FAIL_NONE},
	    {"Via: 1.1 my-penstock\r\n", FAIL_NONE},
	    {"Via: 1.1 penstock.example.org\r\n", FAIL_NONE},
	    {"Via: 1.1 fred (penstock)\r\n", FAIL_NONE},
	    {"Via: penstock\r\n", FAIL_NONE},
	    {"Via: 1.1\r\n", FAIL_NONE},
	    {"Via: ,, ,\r\n", FAIL_NONE},
	    {"Via:\r\n", FAIL_NONE},
	    {"X-Via: 1.1 penstock\r\n", FAIL_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct head head;

		snprintf(text, sizeof(text), GET "%s\r\n", cases[i].via);
		head = request_of(text);
		if (headers_check_loop(&head, "penstock") != cases[i].fail)
			fail_msg("%s is judged wrongly", cases[i].via);
		head_done(&head);
	}
}

static void test_max_forwards(void **state)
{
	static const struct {
		const char *method, *fields;
		enum fail fail;
		int value;
	} cases[] = {
	    {"TRACE", "", FAIL_NONE, -1},
	    {"GET", "Max-Forwards: 0\r\n", FAIL_NONE, -1},
	    {"GET", "Max-Forwards: x\r\n", FAIL_NONE, -1},
	    {"trace", "Max-Forwards: 0\r\n", FAIL_NONE, -1},
	    {"TRACE", "Max-Forwards: 0\r\n", FAIL_NONE, 0},
	    {"OPTIONS", "max-forwards: 10\r\n", FAIL_NONE, 10},
	    {"OPTIONS", "Max-Forwards: 007\r\n", FAIL_NONE, 7},
	    {"TRACE", "Max-Forwards: 2147483646\r\n", FAIL_NONE, INT_MAX - 1},
	    {"TRACE", "Max-Forwards: 2147483647\r\n", FAIL_NONE, INT_MAX},
	    {"TRACE", "Max-Forwards: 2147483648\r\n", FAIL_NONE, INT_MAX},
	    {"TRACE", "Max-Forwards: 99999999999999999999999\r\n", FAIL_NONE, INT_MAX},
	    {"TRACE", "Max-Forwards:\r\n", FAIL_BAD_REQUEST, 99},
	    {"TRACE", "Max-Forwards: -1\r\n", FAIL_BAD_REQUEST, 99},
	    {"TRACE", "Max-Forwards: +1\r\n", FAIL_BAD_REQUEST, 99},
	    {"TRACE", "Max-Forwards: 1, 1\r\n", FAIL_BAD_REQUEST, 99},
	    {"TRACE", "Max-Forwards: 99999999999999999999999x\r\n", FAIL_BAD_REQUEST, 99},
	    {"OPTIONS", "Max-Forwards: 1\r\nMax-Forwards: 1\r\n", FAIL_BAD_REQUEST, 99},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		const char *why = NULL;
		int value = 99;
		struct head head;

		snprintf(text, sizeof(text), "%s http://example.org/ HTTP/1.1\r\nHost: a\r\n%s\r\n",
		    cases[i].method, cases[i].fields);
		head = request_of(text);
		assert_int_equal(headers_max_forwards(&head, &value, &why), cases[i].fail);
		assert_int_equal(value, cases[i].value);
		assert_int_equal(why != NULL, cases[i].fail != FAIL_NONE);
		head_done(&head);
	}
}

static void test_keep_alive(void **state)
{
	static const struct {
		int minor;
		const char *fields;
		bool keep;
	} cases[] = {
	    {1, "", true},
	    {0, "", false},
	    {0, "Connection: keep-alive\r\n", true},
	    {0, "Proxy-Connection: Keep-Alive\r\n", true},
	    {1, "Connection: TE, Close\r\n", false},
	    {1, "Proxy-Connection: close\r\n", false},
	    {0, "Connection: keep-alive, close\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct head head;

		snprintf(text, sizeof(text), "GET http://a/ HTTP/1.%d\r\nHost: a\r\n%s\r\n",
		    cases[i].minor, cases[i].fields);
		head = request_of(text);
		assert_int_equal(headers_keep_alive(&head), cases[i].keep);
		head_done(&head);
	}
}

static void test_write_request(void **state)
{
	static const struct {
		const char *in;
		bool upgrade;
		int max_forwards;
		const char *out;
	} cases[] = {
	    {GET "\r\n", false, -1, "GET / HTTP/1.1\r\nHost: example.org\r\nVia: 1.1 us\r\n\r\n"},
	    /* the target decides about Host, and goes on byte for byte */
	    {"get http://u:p@Example.ORG:80/%7Ea//../b?c=%2f HTTP/1.0\r\nA: 1\r\nhost: "
	     "other\r\n\r\n",
		false, -1,
		"get /%7Ea//../b?c=%2f HTTP/1.1\r\nHost: Example.ORG:80\r\nA: 1\r\n"
		"Via: 1.0 us\r\n\r\n"},
	    {"GET http://example.org?q HTTP/1.1\r\nHost: a\r\n\r\n", false, -1,
		"GET /?q HTTP/1.1\r\nHost: example.org\r\nVia: 1.1 us\r\n\r\n"},
	    {"OPTIONS http://example.org HTTP/1.1\r\nHost: a\r\n\r\n", false, -1,
		"OPTIONS * HTTP/1.1\r\nHost: example.org\r\nVia: 1.1 us\r\n\r\n"},
	    /* order, duplicates, values, the way names are written */
	    {GET "x-B: 2\r\nX-a:  1\t \r\nx-b: \xc3\xa4 ,, \"\r\nEmpty:\r\nVia: 1.0 fred\r\n\r\n",
		false, -1,
		"GET / HTTP/1.1\r\nHost: example.org\r\nx-B: 2\r\nX-a: 1\r\nx-b: \xc3\xa4 ,, \"\r\n"
		"Empty: \r\nVia: 1.0 fred\r\nVia: 1.1 us\r\n\r\n"},
	    {"PUT http://example.org/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: "
	     "1\r\n\r\n",
		false, -1,
		"PUT / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1\r\nVia: 1.0 us\r\n\r\n"},
	    /* hop-by-hop */
	    {GET "Connection: keep-alive, X-Gone\r\nKeep-Alive: 5\r\nx-gone: 1\r\nX-Stays: 1\r\n"
		 "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: trailers\r\n"
		 "Trailer: X\r\nUpgrade: h2c\r\nX-GONE: 2\r\nX-Gone-Not: 1\r\n\r\n",
		false, -1,
		"GET / HTTP/1.1\r\nHost: example.org\r\nX-Stays: 1\r\nX-Gone-Not: 1\r\n"
		"Via: 1.1 us\r\n\r\n"},
	    {GET "A: 1\r\nB: 1\r\nCC: 1\r\nDD: 1\r\nConnection: dd, b\r\nConnection: ,, x, "
		 "A\r\n\r\n",
		false, -1, "GET / HTTP/1.1\r\nHost: example.org\r\nCC: 1\r\nVia: 1.1 us\r\n\r\n"},
	    /* what no Connection takes away */
	    {"POST http://example.org/ HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\nVia: 1.1 a\r\n"
	     "Connection: Host, Content-Length, Via, Transfer-Encoding\r\n\r\n",
		false, -1,
		"POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 05\r\nVia: 1.1 a\r\n"
		"Via: 1.1 us\r\n\r\n"},
	    {"POST http://example.org/ HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n"
	     "transfer-encoding: CHUNKED\r\nExpect: 100-continue\r\n\r\n",
		false, -1,
		"POST / HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n"
		"Expect: 100-continue\r\nVia: 1.1 us\r\n\r\n"},
	    /* Upgrade */
	    {GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\nupgrade: x\r\n"
		 "HTTP2-Settings: x\r\n\r\n",
		true, -1,
		"GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nupgrade: x\r\n"
		"Connection: upgrade\r\nVia: 1.1 us\r\n\r\n"},
	    /* Max-Forwards */
	    {GET "Max-Forwards: 5\r\n\r\n", false, -1,
		"GET / HTTP/1.1\r\nHost: example.org\r\nMax-Forwards: 5\r\nVia: 1.1 us\r\n\r\n"},
	    {"TRACE http://example.org/ HTTP/1.1\r\nHost: a\r\nmax-Forwards: 5\r\nA: 1\r\n\r\n",
		false, 4,
		"TRACE / HTTP/1.1\r\nHost: example.org\r\nmax-Forwards: 4\r\nA: 1\r\n"
		"Via: 1.1 us\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct head head = request_of(cases[i].in);
		struct headers_request request = {.head = &head,
		    .name = "us",
		    .upgrade = cases[i].upgrade,
		    .max_forwards = cases[i].max_forwards};
		const char *why = "";
		struct target target;
		struct text out = {0};

		assert_int_equal(target_parse(head.method, head.target, &target, &why), FAIL_NONE);
		request.target = &target;
		headers_write_request(&out, &request);
		assert_false(out.failed);
		assert_string_equal(out.ptr, cases[i].out);
		text_done(&out);
		head_done(&head);
	}
}

static void test_write_response(void **state)
{
	static const struct {
		const char *in;
		struct headers_response how;
		const char *out;
	} cases[] = {
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		{.client_minor = 1, .framing = BODY_LENGTH},
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 us\r\n\r\n"},
	    {"HTTP/1.0 404 N\xc3\xb6  t  \r\nB: 1\r\nA: 2\r\nB: 1\r\n\r\n",
		{.client_minor = 1, .framing = BODY_CHUNKED},
		"HTTP/1.1 404 N\xc3\xb6  t  \r\nB: 1\r\nA: 2\r\nB: 1\r\nTransfer-Encoding: "
		"chunked\r\n"
		"Via: 1.0 us\r\n\r\n"},
	    {"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n",
		{.client_minor = 1, .framing = BODY_CHUNKED},
		"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nVia: 1.1 us\r\n\r\n"},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		{.client_minor = 0, .framing = BODY_CLOSE, .close = true},
		"HTTP/1.1 200 OK\r\nConnection: close\r\nVia: 1.1 us\r\n\r\n"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		{.client_minor = 0, .framing = BODY_LENGTH},
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n"
		"Via: 1.1 us\r\n\r\n"},
	    /* without a body: what the length would be stays, where it may be said at all */
	    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		{.client_minor = 1, .framing = BODY_NONE},
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nVia: 1.1 us\r\n\r\n"},
	    {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
		{.client_minor = 1, .framing = BODY_NONE},
		"HTTP/1.1 204 No Content\r\nVia: 1.1 us\r\n\r\n"},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		{.client_minor = 1, .framing = BODY_CHUNKED},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: 1.1 us\r\n\r\n"},
	    /* hop-by-hop */
	    {"HTTP/1.1 200 OK\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 5\r\n"
	     "Proxy-Connection: close\r\nProxy-Authenticate: Basic\r\n"
	     "Proxy-Authentication-Info: x\r\nTE: x\r\nTrailer: x\r\nUpgrade: h2c\r\n"
	     "Set-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
		{.client_minor = 1, .framing = BODY_CHUNKED},
		"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
		"Transfer-Encoding: chunked\r\nVia: 1.1 us\r\n\r\n"},
	    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
	     "websocket\r\n\r\n",
		{.client_minor = 1, .framing = BODY_NONE, .upgrade = true},
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
		"Via: 1.1 us\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct head head = response_of(cases[i].in);
		struct headers_response response = cases[i].how;
		struct text out = {0};

		response.head = &head;
		response.name = "us";
		headers_write_response(&out, &response);
		assert_false(out.failed);
		assert_string_equal(out.ptr, cases[i].out);
		text_done(&out);
		head_done(&head);
	}
}

static void test_write_interim(void **state)
{
	struct head head = response_of("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n"
				       "Content-Length: 0\r\nConnection: X\r\nX: 1\r\n\r\n");
	struct text out = {0};

	(void)state;
	headers_write_interim(&out, &head, "us");
	assert_string_equal(out.ptr, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n"
				     "Via: 1.1 us\r\n\r\n");
	text_done(&out);
	head_done(&head);
}

static void test_write_trace(void **state)
{
	struct head head =
	    request_of("TRACE http://example.org/a HTTP/1.0\r\nHost: b\r\nCookie: c\r\n"
		       "AUTHORIZATION: d\r\nProxy-Authorization: e\r\nCookies: f\r\n"
		       "Connection: g\r\nMax-Forwards: 0\r\n\r\n");
	struct text out = {0};

	(void)state;
	headers_write_trace(&out, &head);
	assert_string_equal(out.ptr,
	    "TRACE http://example.org/a HTTP/1.0\r\nHost: b\r\nCookies: f\r\n"
	    "Connection: g\r\nMax-Forwards: 0\r\n\r\n");
	text_done(&out);
	head_done(&head);
}

/* A head of 64 KiB that is nearly all options: no more than a few per field are compared. */
static void test_many_options(void **state)
{
	struct text text = {0}, out = {0};
	struct head head;
	struct target target;
	struct headers_request request = {
	    .head = &head, .target = &target, .name = "us", .max_forwards = -1};
	const char *why = "";

	(void)state;
	text_add_string(&text, GET "Connection: zz");
	for (int i = 0; i < 30000; i++)
		text_add_string(&text, ",a");
	text_add_string(&text, ",b\r\nB: 1\r\nZZ: 1\r\n");
	for (int i = 0; i < 190; i++)
		text_add_string(&text, "c: 1\r\n");
	text_add_string(&text, "\r\n");
	head = request_of(text.ptr);
	assert_int_equal(target_parse(head.method, head.target, &target, &why), FAIL_NONE);
	headers_write_request(&out, &request);
	assert_false(out.failed);
	assert_null(strstr(out.ptr, "B: "));
	assert_null(strstr(out.ptr, "ZZ: "));
	assert_non_null(strstr(out.ptr, "\r\nc: 1\r\nVia: 1.1 us\r\n\r\n"));
	text_done(&out);
	text_done(&text);
	head_done(&head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check_loop),
	    cmocka_unit_test(test_max_forwards),
	    cmocka_unit_test(test_keep_alive),
	    cmocka_unit_test(test_write_request),
	    cmocka_unit_test(test_write_response),
	    cmocka_unit_test(test_write_interim),
	    cmocka_unit_test(test_write_trace),
	    cmocka_unit_test(test_many_options),
	};

	return cmocka_run_group_tests_name("headers", tests, NULL, NULL);
}
