#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "http/reply.h"

/* The table is complete, its tokens are plain, distinct words, its sentences sentences. */
static void test_table(void **state)
{
	static const char token_bytes[] = "abcdefghijklmnopqrstuvwxyz_";

	(void)state;
	for (int i = FAIL_NONE; i < FAIL_COUNT; i++) {
		const char *token = reply_token((enum fail)i);
		const char *sentence = reply_sentence((enum fail)i);
		int status = reply_status((enum fail)i);

		assert_non_null(token);
		assert_non_null(sentence);
		assert_true(strlen(token) > 0);
		assert_int_equal(strspn(token, token_bytes), strlen(token));
		assert_int_equal(sentence[strlen(sentence) - 1], '.');
		assert_true(status == 0 || strlen(reply_reason(status)) > 0);
		assert_int_equal(status == 200, i == FAIL_NONE);
		assert_true(status == 0 || i == FAIL_NONE || (status >= 400 && status <= 599));
		for (int k = FAIL_NONE; k < i; k++)
			assert_string_not_equal(token, reply_token((enum fail)k));
	}
}

static void test_statuses(void **state)
{
	static const struct {
		enum fail fail;
		int status;
		const char *token;
		const char *reason;
	} cases[] = {
	    {FAIL_NONE, 200, "ok", "OK"},
	    {FAIL_BAD_REQUEST, 400, "bad_request", "Bad Request"},
	    {FAIL_LINE_TOO_LONG, 414, "line_too_long", "URI Too Long"},
	    {FAIL_HEAD_TOO_LARGE, 431, "head_too_large", "Request Header Fields Too Large"},
	    {FAIL_BAD_VERSION, 505, "bad_version", "HTTP Version Not Supported"},
	    {FAIL_BAD_CODING, 501, "bad_coding", "Not Implemented"},
	    {FAIL_HEAD_TIMEOUT, 408, "head_timeout", "Request Timeout"},
	    {FAIL_LOOP, 508, "loop", "Loop Detected"},
	    {FAIL_ADDRESS_DENIED, 403, "address_denied", "Forbidden"},
	    {FAIL_AUTH_REQUIRED, 407, "auth_required", "Proxy Authentication Required"},
	    {FAIL_AUTH_FAILED, 407, "auth_failed", "Proxy Authentication Required"},
	    {FAIL_AUTH_LIMITED, 429, "auth_limited", "Too Many Requests"},
	    {FAIL_CLIENT_REQUESTS, 429, "client_requests", "Too Many Requests"},
	    {FAIL_ORIGIN_EXCHANGES, 503, "origin_exchanges", "Service Unavailable"},
	    {FAIL_DNS_NOT_FOUND, 502, "dns_not_found", "Bad Gateway"},
	    {FAIL_DNS_TIMEOUT, 504, "dns_timeout", "Gateway Timeout"},
	    {FAIL_OVERLOAD, 503, "overload", "Service Unavailable"},
	    {FAIL_INTERNAL, 500, "internal", "Internal Server Error"},
	    {FAIL_TRUNCATED, 0, "truncated", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(reply_status(cases[i].fail), cases[i].status);
		assert_string_equal(reply_token(cases[i].fail), cases[i].token);
		assert_string_equal(reply_reason(cases[i].status), cases[i].reason);
	}
	assert_string_equal(reply_reason(299), "");
}

/* The answer's fields hold each other's word: the length, one empty line, no stray line end. */
static void check_framing(const struct text *out, bool head_only)
{
	const char *end = strstr(out->ptr, "\r\n\r\n"), *length;

	assert_false(out->failed);
	assert_non_null(end);
	length = strstr(out->ptr, "\r\nContent-Length: ");
	assert_true(length != NULL && length < end);
	if (head_only) {
		assert_string_equal(end, "\r\n\r\n");
		assert_true(strtoul(length + 18, NULL, 10) > 0);
	} else {
		assert_int_equal(strtoul(length + 18, NULL, 10), strlen(end + 4));
	}
	for (const char *at = out->ptr; at < end + 4; at++) {
		if (*at == '\r')
			assert_int_equal(at[1], '\n');
		if (*at == '\n')
			assert_int_equal(at[-1], '\r');
		assert_true(*at == '\r' || *at == '\n' || (*at >= ' ' && *at <= '~'));
	}
}

#define HERE .name = "penstock", .minor = 1
#define HOST(text) .host = {text, sizeof(text) - 1}

static void test_write(void **state)
{
	static const struct {
		struct reply reply;
		const char *with[6];
		const char *without[3];
	} cases[] = {
	    {{.fail = FAIL_DNS_TIMEOUT, HERE, HOST("www.example.org")},
		{"HTTP/1.1 504 Gateway Timeout\r\n",
		    "Proxy-Status: penstock; error=dns_timeout\r\n",
		    "\r\nCache-Control: no-store\r\n", "\r\nVia: 1.1 penstock\r\n",
		    "\r\nContent-Type: text/plain; charset=utf-8\r\n", "\nwww.example.org\n"},
		{"Connection:", "Allow:", "<"}},
	    {{.fail = FAIL_DNS_TIMEOUT, HERE, .html = true, .close = true},
		{"\r\nConnection: close\r\n", "\r\nContent-Type: text/html; charset=utf-8\r\n",
		    "<title>504 Gateway Timeout</title>", "dns_timeout</small>"},
		{"about:", "keep-alive", "://"}},
	    {{.fail = FAIL_METHOD, .name = "penstock", .minor = 0},
		{"HTTP/1.1 405 Method Not Allowed\r\n", "\r\nAllow: GET, HEAD\r\n",
		    "\r\nConnection: keep-alive\r\n"},
		{"Connection: close"}},
	    {{.fail = FAIL_METHOD, .name = "penstock", .minor = 0, .close = true},
		{"\r\nConnection: close\r\n"}, {"keep-alive"}},
	    {{.fail = FAIL_REFUSED, HERE, .head_only = true},
		{"HTTP/1.1 502 Bad Gateway\r\n", "error=connection_refused\r\n"}, {"refused the"}},
	    {{.fail = FAIL_AUTH_REQUIRED, HERE, .realm = "at home"},
		{"HTTP/1.1 407 Proxy Authentication Required\r\n",
		    "\r\nProxy-Authenticate: Basic realm=\"at home\", charset=\"UTF-8\"\r\n"},
		{"Connection:", "Retry-After"}},
	    {{.fail = FAIL_AUTH_LIMITED, HERE, .realm = "at home", .retry_s = 6},
		{"HTTP/1.1 429 Too Many Requests\r\n", "\r\nRetry-After: 6\r\n"},
		{"Authenticate", "at home"}},
	    /* what may come from a peer */
	    {{.fail = FAIL_BAD_REQUEST,
		 HERE,
		 .html = true,
		 .why = "A <b>&\"'\r\nb\177\x80.",
		 HOST("<script>\0\x1b")},
		{"<p>A &lt;b&gt;&amp;&quot;&#39;\?\?b\?\?.</p>", "<pre>&lt;script&gt;\?\?</pre>",
		    "error=http_request_error\r\n"},
		{"details", "<b>", "<script>"}},
	    {{.fail = FAIL_BAD_REQUEST, HERE, .why = "A bare\rCR.", HOST("\x1b[31m")},
		{"\nA bare?CR.\n", "\n?[31m\n"}, {"details", "\x1b"}},
	    {{.fail = FAIL_BAD_REQUEST, HERE, .why = "There are two Host fields."},
		{"; error=http_request_error; details=\"There are two Host fields.\"\r\n",
		    "\nThere are two Host fields.\n"},
		{NULL}},
	    {{.fail = FAIL_LOOP, .minor = 1, .name = "7of9"},
		{"Proxy-Status: \"7of9\"; error=proxy_loop_detected\r\n", "\r\nVia: 1.1 7of9\r\n"},
		{NULL}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct text out = {0};

		reply_write(&out, &cases[i].reply);
		check_framing(&out, cases[i].reply.head_only);
		for (size_t k = 0; k < 6 && cases[i].with[k] != NULL; k++) {
			if (strstr(out.ptr, cases[i].with[k]) == NULL)
				fail_msg("case %zu: no %s in %s", i, cases[i].with[k], out.ptr);
		}
		for (size_t k = 0; k < 3 && cases[i].without[k] != NULL; k++) {
			if (strstr(out.ptr, cases[i].without[k]) != NULL)
				fail_msg("case %zu: %s in %s", i, cases[i].without[k], out.ptr);
		}
		text_done(&out);
	}
}

/* Every failure, either way; what can no longer be answered writes nothing. */
static void test_write_all(void **state)
{
	(void)state;
	for (int i = FAIL_BAD_REQUEST; i < FAIL_COUNT; i++) {
		for (int html = 0; html < 2; html++) {
			struct reply reply = {.fail = (enum fail)i, HERE, .html = html};
			struct text out = {0};

			reply_write(&out, &reply);
			if (reply_status(reply.fail) == 0)
				assert_int_equal(out.len, 0);
			else
				check_framing(&out, false);
			text_done(&out);
		}
	}
}

static void test_about(void **state)
{
	(void)state;
	for (int html = 0; html < 2; html++) {
		struct reply reply = {HERE, .html = html, HOST("proxy.example.org:3128")};
		struct text out = {0};

		reply_write_about(&out, &reply);
		check_framing(&out, false);
		assert_memory_equal(out.ptr, "HTTP/1.1 200 OK\r\n", 17);
		assert_non_null(strstr(out.ptr, "penstock " PENSTOCK_VERSION));
		assert_non_null(strstr(out.ptr, "export http_proxy=http://proxy.example.org:3128 "
						"https_proxy=http://proxy.example.org:3128"));
		assert_non_null(strstr(out.ptr, "\r\nProxy-Status: penstock\r\n"));
		text_done(&out);
	}
}

static void test_body(void **state)
{
	struct reply reply = {.fail = FAIL_LOOP, HERE};
	struct text out = {0};

	(void)state;
	reply_write_body(&out, &reply, "message/http", SLICE("TRACE"));
	check_framing(&out, false);
	assert_memory_equal(out.ptr, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(out.ptr, "\r\nContent-Type: message/http\r\n"));
	assert_non_null(strstr(out.ptr, "\r\n\r\nTRACE"));
	text_clear(&out);
	reply_write_body(&out, &reply, NULL, SLICE(""));
	check_framing(&out, false);
	assert_null(strstr(out.ptr, "Content-Type"));
	text_done(&out);
}

static void test_date(void **state)
{
	struct reply reply = {.fail = FAIL_INTERNAL, HERE};
	struct text out = {0};
	const char *date;
	struct tm tm = {0};
	time_t before = time(NULL), said;
	char again[64];

	(void)state;
	reply_write(&out, &reply);
	date = strstr(out.ptr, "\r\nDate: ");
	assert_non_null(date);
	date += 8;
	assert_int_equal(strcspn(date, "\r"), 29);
	assert_non_null(strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm));
	said = timegm(&tm);
	assert_true(said >= before && said <= time(NULL));
	strftime(again, sizeof(again), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	assert_memory_equal(date, again, 29);
	text_done(&out);
}

static void test_accepts_html(void **state)
{
	static const struct {
		const char *accept;
		bool html;
	} cases[] = {
	    {"", false},
	    {"*/*", false},
	    {"text/*", false},
	    {"text/html", true},
	    {"TEXT/HTML", true},
	    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
	    {"application/json, text/html ; q=0.1", true},
	    {"text/html;q=0", false},
	    {"text/html; Q=0.000", false},
	    {"text/html;q=0.001", true},
	    {"text/html;level=1;q=0, text/html", true},
	    {"text/html;q=", true},
	    {"text/html;q=x", false},
	    {"text/htmlx", false},
	    {"xtext/html", false},
	    {"text/plain;a=\"x, text/html\"", false},
	    {";", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice accept = {cases[i].accept, strlen(cases[i].accept)};

		if (reply_accepts_html(accept) != cases[i].html)
			fail_msg("%s is judged wrongly", cases[i].accept);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_write),
	    cmocka_unit_test(test_write_all),
	    cmocka_unit_test(test_about),
	    cmocka_unit_test(test_body),
	    cmocka_unit_test(test_date),
	    cmocka_unit_test(test_accepts_html),
	};

	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
