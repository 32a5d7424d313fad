#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "http/head.h"

static const struct head_limits limits = {.line = 200, .size = 1000, .fields = 5};

/* What came of a head, in a form that compares. */
struct outcome {
	enum fail fail;
	char why[160];
	char facts[400]; /* all of struct head, when accepted */
	size_t len;      /* of the head, or how many bytes it took to refuse it */
};

static void write_facts(const struct head *h, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "%.*s %.*s %d %.*s 1.%d %s%llu%s%s%s%s%s [%.*s]",
	    (int)h->method.len, h->method.ptr, (int)h->target.len, h->target.ptr, h->status,
	    (int)h->reason.len, h->reason.ptr, h->minor, h->has_length ? "length" : "",
	    (unsigned long long)h->content_length, h->chunked ? " chunked" : "",
	    h->close ? " close" : "", h->keep_alive ? " keep" : "", h->upgrade ? " upgrade" : "",
	    h->expect_continue ? " expect" : "", (int)h->host.len, h->host.ptr);

	for (size_t i = 0; i < h->field_count && len < size; i++) {
		const struct field *f = &h->fields[i];

		len += (size_t)snprintf(out + len, size - len, " %d:%.*s=%.*s", (int)f->id,
		    (int)f->name.len, f->name.ptr, (int)f->value.len, f->value.ptr);
	}
}

static void parse(struct slice text, bool request, struct outcome *outcome)
{
	struct head head = {.status = -1};
	const char *why = "";

	outcome->fail = request ? head_parse_request(&head, text, &why)
				: head_parse_response(&head, text, &why);
	snprintf(outcome->why, sizeof(outcome->why), "%s", why);
	if (outcome->fail == FAIL_NONE) {
		write_facts(&head, outcome->facts, sizeof(outcome->facts));
		head_done(&head);
		assert_null(head.fields);
	} else {
		assert_int_equal(head.status, -1); /* written only on success */
	}
}

/*
 * Scan the text, which grows by `step` bytes from `first` on, and parse what is
 * complete.  Each time the bytes are in a block of exactly their size at another place,
 * so that a look behind them, or at the ones before, is seen.
 */
static struct outcome take(struct slice text, bool request, size_t first, size_t step)
{
	struct outcome outcome = {.fail = FAIL_COUNT}; /* incomplete */
	struct head_scan scan = {0};
	enum head_progress progress = HEAD_MORE;

	for (size_t len = first; progress == HEAD_MORE; len += step) {
		size_t given = len < text.len ? len : text.len;
		struct head_source source = {.len = given, .request = request};
		struct head_error error = {.fail = FAIL_NONE, .why = ""};
		char *copy = malloc(given);

		assert_non_null(copy);
		memcpy(copy, text.ptr, given);
		source.data = copy;
		progress = head_scan(&scan, &source, &limits, &outcome.len, &error);
		if (progress == HEAD_COMPLETE) {
			assert_true(outcome.len <= given && scan.skipped <= outcome.len);
			parse((struct slice){copy + scan.skipped, outcome.len - scan.skipped},
			    request, &outcome);
		} else if (progress == HEAD_BAD) {
			outcome.fail = error.fail;
			outcome.len = given;
			snprintf(outcome.why, sizeof(outcome.why), "%s", error.why);
		} else {
			/* linear: nothing is looked at twice, but a CR that waits for its LF */
			assert_true(scan.pos + 1 >= given);
		}
		free(copy);
		if (given == text.len)
			break;
	}
	return outcome;
}

/* The outcome, after making sure that it is the same for every way of cutting the text. */
static struct outcome take_all_ways(struct slice text, bool request)
{
	struct outcome whole = take(text, request, text.len, 1);
	struct outcome bytes = take(text, request, 1, 1);

	for (size_t first = 1; first <= text.len; first++) {
		struct outcome cut = take(text, request, first, text.len);

		if (cut.fail != whole.fail || strcmp(cut.why, whole.why) != 0 ||
		    strcmp(cut.facts, whole.facts) != 0)
			fail_msg("cut at %zu: %s, not %s", first, cut.why, whole.why);
	}
	assert_int_equal(bytes.fail, whole.fail);
	assert_string_equal(bytes.why, whole.why);
	assert_string_equal(bytes.facts, whole.facts);
	return bytes;
}

struct expected {
	struct slice text;
	enum fail fail;
	const char *what; /* a part of the sentence, or of the facts */
};

static void check(const struct expected *e, bool request)
{
	struct outcome outcome = take_all_ways(e->text, request);

	if (outcome.fail != e->fail ||
	    !strstr(outcome.fail == FAIL_NONE ? outcome.facts : outcome.why, e->what))
		fail_msg("%.*s\ngives %d: %s%s", (int)e->text.len, e->text.ptr, outcome.fail,
		    outcome.why, outcome.facts);
	/* they go into a quoted string of a reply's field */
	assert_null(strpbrk(outcome.why, "\"\\"));
}

#define S(literal)                                                                                 \
	{                                                                                          \
		(literal), sizeof(literal) - 1                                                     \
	}
#define GET "GET http://a/ HTTP/1.1\r\n"
#define HOST "Host: a\r\n"

static const struct expected request_lines[] = {
    {S(GET HOST "\r\n"), FAIL_NONE, "GET http://a/ 0  1.1 0 [a] 6:Host=a"},
    {S("\r\n" GET HOST "\r\n"), FAIL_NONE, "GET http://a/ 0  1.1 0 [a] 6:Host=a"},
    {S(GET HOST "\r\nnext\x01\n"), FAIL_NONE, "GET http://a/ 0  1.1 0 [a] 6:Host=a"},
    {S("GET / HTTP/1.0\r\n\r\n"), FAIL_NONE, "GET / 0  1.0 0 []"},
    {S("x!#$%&'*+-.^_`|~9 * HTTP/1.0\r\n\r\n"), FAIL_NONE, "x!#$%&'*+-.^_`|~9 * 0"},
    {S("connect / HTTP/1.0\r\nContent-Length: 3\r\n\r\n"), FAIL_NONE, "connect / 0  1.0 length3"},
    {S("\r\n\r\n" GET HOST "\r\n"), FAIL_BAD_REQUEST, "more than one empty line"},
    {S("\n" GET HOST "\r\n"), FAIL_BAD_REQUEST, "bare LF"},
    /* its parts */
    {S("GET\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "no request-target"},
    {S("GET /\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "HTTP/0.9"},
    {S("GET / \r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "not written like HTTP/1.1"},
    {S(" GET / HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "begins with a space"},
    {S("GET  / HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "more than one space"},
    {S("GET /  HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "single spaces"},
    {S("GET /a b HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "single spaces"},
    {S("GET / HTTP/1.1 \r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "single spaces"},
    {S("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "a tab"},
    {S("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "not ASCII"},
    {S("GE(T / HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "no method may hold"},
    {S("GET: / HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "no method may hold"},
    /* versions */
    {S("GET / HTTP/1.2\r\n" HOST "\r\n"), FAIL_BAD_VERSION, "other than"},
    {S("GET / HTTP/2.0\r\n" HOST "\r\n"), FAIL_BAD_VERSION, "other than"},
    {S("GET / HTTP/0.9\r\n" HOST "\r\n"), FAIL_BAD_VERSION, "other than"},
    {S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), FAIL_BAD_VERSION, "other than"},
    {S("GET / http/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "in capitals"},
    {S("GET / HTTP/1.10\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "not written like"},
    {S("GET / HTTP/11\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "not written like"},
    {S("GET / HTTP/1,1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "not written like"},
    {S("GET / HTTP/x.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "not written like"},
    {S("GET / HTTPS/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "not written like"},
    /* line ends and controls */
    {S("GET / HTTP/1.1\n" HOST "\r\n"), FAIL_BAD_REQUEST, "bare LF"},
    {S(GET "Host: a\n\r\n"), FAIL_BAD_REQUEST, "bare LF"},
    {S(GET HOST "\n"), FAIL_BAD_REQUEST, "bare LF"},
    {S(GET "Host: a\r\r\n\r\n"), FAIL_BAD_REQUEST, "bare CR"},
    {S(GET HOST "X: a\rb\r\n\r\n"), FAIL_BAD_REQUEST, "bare CR"},
    {S("GET /\r HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "bare CR"},
    {S(GET HOST "X: \0\r\n\r\n"), FAIL_BAD_REQUEST, "NUL"},
    {S("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "NUL"},
    {S(GET HOST "X: \x1b[1m\r\n\r\n"), FAIL_BAD_REQUEST, "control character"},
    {S(GET HOST "X: \x7f\r\n\r\n"), FAIL_BAD_REQUEST, "control character"},
    /* incomplete */
    {S("GET http://a/ HTTP/1.1"), FAIL_COUNT, ""},
    {S(GET HOST "\r"), FAIL_COUNT, ""},
    {S("\r\n"), FAIL_COUNT, ""},
};

static void test_request_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(request_lines); i++)
		check(&request_lines[i], true);
}

/* Fields of requests.  METHOD http://a/ HTTP/1.MINOR and, but where Host is the subject, HOST. */
static const struct {
	const char *method;
	int minor;
	const char *fields;
	enum fail fail;
	const char *what;
} field_cases[] = {
    /* lines */
    {"GET", 1, "X:\r\n", FAIL_NONE, " 0:X="},
    {"GET", 1, "X:a\r\n", FAIL_NONE, " 0:X=a"},
    {"GET", 1, "X: \t a\tb: c \t\r\n", FAIL_NONE, " 0:X=a\tb: c"},
    {"GET", 1, "X: \xe4\x80\xff\r\n", FAIL_NONE, " 0:X=\xe4\x80\xff"},
    {"GET", 1, "!#$%&'*+-.^_`|~9: a\r\n", FAIL_NONE, " 0:!#$%&'*+-.^_`|~9=a"},
    {"GET", 1, "X : a\r\n", FAIL_BAD_REQUEST, "white space between a field's name"},
    {"GET", 1, "X\t: a\r\n", FAIL_BAD_REQUEST, "white space between a field's name"},
    {"GET", 1, "Content-Length : 3\r\n", FAIL_BAD_REQUEST, "white space between a field's name"},
    {"GET", 1, ": a\r\n", FAIL_BAD_REQUEST, "has no name"},
    {"GET", 1, ":\r\n", FAIL_BAD_REQUEST, "has no name"},
    {"GET", 1, "X\r\n", FAIL_BAD_REQUEST, "no colon"},
    {"GET", 1, "X y\r\n", FAIL_BAD_REQUEST, "no colon"},
    {"GET", 1, "X y: a\r\n", FAIL_BAD_REQUEST, "no name may hold"},
    {"GET", 1, "(X): a\r\n", FAIL_BAD_REQUEST, "no name may hold"},
    {"GET", 1, "X\xe4: a\r\n", FAIL_BAD_REQUEST, "no name may hold"},
    {"GET", 1, "\"X\": a\r\n", FAIL_BAD_REQUEST, "no name may hold"},
    {"GET", 1, "X: a\r\n b\r\n", FAIL_BAD_REQUEST, "folded"},
    {"GET", 1, "X: a\r\n\tb: c\r\n", FAIL_BAD_REQUEST, "folded"},
    {"GET", 1, "X: a\r\n \r\n", FAIL_BAD_REQUEST, "folded"},
    /* Content-Length */
    {"POST", 1, "Content-Length: 0\r\n", FAIL_NONE, "1.1 length0 "},
    {"POST", 1, "CONTENT-length:007 \r\n", FAIL_NONE, "1.1 length7 "},
    {"POST", 0, "Content-Length: 999999999999999999\r\n", FAIL_NONE, "length999999999999999999 "},
    {"GET", 1, "Content-Length: 5\r\n", FAIL_NONE, "1.1 length5 "},
    {"POST", 1, "Content-Length: 1000000000000000000\r\n", FAIL_BAD_REQUEST, "18 digits"},
    {"POST", 1, "Content-Length: 18446744073709551617\r\n", FAIL_BAD_REQUEST, "18 digits"},
    {"POST", 1, "Content-Length:\r\n", FAIL_BAD_REQUEST, "empty"},
    {"POST", 1, "Content-Length: +5\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: -0\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: 0x5\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: 5 5\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: 5.0\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: \"5\"\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: 5, 5\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: 5,\r\n", FAIL_BAD_REQUEST, "plain decimal"},
    {"POST", 1, "Content-Length: 5\r\nContent-Length: 6\r\n", FAIL_BAD_REQUEST, "more than one"},
    {"POST", 1, "Content-Length: 5\r\ncontent-length: 5\r\n", FAIL_BAD_REQUEST, "more than one"},
    /* Transfer-Encoding */
    {"POST", 1, "Transfer-Encoding: chunked\r\n", FAIL_NONE, "1.1 0 chunked ["},
    {"POST", 1, "transfer-encoding:CHUNKED\t\r\n", FAIL_NONE, "1.1 0 chunked ["},
    {"GET", 1, "Transfer-Encoding: chunked\r\n", FAIL_NONE, "1.1 0 chunked ["},
    {"POST", 1, "Transfer-Encoding: gzip\r\n", FAIL_BAD_CODING, "other than chunked"},
    {"POST", 1, "Transfer-Encoding: gzip, chunked\r\n", FAIL_BAD_CODING, "other than chunked"},
    {"POST", 1, "Transfer-Encoding: gzip;q=\"a,b\", chunked\r\n", FAIL_BAD_CODING, "other than"},
    {"POST", 1, "Transfer-Encoding: xchunked\r\n", FAIL_BAD_CODING, "other than chunked"},
    {"POST", 1, "Transfer-Encoding: identity\r\n", FAIL_BAD_CODING, "other than chunked"},
    {"POST", 1, "Transfer-Encoding:\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: ,\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: ,chunked\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: chunked,\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: chunked, chunked\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: chunked, gzip\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: chunked;x\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: gzip, chunked;x\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: \"chunked\"\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1, "Transfer-Encoding: chunked x\r\n", FAIL_BAD_REQUEST, "once and last"},
    {"POST", 1,
	"Transfer-Encoding: \x0b"
	"chunked\r\n",
	FAIL_BAD_REQUEST, "control"},
    {"POST", 1, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", FAIL_BAD_REQUEST,
	"more than one Transfer-Encoding"},
    {"POST", 1, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", FAIL_BAD_REQUEST,
	"more than one Transfer-Encoding"},
    {"POST", 0, "Transfer-Encoding: chunked\r\n", FAIL_BAD_REQUEST, "HTTP/1.0"},
    {"POST", 1, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", FAIL_BAD_REQUEST, "both"},
    {"POST", 1, "Transfer-Encoding: gzip\r\nContent-Length: 0\r\n", FAIL_BAD_REQUEST, "both"},
    /* methods without a body */
    {"CONNECT", 1, "", FAIL_NONE, "CONNECT http://a/ 0"},
    {"CONNECT", 1, "Content-Length: 0\r\n", FAIL_BAD_REQUEST, "CONNECT has no body"},
    {"CONNECT", 1, "Transfer-Encoding: chunked\r\n", FAIL_BAD_REQUEST, "CONNECT has no body"},
    {"connect", 1, "Transfer-Encoding: chunked\r\n", FAIL_NONE, "chunked"},
    {"HEAD", 1, "Content-Length: 0\r\n", FAIL_NONE, "length0"},
    {"HEAD", 1, "Content-Length: 1\r\n", FAIL_BAD_REQUEST, "HEAD request has a body"},
    {"HEAD", 1, "Transfer-Encoding: chunked\r\n", FAIL_BAD_REQUEST, "HEAD request has a body"},
    {"HEAD", 1, "Transfer-Encoding: gzip\r\n", FAIL_BAD_REQUEST, "HEAD request has a body"},
    {"TRACE", 1, "Content-Length: 0\r\n", FAIL_NONE, "length0"},
    {"TRACE", 1, "Content-Length: 1\r\n", FAIL_BAD_REQUEST, "TRACE request has a body"},
    {"TRACE", 1, "Transfer-Encoding: chunked\r\n", FAIL_BAD_REQUEST, "TRACE request has a body"},
    /* Connection and what goes with it */
    {"GET", 1, "Connection: close\r\n", FAIL_NONE, "0 close ["},
    {"GET", 1, "connection: TE,\tClose , ,x\r\n", FAIL_NONE, "0 close ["},
    {"GET", 1, "Connection: TE\r\nConnection: keep-Alive\r\n", FAIL_NONE, "0 keep ["},
    {"GET", 1, "Proxy-Connection: keep-alive\r\n", FAIL_NONE, "0 keep ["},
    {"GET", 1, "Connection: close\r\nProxy-Connection: Keep-Alive\r\n", FAIL_NONE, "close keep ["},
    {"GET", 1, "Connection: xclose, close-not\r\n", FAIL_NONE, "1.1 0 ["},
    {"GET", 1, "Connection:\r\n", FAIL_NONE, "1.1 0 ["},
    {"GET", 1, "Connection: a b\r\n", FAIL_BAD_REQUEST, "list of plain words"},
    {"GET", 1, "Connection: \"close\"\r\n", FAIL_BAD_REQUEST, "list of plain words"},
    {"GET", 1, "Connection: close;x\r\n", FAIL_BAD_REQUEST, "list of plain words"},
    {"GET", 1, "Proxy-Connection: a=b\r\n", FAIL_BAD_REQUEST, "list of plain words"},
    {"GET", 1, "Connection: Upgrade\r\nUpgrade: websocket\r\n", FAIL_NONE, "0 upgrade ["},
    {"GET", 1, "Upgrade: h2c\r\nConnection: x, upgrade\r\n", FAIL_NONE, "0 upgrade ["},
    {"GET", 0, "Connection: upgrade\r\nUpgrade: websocket\r\n", FAIL_NONE, "1.0 0 ["},
    {"GET", 1, "Connection: upgrade\r\nUpgrade:\r\n", FAIL_NONE, "1.1 0 ["},
    {"GET", 1, "Connection: upgrade\r\n", FAIL_NONE, "1.1 0 ["},
    {"GET", 1, "Upgrade: websocket\r\n", FAIL_NONE, "1.1 0 ["},
    {"GET", 1, "Proxy-Connection: upgrade\r\nUpgrade: x\r\n", FAIL_NONE, "1.1 0 ["},
    {"PUT", 1, "Expect: 100-Continue\r\n", FAIL_NONE, "0 expect ["},
    {"PUT", 0, "Expect: 100-continue\r\n", FAIL_NONE, "1.0 0 ["},
    {"PUT", 1, "Expect: 200-ok\r\n", FAIL_NONE, "1.1 0 ["},
};

static void test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(field_cases); i++) {
		char text[400];
		int len = snprintf(text, sizeof(text), "%s http://a/ HTTP/1.%d\r\n" HOST "%s\r\n",
		    field_cases[i].method, field_cases[i].minor, field_cases[i].fields);
		struct expected e = {.text = {text, (size_t)len},
		    .fail = field_cases[i].fail,
		    .what = field_cases[i].what};

		check(&e, true);
	}
}

static const struct expected hosts[] = {
    {S(GET "\r\n"), FAIL_BAD_REQUEST, "no Host field"},
    {S(GET "X: a\r\n\r\n"), FAIL_BAD_REQUEST, "no Host field"},
    {S(GET HOST HOST "\r\n"), FAIL_BAD_REQUEST, "more than one Host"},
    {S("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), FAIL_BAD_REQUEST, "more than one Host"},
    {S(GET "Host:\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S("CONNECT a:443 HTTP/1.1\r\nHost:\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S("GET / HTTP/1.0\r\nHost:\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: a b\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: a, b\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: http://a/\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: u@a\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: a:99999\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: [::1\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: \xe4\r\n\r\n"), FAIL_BAD_REQUEST, "no host name or address"},
    {S(GET "Host: [::1]:80\r\n\r\n"), FAIL_NONE, "[[::1]:80]"},
    {S(GET "Host: other.example:\r\n\r\n"), FAIL_NONE, "[other.example:]"},
    {S(GET " Host: a\r\n\r\n"), FAIL_BAD_REQUEST, "first field"},
    {S(GET "\tHost: a\r\n\r\n"), FAIL_BAD_REQUEST, "first field"},
    {S(GET " \r\n" HOST "\r\n"), FAIL_BAD_REQUEST, "first field"},
};

static void test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		check(&hosts[i], true);
}

static const struct expected responses[] = {
    {S("HTTP/1.1 200 OK\r\n\r\n"), FAIL_NONE, "  200 OK 1.1 0 []"},
    {S("HTTP/1.0 404 Not  Found \r\n\r\n"), FAIL_NONE, "  404 Not  Found  1.0 0 []"},
    {S("HTTP/1.1 200 \r\n\r\n"), FAIL_NONE, "  200  1.1 0 []"},
    {S("HTTP/1.1 200\r\n\r\n"), FAIL_NONE, "  200  1.1 0 []"},
    {S("HTTP/1.1 200 \xe4\t\"x\"\r\n\r\n"), FAIL_NONE, "  200 \xe4\t\"x\" 1.1"},
    {S("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), FAIL_NONE, "  100 Continue 1.1 0 []"},
    {S("HTTP/1.1 599 x\r\n\r\n"), FAIL_NONE, "  599 x"},
    {S("\r\nHTTP/1.1 200 OK\r\n\r\n"), FAIL_BAD_REQUEST, "empty line"}, /* the scan's */
    {S("HTTP/1.1 099 x\r\n\r\n"), FAIL_BAD_RESPONSE, "100 to 599"},
    {S("HTTP/1.1 600 x\r\n\r\n"), FAIL_BAD_RESPONSE, "100 to 599"},
    {S("HTTP/1.1 2000 x\r\n\r\n"), FAIL_BAD_RESPONSE, "three digits"},
    {S("HTTP/1.1 20x OK\r\n\r\n"), FAIL_BAD_RESPONSE, "three digits"},
    {S("HTTP/1.1 200OK\r\n\r\n"), FAIL_BAD_RESPONSE, "three digits"},
    {S("HTTP/1.1 200\tOK\r\n\r\n"), FAIL_BAD_RESPONSE, "three digits"},
    {S("HTTP/1.1  200 OK\r\n\r\n"), FAIL_BAD_RESPONSE, "three digits"},
    {S("HTTP/1.1 20\r\n\r\n"), FAIL_BAD_RESPONSE, "status line"},
    {S("HTTP/1.1\r\n\r\n"), FAIL_BAD_RESPONSE, "status line"},
    {S("x\r\n\r\n"), FAIL_BAD_RESPONSE, "status line"},
    {S("ICY 200 OK\r\n\r\n"), FAIL_BAD_RESPONSE, "status line"},
    {S(" HTTP/1.1 200 OK\r\n\r\n"), FAIL_BAD_RESPONSE, "status line"},
    {S("HTTP/1.2 200 OK\r\n\r\n"), FAIL_BAD_RESPONSE, "version"},
    {S("HTTP/2.0 200 OK\r\n\r\n"), FAIL_BAD_RESPONSE, "version"},
    {S("http/1.1 200 OK\r\n\r\n"), FAIL_BAD_RESPONSE, "version"},
    {S("HTTP/1.1 200 OK\n\r\n"), FAIL_BAD_REQUEST, "bare LF"},
    {S("HTTP/1.1 200 O\0K\r\n\r\n"), FAIL_BAD_REQUEST, "NUL"},
    {S("HTTP/1.1 200 O\x1bK\r\n\r\n"), FAIL_BAD_REQUEST, "control"},
    {S("HTTP/1.1 200 OK\r\nX : a\r\n\r\n"), FAIL_BAD_RESPONSE, "white space"},
    {S("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"), FAIL_BAD_RESPONSE, "folded"},
    {S("HTTP/1.1 200 OK\r\n X: a\r\n\r\n"), FAIL_BAD_RESPONSE, "first field"},
    {S("HTTP/1.1 200 OK\r\nX\r\n\r\n"), FAIL_BAD_RESPONSE, "no colon"},
    /* framing */
    {S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), FAIL_NONE, "length5"},
    {S("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n"), FAIL_NONE, "length5"},
    {S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), FAIL_NONE, "0 chunked"},
    {S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), FAIL_BAD_RESPONSE,
	"more than one"},
    {S("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"), FAIL_BAD_RESPONSE, "plain decimal"},
    {S("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), FAIL_BAD_RESPONSE, "plain decimal"},
    {S("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FAIL_BAD_RESPONSE, "both"},
    {S("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), FAIL_BAD_RESPONSE,
	"other than chunked"},
    {S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"), FAIL_BAD_RESPONSE,
	"once and last"},
    {S("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), FAIL_BAD_RESPONSE, "HTTP/1.0"},
    {S("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"), FAIL_NONE, "204 x 1.1 length0"},
    {S("HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\n"), FAIL_BAD_RESPONSE, "never has a body"},
    {S("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"), FAIL_BAD_RESPONSE,
	"never has a body"},
    {S("HTTP/1.1 103 x\r\nContent-Length: 0\r\n\r\n"), FAIL_NONE, "103 x"},
    {S("HTTP/1.1 103 x\r\nContent-Length: 9\r\n\r\n"), FAIL_BAD_RESPONSE, "never has a body"},
    {S("HTTP/1.1 101 x\r\nTransfer-Encoding: chunked\r\n\r\n"), FAIL_BAD_RESPONSE,
	"never has a body"},
    /* Connection; Host and Proxy-Connection mean nothing here */
    {S("HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n"), FAIL_NONE, "0 close []"},
    {S("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n"), FAIL_NONE, "0 keep []"},
    {S("HTTP/1.1 200 OK\r\nProxy-Connection: close;\r\n\r\n"), FAIL_NONE, "1.1 0 []"},
    {S("HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n"), FAIL_BAD_RESPONSE, "plain words"},
    {S("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), FAIL_NONE,
	"0 upgrade []"},
    {S("HTTP/1.1 200 OK\r\nHost: ,\r\nHost: ,\r\n\r\n"), FAIL_NONE, "200 OK"},
    {S("HTTP/1.1 200 OK\r\nExpect: 100-continue\r\n\r\n"), FAIL_NONE, "1.1 0 []"},
};

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(responses); i++)
		check(&responses[i], false);
}

/* Each byte at each place: 'r' request-target, 'n' name or method, 'v' value or reason. */
static void test_every_byte(void **state)
{
	static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const struct {
		const char *text; /* '@' is where the byte goes */
		char place;
	} cases[] = {
	    {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 'n'},
	    {"GET /@a HTTP/1.1\r\nHost: a\r\n\r\n", 'r'},
	    {"GET / HTTP/1.1\r\nHost: a\r\nX@y: a\r\n\r\n", 'n'},
	    {"GET / HTTP/1.1\r\nHost: a\r\nX: a@b\r\n\r\n", 'v'},
	    {"HTTP/1.1 200 a@b\r\n\r\n", 'v'},
	    {"HTTP/1.1 200 OK\r\nX@y: a\r\n\r\n", 'n'},
	    {"HTTP/1.1 200 OK\r\nX: a@b\r\n\r\n", 'v'},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool request = cases[i].text[0] == 'G';
		size_t at = strcspn(cases[i].text, "@");
		char text[64];
		struct slice s = {text, strlen(cases[i].text)};

		memcpy(text, cases[i].text, s.len);
		for (int c = 0; c < 256; c++) {
			bool token = c != 0 && strchr(tokens, c);
			bool visible = c > ' ' && c < 0x7f;
			bool value = visible || c == ' ' || c == '\t' || c >= 0x80;
			bool allowed = cases[i].place == 'n'   ? token
				       : cases[i].place == 'r' ? visible
							       : value;

			/* it ends the name */
			if (c == ':' && cases[i].place == 'n' && at > 10)
				allowed = true;
			text[at] = (char)c;
			if ((take_all_ways(s, request).fail == FAIL_NONE) != allowed)
				fail_msg("%s with byte %d", cases[i].text, c);
		}
	}
}

/* A bad byte is refused as soon as it is there, whatever is still to come. */
static void test_early(void **state)
{
	static const struct {
		struct slice text;
		size_t at; /* bytes that are enough */
		bool request;
	} cases[] = {
	    {S("\0abc"), 1, true},
	    {S("\nabc"), 1, true},
	    {S("GET\t/ HTTP"), 4, true},
	    {S("GET /\xe4 HTTP"), 6, true},
	    {S("\x16\x03\x01\x02"), 1, true}, /* TLS */
	    {S("GET /\rabc"), 7, true},
	    {S("\r\r\n"), 2, true},
	    {S("\r\n\r\nabc"), 4, true},
	    {S("GET / HTTP/1.0\r\nA: \x01xyz"), 20, true},
	    {S("GET / HTTP/1.0\r\nA: b\nxyz"), 21, true},
	    {S("GET / HTTP/1.0\r\n\nxyz"), 17, true},
	    {S("\r\nHTTP"), 2, false},
	    {S("HTTP/1.1 200 \0"), 14, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct outcome outcome = take_all_ways(cases[i].text, cases[i].request);

		assert_int_equal(outcome.fail, FAIL_BAD_REQUEST);
		if (outcome.len != cases[i].at)
			fail_msg("%s: %zu", cases[i].text.ptr, outcome.len);
	}
}

/*
 * `line` bytes of start line, then `fields` field lines, then one that makes the head
 * `size` bytes long; 0: none.
 */
struct shape {
	bool request;
	size_t line, fields, size;
	bool skipped;
};

static size_t build(char *text, const struct shape *shape)
{
	size_t start = shape->skipped ? 2 : 0, len = start;
	const char *begin = shape->request ? "GET /" : "HTTP/1.1 200 ";
	const char *end = shape->request ? " HTTP/1.0" : "";

	memcpy(text, "\r\n", 2);
	len += (size_t)sprintf(text + len, "%s", begin);
	while (len - start < shape->line - strlen(end))
		text[len++] = 'x';
	len += (size_t)sprintf(text + len, "%s\r\n", end);
	for (size_t i = 0; i < shape->fields; i++)
		len += (size_t)sprintf(text + len, "a:\r\n");
	if (shape->size > 0) {
		len += (size_t)sprintf(text + len, "b:");
		while (len < shape->size - 4)
			text[len++] = 'x';
		len += (size_t)sprintf(text + len, "\r\n");
	}
	return len + (size_t)sprintf(text + len, "\r\n");
}

static void test_limits(void **state)
{
	static const struct {
		struct shape shape;
		enum fail fail;
		size_t at; /* bytes that are enough to refuse it */
	} cases[] = {
	    {{true, 200, 0, 0, false}, FAIL_NONE, 204},
	    {{true, 201, 0, 0, false}, FAIL_LINE_TOO_LONG, 201},
	    {{true, 900, 0, 0, false}, FAIL_LINE_TOO_LONG, 201},
	    {{true, 200, 0, 0, true}, FAIL_NONE, 206},
	    {{true, 201, 0, 0, true}, FAIL_LINE_TOO_LONG, 203},
	    {{false, 200, 0, 0, false}, FAIL_NONE, 204},
	    {{false, 201, 0, 0, false}, FAIL_LINE_TOO_LONG, 201},
	    {{true, 20, 5, 0, false}, FAIL_NONE, 44},
	    {{true, 20, 6, 0, false}, FAIL_HEAD_TOO_LARGE, 46},
	    {{true, 20, 90, 0, false}, FAIL_HEAD_TOO_LARGE, 46},
	    {{true, 20, 4, 1000, false}, FAIL_NONE, 1000},
	    {{true, 20, 4, 1001, false}, FAIL_HEAD_TOO_LARGE, 1000},
	    {{true, 20, 4, 1002, false}, FAIL_HEAD_TOO_LARGE, 1000},
	    {{true, 20, 4, 1003, false}, FAIL_HEAD_TOO_LARGE, 1000},
	    {{true, 20, 4, 1004, false}, FAIL_HEAD_TOO_LARGE, 1000},
	    {{true, 20, 4, 1500, false}, FAIL_HEAD_TOO_LARGE, 1000},
	    {{true, 20, 4, 1000, true}, FAIL_NONE, 1000},
	    {{true, 20, 4, 1001, true}, FAIL_HEAD_TOO_LARGE, 1000},
	    {{false, 20, 4, 1000, false}, FAIL_NONE, 1000},
	    {{false, 20, 4, 1001, false}, FAIL_HEAD_TOO_LARGE, 1000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[2000];
		struct slice s = {text, build(text, &cases[i].shape)};
		struct outcome outcome = take_all_ways(s, cases[i].shape.request);

		if (outcome.fail != cases[i].fail || outcome.len != cases[i].at)
			fail_msg("case %zu: %d %zu %s", i, outcome.fail, outcome.len, outcome.why);
	}
}

static void test_field_ids(void **state)
{
	static const struct {
		const char *name;
		enum field_id id;
	} cases[] = {
	    {"Accept", FIELD_ACCEPT},
	    {"Connection", FIELD_CONNECTION},
	    {"Content-Length", FIELD_CONTENT_LENGTH},
	    {"Expect", FIELD_EXPECT},
	    {"Host", FIELD_HOST},
	    {"Keep-Alive", FIELD_KEEP_ALIVE},
	    {"Max-Forwards", FIELD_MAX_FORWARDS},
	    {"Proxy-Authenticate", FIELD_PROXY_AUTHENTICATE},
	    {"Proxy-Authentication-Info", FIELD_PROXY_AUTHENTICATION_INFO},
	    {"Proxy-Authorization", FIELD_PROXY_AUTHORIZATION},
	    {"Proxy-Connection", FIELD_PROXY_CONNECTION},
	    {"Referer", FIELD_REFERER},
	    {"TE", FIELD_TE},
	    {"Trailer", FIELD_TRAILER},
	    {"Transfer-Encoding", FIELD_TRANSFER_ENCODING},
	    {"Upgrade", FIELD_UPGRADE},
	    {"User-Agent", FIELD_USER_AGENT},
	    {"Via", FIELD_VIA},
	    {"Accept-Encoding", FIELD_OTHER},
	    {"Viaa", FIELD_OTHER},
	    {"T", FIELD_OTHER},
	    {"Proxy-Authentication-Infos", FIELD_OTHER},
	    {"Content_Length", FIELD_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool length = cases[i].id == FIELD_CONTENT_LENGTH;
		bool coding = cases[i].id == FIELD_TRANSFER_ENCODING;

		for (int upper = 0; upper < 2; upper++) {
			char line[64];
			int len = sprintf(line, "GET / HTTP/1.0\r\n%s:%s\r\n\r\n", cases[i].name,
			    length ? "1" : "a");
			struct head head = {.field_count = 0};
			const char *why;

			for (char *c = line + 16; upper && *c != ':'; c++)
				*c = (char)toupper((unsigned char)*c);
			/* that HTTP/1.0 refuses it shows that it was recognised */
			assert_int_equal(
			    head_parse_request(&head, (struct slice){line, (size_t)len}, &why),
			    coding ? FAIL_BAD_REQUEST : FAIL_NONE);
			if (!coding)
				assert_int_equal(head.fields[0].id, cases[i].id);
			head_done(&head);
		}
	}
}

static void test_find(void **state)
{
	struct slice text = S("GET / HTTP/1.0\r\nVia: a\r\nx: b\r\nVIA: c\r\n\r\n");
	const struct field *found;
	struct head head;
	const char *why;

	(void)state;
	assert_int_equal(head_parse_request(&head, text, &why), FAIL_NONE);
	assert_ptr_equal(head_find(&head, FIELD_VIA, 0), &head.fields[0]);
	found = head_find(&head, FIELD_VIA, 1);
	assert_ptr_equal(found, &head.fields[2]);
	assert_true(slice_is(found->name, "VIA"));
	assert_null(head_find(&head, FIELD_VIA, 3));
	assert_null(head_find(&head, FIELD_VIA, 9));
	assert_null(head_find(&head, FIELD_HOST, 0));
	head_done(&head);
	assert_null(head_find(&head, FIELD_VIA, 0));
	head_done(&head);
}

static void test_pieces(void **state)
{
	static const struct {
		struct slice text;
		bool field_line, token;
	} cases[] = {
	    {S("a: b"), true, false},
	    {S("a:"), true, false},
	    {S("a: \t\xff"), true, false},
	    {S(""), false, false},
	    {S("a"), false, true},
	    {S("chunked"), false, true},
	    {S("a b"), false, false},
	    {S("a: b\r"), false, false},
	    {S("a: b\n"), false, false},
	    {S("a: \0"), false, false},
	    {S("a: \x7f"), false, false},
	    {S(" a: b"), false, false},
	    {S("a : b"), false, false},
	    {S(": b"), false, false},
	    {S("\xe4"), false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(head_is_field_line(cases[i].text), cases[i].field_line);
		assert_int_equal(head_is_token(cases[i].text), cases[i].token);
	}
}

/* What the scan would never let through is refused all the same, or at least survived. */
static void test_incomplete(void **state)
{
	static const struct slice cases[] = {
	    S(""),
	    S("\r\n"),
	    S("GET / HTTP/1.0"),
	    S("GET / HTTP/1.0\r\n"),
	    S("GET / HTTP/1.0\n\n"),
	    S("GET / HTTP/1.0\r\na: b\n\r\n"),
	    S("GET / HTTP/1.0\r\na: b\r\n"),
	    S("GET / HTTP/1.0\r\na: b\r\n\n"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct outcome outcome;

		parse(cases[i], true, &outcome);
		assert_int_equal(outcome.fail, FAIL_BAD_REQUEST);
		parse(cases[i], false, &outcome);
		assert_int_equal(outcome.fail, FAIL_BAD_RESPONSE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_request_lines),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_hosts),
	    cmocka_unit_test(test_responses),
	    cmocka_unit_test(test_every_byte),
	    cmocka_unit_test(test_early),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_field_ids),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_incomplete),
	};

	return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
