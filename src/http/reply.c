#include "http/reply.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/attr.h"
#include "base/text.h"
#include "http/page.h"

/* Every failure's faces.  The tokens are part of the access log's format: never rename one. */
static const struct face {
	int status; /* 0: nothing can be answered any more */
	const char *token;
	const char *error; /* RFC 9209 2.3; NULL: none fits */
	const char *sentence;
} faces[FAIL_COUNT] = {
    [FAIL_NONE] = {200, "ok", NULL, "All is well."},
    [FAIL_BAD_REQUEST] = {400, "bad_request", "http_request_error",
	"The proxy could not read the request that your program sent: its head breaks the rules of "
	"HTTP. Nothing was sent on. Trying again will not help; the program that sent it has to be "
	"corrected."},
    [FAIL_BAD_TARGET] = {400, "bad_target", "http_request_error",
	"The proxy could not make sense of the address in the request. Please check its spelling: "
	"a proxy needs a complete one, like http://www.example.org/."},
    [FAIL_BAD_BODY] = {400, "bad_body", "http_request_error",
	"The body that your program sent breaks the rules of HTTP, so that the proxy cannot tell "
	"where it ends. The program that sent it has to be corrected."},
    [FAIL_LINE_TOO_LONG] = {414, "line_too_long", "http_request_error",
	"The address in the request is longer than the proxy accepts. Please use a shorter one, or "
	"ask who runs the proxy to raise the limit."},
    [FAIL_HEAD_TOO_LARGE] = {431, "head_too_large", "http_request_error",
	"The head of the request is larger than the proxy accepts. Deleting the cookies of the "
	"site often helps."},
    [FAIL_BAD_VERSION] = {505, "bad_version", "http_request_error",
	"The request was sent in a version of HTTP that the proxy does not speak. It speaks "
	"HTTP/1.1 and HTTP/1.0."},
    [FAIL_BAD_CODING] = {501, "bad_coding", "http_request_error",
	"The body of the request uses a transfer coding that the proxy does not know. It knows "
	"only chunked."},
    [FAIL_HEAD_TIMEOUT] = {408, "head_timeout", "http_request_error",
	"Your program did not send a complete request in time. Please try again."},
    [FAIL_BODY_TIMEOUT] = {408, "body_timeout", "http_request_error",
	"Your program stopped sending before the body of the request was complete, or was too "
	"slow. Please try again."},
    [FAIL_NOT_FOUND] = {404, "not_found", "proxy_internal_response",
	"This is a proxy and has no such page. To reach a site through it, enter it as the HTTP "
	"proxy in your program's settings."},
    [FAIL_METHOD] = {405, "method", "proxy_internal_response",
	"This is a proxy; what you asked of the proxy itself can only be read. To reach a site "
	"through it, enter it as the HTTP proxy in your program's settings."},
    [FAIL_LOOP] = {508, "loop", "proxy_loop_detected",
	"The request has already been through this proxy: it is going in circles. Who runs the "
	"proxy has to look at where it sends its requests."},
    [FAIL_CLIENT_DENIED] = {403, "client_denied", "http_request_denied",
	"Your computer is not allowed to use this proxy. Please ask who runs it."},
    [FAIL_PORT_DENIED] = {403, "port_denied", "http_request_denied",
	"This proxy does not allow connections to that port. Please check the address, or ask who "
	"runs the proxy."},
    [FAIL_ADDRESS_DENIED] = {403, "address_denied", "destination_ip_prohibited",
	"This proxy does not allow connections to that address. Please check the name, or ask who "
	"runs the proxy."},
    [FAIL_RULE_DENIED] = {403, "rule_denied", "http_request_denied",
	"This proxy does not allow that, by a rule that it has. Please ask who runs the proxy."},
    [FAIL_AUTH_REQUIRED] = {407, "auth_required", "http_request_denied",
	"This proxy is for its users only: your program has to send it a user name and a "
	"password. Please enter them, or ask who runs the proxy."},
    [FAIL_AUTH_FAILED] = {407, "auth_failed", "http_request_denied",
	"The user name or the password for this proxy is not right. Please try again, or ask who "
	"runs the proxy."},
    [FAIL_AUTH_LIMITED] = {429, "auth_limited", "http_request_denied",
	"Your computer has sent this proxy a wrong user name or password too often. Please correct "
	"them in your program's settings, and try again in a minute."},
    [FAIL_BLOCKLIST] = {403, "blocklist", "http_request_denied",
	"This proxy does not open that host: it is on a list. Please ask who runs the proxy."},
    [FAIL_CLIENT_CONNECTIONS] = {429, "client_connections", "http_request_denied",
	"Your computer has as many connections to this proxy as it may have. Please try again when "
	"some of them are closed."},
    [FAIL_CLIENT_CONNECTS] = {429, "client_connects", "http_request_denied",
	"Your computer opens more connections to this proxy in a second than it may. Please try "
	"again in a moment."},
    [FAIL_CLIENT_REQUESTS] = {429, "client_requests", "http_request_denied",
	"Your computer sends more requests to this proxy in a second than it may. Please try again "
	"in a moment."},
    [FAIL_CLIENT_TUNNELS] = {429, "client_tunnels", "http_request_denied",
	"Your computer has as many tunnels through this proxy as it may have. Please try again "
	"when "
	"some of them are closed."},
    [FAIL_ORIGIN_EXCHANGES] = {503, "origin_exchanges", "connection_limit_reached",
	"The proxy is doing as much with that site at this moment as it may. Please try again in a "
	"moment."},
    [FAIL_DNS_NOT_FOUND] = {502, "dns_not_found", "dns_error",
	"There is no site of that name: it has no address. Please check its spelling."},
    [FAIL_DNS_ERROR] = {502, "dns_error", "dns_error",
	"The proxy asked for the address of the site, and the name servers failed to answer "
	"properly. Please try again in a moment."},
    [FAIL_DNS_TIMEOUT] = {504, "dns_timeout", "dns_timeout",
	"The proxy asked for the address of the site, and no name server answered in time. Please "
	"try again in a moment."},
    [FAIL_REFUSED] = {502, "refused", "connection_refused",
	"The site's server refused the connection: nothing is listening there. Please check the "
	"address and its port, or try again later."},
    [FAIL_UNREACHABLE] = {502, "unreachable", "destination_ip_unroutable",
	"The proxy could not connect to the site's server: there is no way to reach it. Please try "
	"again later."},
    [FAIL_CONNECT_TIMEOUT] = {504, "connect_timeout", "connection_timeout",
	"The proxy could not connect to the site's server in time: nothing answered there. Please "
	"check the address and its port, or try again later."},
    [FAIL_BAD_RESPONSE] = {502, "bad_response", "http_protocol_error",
	"The site's server sent an answer that breaks the rules of HTTP, and the proxy does not "
	"pass it on. Only who runs the site can correct this."},
    [FAIL_RESPONSE_TOO_LARGE] = {502, "response_too_large", "http_response_header_section_size",
	"The head of the answer from the site's server is larger than the proxy accepts. Deleting "
	"the cookies of the site may help."},
    [FAIL_NO_RESPONSE] = {502, "no_response", "connection_terminated",
	"The site's server closed the connection without a complete answer. Please try again in a "
	"moment."},
    [FAIL_RESPONSE_TIMEOUT] = {504, "response_timeout", "connection_read_timeout",
	"The site's server took the request and did not answer in time. Please try again later."},
    [FAIL_NO_MEMORY] = {503, "no_memory", "proxy_internal_error",
	"The proxy has run out of memory or descriptors. Please try again in a moment."},
    [FAIL_OVERLOAD] = {503, "overload", "proxy_internal_error",
	"The proxy is as busy as it may be. Please try again in a moment."},
    [FAIL_INTERNAL] = {500, "internal", "proxy_internal_error",
	"Something went wrong inside the proxy. Please tell who runs it."},
    [FAIL_CLIENT_GONE] = {0, "client_gone", NULL, "The client closed the connection."},
    [FAIL_TRUNCATED] = {0, "truncated", "http_response_incomplete",
	"The origin ended before its message did."},
    [FAIL_ORIGIN_TIMEOUT] = {0, "origin_timeout", "connection_read_timeout",
	"The origin moved nothing in time, or too little."},
    [FAIL_CLIENT_TIMEOUT] = {0, "client_timeout", NULL,
	"The client moved nothing in time, or too little."},
    [FAIL_EXPIRED] = {0, "expired", NULL, "The tunnel has lasted as long as tunnels may."},
    [FAIL_SHUTDOWN] = {0, "shutdown", NULL, "The proxy was shut down."},
};

static const struct face *face_of(enum fail fail)
{
	assert((size_t)fail < ARRAY_LEN(faces));
	return &faces[fail];
}

int reply_status(enum fail fail)
{
	return face_of(fail)->status;
}

const char *reply_token(enum fail fail)
{
	return face_of(fail)->token;
}

const char *reply_sentence(enum fail fail)
{
	return face_of(fail)->sentence;
}

bool reply_ends_connection(enum fail fail)
{
	return fail >= FAIL_BAD_REQUEST && fail <= FAIL_BODY_TIMEOUT;
}

const char *reply_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
	    {100, "Continue"},
	    {200, "OK"},
	    {400, "Bad Request"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {407, "Proxy Authentication Required"},
	    {408, "Request Timeout"},
	    {414, "URI Too Long"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"},
	    {501, "Not Implemented"},
	    {502, "Bad Gateway"},
	    {503, "Service Unavailable"},
	    {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"},
	    {508, "Loop Detected"},
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "";
}

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

/* IMF-fixdate, RFC 9110 5.6.7.  Not strftime: its names follow the locale. */
static void add_date(struct text *out)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm) == NULL)
		return;
	text_add_format(out, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
	    tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Whether s can stand between quotes as it is (RFC 9651 3.3.3). */
static bool is_simple(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_printable(s.ptr[i]) || s.ptr[i] == '"' || s.ptr[i] == '\\')
			return false;
	}
	return true;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void add_proxy_status(struct text *out, const struct reply *reply)
{
	const char *error = face_of(reply->fail)->error;
	/* An HTTP token that begins otherwise is none of a structured field (RFC 9651 3.3.4). */
	const char *quote = is_letter(reply->name[0]) || reply->name[0] == '*' ? "" : "\"";

	text_add_format(out, "Proxy-Status: %s%s%s", quote, reply->name, quote);
	if (error != NULL)
		text_add_format(out, "; error=%s", error);
	if (reply->why != NULL && is_simple(slice_of(reply->why)))
		text_add_format(out, "; details=\"%s\"", reply->why);
	text_add_string(out, "\r\n");
}

static void add_head(struct text *out, const struct reply *reply, const char *type, size_t length)
{
	int status = reply_status(reply->fail);

	text_add_format(out, "HTTP/1.1 %d %s\r\n", status, reply_reason(status));
	add_date(out);
	if (type != NULL)
		text_add_format(out, "Content-Type: %s\r\n", type);
	text_add_format(out, "Content-Length: %zu\r\nCache-Control: no-store\r\n", length);
	if (status == 405)
		text_add_string(out, "Allow: GET, HEAD\r\n");
	/* RFC 7617 2.1: what is beyond ASCII shall come as UTF-8. */
	if (status == 407 && reply->realm != NULL)
		text_add_format(out,
		    "Proxy-Authenticate: Basic realm=\"%s\", charset=\"UTF-8\"\r\n", reply->realm);
	if (reply->retry_s > 0)
		text_add_format(out, "Retry-After: %d\r\n", reply->retry_s);
	if (reply->close)
		text_add_string(out, "Connection: close\r\n");
	else if (reply->minor == 0)
		text_add_string(out, "Connection: keep-alive\r\n");
	add_proxy_status(out, reply);
	text_add_format(out, "Via: 1.1 %s\r\n\r\n", reply->name);
}

static void write_answer(struct text *out, const struct reply *reply, const struct page *page)
{
	struct text body = {0};

	page_write(&body, page, reply->html);
	out->failed |= body.failed;
	add_head(out, reply, page_type(reply->html), body.len);
	if (!reply->head_only)
		text_add_slice(out, text_slice(&body));
	text_done(&body);
}

void reply_write(struct text *out, const struct reply *reply)
{
	const struct face *face = face_of(reply->fail);
	struct page page = {.label = "It was about:", .name = reply->name, .token = face->token};

	if (face->status == 0)
		return;
	page.sentence = reply->why != NULL ? reply->why : face->sentence;
	text_add_format(&page.title, "%d %s", face->status, reply_reason(face->status));
	text_add_slice(&page.detail, reply->host);
	write_answer(out, reply, &page);
	page_done(&page);
}

void reply_write_about(struct text *out, const struct reply *reply)
{
	struct page page = {
	    .label = "In a shell, this is how programs are told to use it:", .name = reply->name};
	struct reply about = *reply;
	struct slice host = reply->host.len > 0 ? reply->host : SLICE("HOST:PORT");

	about.fail = FAIL_NONE;
	about.why = NULL;
	page.sentence =
	    "This is a forward proxy, and it works. It has no pages of its own: enter its "
	    "address and port as the HTTP and HTTPS proxy in the settings of your browser.";
	text_add_string(&page.title, "penstock " PENSTOCK_VERSION);
	text_add_string(&page.detail, "export http_proxy=http://");
	text_add_slice(&page.detail, host);
	text_add_string(&page.detail, " https_proxy=http://");
	text_add_slice(&page.detail, host);
	write_answer(out, &about, &page);
	page_done(&page);
}

void reply_write_body(
    struct text *out, const struct reply *reply, const char *type, struct slice body)
{
	struct reply good = *reply;

	good.fail = FAIL_NONE;
	good.why = NULL;
	add_head(out, &good, type, body.len);
	if (!reply->head_only)
		text_add_slice(out, body);
}

/* Whether the parameters of a media range leave it a weight above 0; 1 is the default. */
static bool has_weight(struct slice params)
{
	while (params.len > 0) {
		const char *end = memchr(params.ptr, ';', params.len);
		size_t len = end != NULL ? (size_t)(end - params.ptr) : params.len;
		struct slice param = slice_trim((struct slice){params.ptr, len});

		/* A weight has no sign and no exponent: it is 0 unless another digit is there. */
		if (param.len > 2 && (param.ptr[0] | 0x20) == 'q' && param.ptr[1] == '=') {
			for (size_t i = 2; i < param.len; i++) {
				if (param.ptr[i] >= '1' && param.ptr[i] <= '9')
					return true;
			}
			return false;
		}
		len += end != NULL;
		params.ptr += len;
		params.len -= len;
	}
	return true;
}

bool reply_accepts_html(struct slice accept)
{
	struct slice item;

	while (slice_next_item(&accept, &item)) {
		const char *end = memchr(item.ptr, ';', item.len);
		size_t len = end != NULL ? (size_t)(end - item.ptr) : item.len;

		if (!slice_is_nocase(slice_trim((struct slice){item.ptr, len}), "text/html"))
			continue;
		if (has_weight((struct slice){item.ptr + len, item.len - len}))
			return true;
	}
	return false;
}
