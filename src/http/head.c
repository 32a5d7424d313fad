#include "http/head.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "http/target.h"

#define LENGTH_DIGITS_MAX 18 /* no overflow in 64 bits, nor in a sum of two */
#define VERSION_LEN 8        /* HTTP/1.1 */

/* ---- bytes ------------------------------------------------------------------------ */

#define C 0                                     /* controls: nowhere */
#define V BYTE_VALUE                            /* HTAB, obs-text: field values, reasons */
#define L (BYTE_LINE | BYTE_VALUE)              /* visible and SP */
#define T (BYTE_LINE | BYTE_VALUE | BYTE_TOKEN) /* tchar, RFC 9110 5.6.2 */

enum byte_class { BYTE_LINE = 1, BYTE_VALUE = 2, BYTE_TOKEN = 4 };

/* clang-format off */
static const unsigned char classes[256] = {
	C, C, C, C, C, C, C, C, C, V, C, C, C, C, C, C, /* HTAB */
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	L, T, L, T, T, T, T, T, L, L, T, T, L, T, T, L, /*  !"#$%&'()*+,-./ */
	T, T, T, T, T, T, T, T, T, T, L, L, L, L, L, L, /* 0123456789:;<=>? */
	L, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* @ABCDEFGHIJKLMNO */
	T, T, T, T, T, T, T, T, T, T, T, L, L, L, T, T, /* PQRSTUVWXYZ[\]^_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* `abcdefghijklmno */
	T, T, T, T, T, T, T, T, T, T, T, L, T, L, T, C, /* pqrstuvwxyz{|}~  */
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
/* clang-format on */

#undef C
#undef V
#undef L
#undef T

/* The offset from `pos` on, at most `end`, of the first byte that is not of the class. */
static size_t skip(const char *bytes, size_t pos, size_t end, enum byte_class class)
{
	while (pos < end && (classes[(unsigned char)bytes[pos]] & class))
		pos++;
	return pos;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool head_is_token(struct slice text)
{
	return text.len > 0 && skip(text.ptr, 0, text.len, BYTE_TOKEN) == text.len;
}

/* ---- scan ------------------------------------------------------------------------- */

static enum head_progress scan_refuse(struct head_error *error, enum fail fail, const char *why)
{
	*error = (struct head_error){.fail = fail, .why = why};
	return HEAD_BAD;
}

static enum head_progress scan_refuse_size(struct head_error *error)
{
	return scan_refuse(error, FAIL_HEAD_TOO_LARGE,
	    "The head of the message is larger than the proxy accepts.");
}

/* Move over the bytes that need no thought. */
static void scan_run(
    struct head_scan *scan, const struct head_source *source, const struct head_limits *limits)
{
	bool strict = source->request && scan->lines == 0;
	size_t end = source->len < limits->size ? source->len : limits->size;

	if (scan->lines == 0 && end > scan->line_start && end - scan->line_start > limits->line)
		end = scan->line_start + limits->line;
	scan->pos = skip(source->data, scan->pos, end, strict ? BYTE_LINE : BYTE_VALUE);
}

/* The byte at scan->pos is no CR and has no place there. */
static enum head_progress scan_refuse_byte(const struct head_scan *scan,
    const struct head_source *source, const struct head_limits *limits, struct head_error *error)
{
	unsigned char c = (unsigned char)source->data[scan->pos];
	const char *why = "The head holds a control character.";

	if (scan->lines == 0 && scan->pos - scan->line_start >= limits->line)
		return scan_refuse(error, FAIL_LINE_TOO_LONG,
		    "The first line of the message is longer than the proxy accepts.");
	if (c == '\n')
		why = "A line of the head ends with a bare LF; it must end with CR LF.";
	else if (c == '\0')
		why = "The head holds a NUL byte.";
	else if (c == '\t')
		why = "The request line holds a tab; its parts are separated by single spaces.";
	else if (c >= 0x80)
		why =
		    "The request line holds a byte that is not ASCII; it must be percent-encoded.";
	return scan_refuse(error, FAIL_BAD_REQUEST, why);
}

/* The CR LF of a line is at scan->pos.  HEAD_MORE: go on behind it. */
static enum head_progress scan_line(struct head_scan *scan, const struct head_source *source,
    const struct head_limits *limits, struct head_error *error)
{
	bool empty = scan->pos == scan->line_start;

	scan->pos += 2;
	scan->line_start = scan->pos;
	if (empty && scan->lines > 0)
		return HEAD_COMPLETE;
	if (!empty) {
		scan->lines++;
		if (scan->lines - 1 <= limits->fields)
			return HEAD_MORE;
		return scan_refuse(error, FAIL_HEAD_TOO_LARGE,
		    "The head of the message has more fields than the proxy accepts.");
	}
	if (!source->request)
		return scan_refuse(
		    error, FAIL_BAD_REQUEST, "There is an empty line in place of the status line.");
	if (scan->skipped > 0)
		return scan_refuse(error, FAIL_BAD_REQUEST,
		    "There is more than one empty line in front of the request line.");
	scan->skipped = scan->pos; /* RFC 9112 2.2 */
	return HEAD_MORE;
}

/*
 * Every verdict depends on bytes up to a fixed place only, never on how much more has
 * arrived: so any way of cutting the input gives the same one.
 */
enum head_progress head_scan(struct head_scan *scan, const struct head_source *source,
    const struct head_limits *limits, size_t *ret_len, struct head_error *ret_error)
{
	enum head_progress progress = HEAD_MORE;

	while (progress == HEAD_MORE) {
		scan_run(scan, source, limits);
		if (scan->pos >= limits->size)
			return scan_refuse_size(ret_error);
		if (scan->pos == source->len)
			return HEAD_MORE;
		if (source->data[scan->pos] != '\r')
			return scan_refuse_byte(scan, source, limits, ret_error);
		if (limits->size - scan->pos < 2) /* no room for its LF */
			return scan_refuse_size(ret_error);
		if (scan->pos + 1 == source->len)
			return HEAD_MORE; /* stay at the CR */
		if (source->data[scan->pos + 1] != '\n')
			return scan_refuse(ret_error, FAIL_BAD_REQUEST,
			    "The head holds a bare CR; it may stand only in front of LF.");
		progress = scan_line(scan, source, limits, ret_error);
	}
	if (progress == HEAD_COMPLETE)
		*ret_len = scan->pos;
	return progress;
}

/* ---- fields ----------------------------------------------------------------------- */

#define KNOWN_LEN_MAX 25

/* By the length of the name. */
static const struct {
	const char *name;
	enum field_id id;
} known[KNOWN_LEN_MAX + 1][3] = {
    [2] = {{"te", FIELD_TE}},
    [3] = {{"via", FIELD_VIA}},
    [4] = {{"host", FIELD_HOST}},
    [6] = {{"accept", FIELD_ACCEPT}, {"expect", FIELD_EXPECT}},
    [7] = {{"referer", FIELD_REFERER}, {"trailer", FIELD_TRAILER}, {"upgrade", FIELD_UPGRADE}},
    [10] = {{"connection", FIELD_CONNECTION}, {"user-agent", FIELD_USER_AGENT},
	{"keep-alive", FIELD_KEEP_ALIVE}},
    [12] = {{"max-forwards", FIELD_MAX_FORWARDS}},
    [14] = {{"content-length", FIELD_CONTENT_LENGTH}},
    [16] = {{"proxy-connection", FIELD_PROXY_CONNECTION}},
    [17] = {{"transfer-encoding", FIELD_TRANSFER_ENCODING}},
    [18] = {{"proxy-authenticate", FIELD_PROXY_AUTHENTICATE}},
    [19] = {{"proxy-authorization", FIELD_PROXY_AUTHORIZATION}},
    [25] = {{"proxy-authentication-info", FIELD_PROXY_AUTHENTICATION_INFO}},
};

static enum field_id field_id_of(struct slice name)
{
	if (name.len > KNOWN_LEN_MAX)
		return FIELD_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(known[0]) && known[name.len][i].name; i++)
		if (slice_is_nocase(name, known[name.len][i].name))
			return known[name.len][i].id;
	return FIELD_OTHER;
}

/* Split a line into name and value: token ":" OWS value OWS. */
static bool field_split(struct slice line, struct field *ret_field)
{
	size_t len = skip(line.ptr, 0, line.len, BYTE_TOKEN);

	if (len == 0 || len == line.len || line.ptr[len] != ':')
		return false;
	ret_field->name = (struct slice){line.ptr, len};
	ret_field->value = slice_trim((struct slice){line.ptr + len + 1, line.len - len - 1});
	ret_field->id = field_id_of(ret_field->name);
	return true;
}

/* What is wrong with a line that field_split refused. */
static const char *field_complaint(struct slice line, bool first)
{
	size_t end = skip(line.ptr, 0, line.len, BYTE_TOKEN);

	if (is_blank(line.ptr[0]))
		return first ? "There is white space between the first line and the first field."
			     : "A field is folded over several lines.";
	if (!memchr(line.ptr, ':', line.len))
		return "A field line has no colon.";
	if (end == 0 && line.ptr[0] == ':')
		return "A field has no name.";
	while (end < line.len && is_blank(line.ptr[end]))
		end++;
	if (end < line.len && line.ptr[end] == ':')
		return "There is white space between a field's name and its colon.";
	return "A field's name holds a character that no name may hold.";
}

bool head_is_field_line(struct slice line)
{
	struct field field;

	return skip(line.ptr, 0, line.len, BYTE_VALUE) == line.len && field_split(line, &field);
}

/* ---- the whole head --------------------------------------------------------------- */

/* A head while it is read. */
struct reading {
	struct head head;
	struct slice rest; /* of the text */
	bool request;
	size_t hosts, lengths, codings; /* fields of that kind */
	struct slice length, coding;    /* the last one's value */
	bool names_upgrade, has_upgrade;
	enum fail fail;
	const char *why;
};

static bool refuse(struct reading *r, enum fail fail, const char *why)
{
	r->fail = r->request ? fail : FAIL_BAD_RESPONSE;
	r->why = why;
	return false;
}

static bool refuse_request(struct reading *r, const char *why)
{
	return refuse(r, FAIL_BAD_REQUEST, why);
}

/* Take what is in front of the first c, and the c, off the rest. */
static bool take_until(struct slice *rest, char c, struct slice *ret_taken)
{
	const char *at = rest->len > 0 ? memchr(rest->ptr, c, rest->len) : NULL;

	if (!at)
		return false;
	*ret_taken = (struct slice){rest->ptr, (size_t)(at - rest->ptr)};
	rest->ptr += ret_taken->len + 1;
	rest->len -= ret_taken->len + 1;
	return true;
}

static bool take_line(struct reading *r, struct slice *ret_line)
{
	if (!take_until(&r->rest, '\n', ret_line) || ret_line->len == 0 ||
	    ret_line->ptr[ret_line->len - 1] != '\r')
		return refuse_request(r, "The head is not complete.");
	ret_line->len--;
	return true;
}

static bool read_version(struct reading *r, struct slice version)
{
	const char *v = version.ptr;

	if (version.len != VERSION_LEN || memcmp(v, "HTTP/", 5) != 0 || !is_digit(v[5]) ||
	    v[6] != '.' || !is_digit(v[7]))
		return refuse_request(
		    r, "The HTTP version is not written like HTTP/1.1, in capitals.");
	if (v[5] != '1' || v[7] > '1')
		return refuse(r, FAIL_BAD_VERSION,
		    "The message is of a version of HTTP other than HTTP/1.1 and HTTP/1.0.");
	r->head.minor = v[7] - '0';
	return true;
}

/* RFC 9112 3: method SP request-target SP HTTP-version. */
static bool read_request_line(struct reading *r, struct slice line)
{
	struct slice *method = &r->head.method, *target = &r->head.target;

	if (!take_until(&line, ' ', method))
		return refuse_request(r, "The request line has no request-target.");
	if (!head_is_token(*method))
		return refuse_request(
		    r, method->len == 0 ? "The request line begins with a space."
					: "The method holds a character that no method may hold.");
	if (!take_until(&line, ' ', target))
		return refuse_request(
		    r, "The request line has no HTTP version; HTTP/0.9 is not served.");
	if (target->len == 0)
		return refuse_request(
		    r, "The request line has more than one space behind the method.");
	if (line.len > 0 && memchr(line.ptr, ' ', line.len))
		return refuse_request(r,
		    "The request line is not a method, a request-target without "
		    "spaces and a version, separated by single spaces.");
	return read_version(r, line);
}

/* RFC 9112 4: HTTP-version SP 3DIGIT SP reason; many leave out the last SP with the reason. */
static bool read_status_line(struct reading *r, struct slice line)
{
	struct slice version = {line.ptr, VERSION_LEN}, code, reason;

	if (line.len < VERSION_LEN + 4 || line.ptr[VERSION_LEN] != ' ')
		return refuse_request(r, "The status line is not a version, a space and a code.");
	code = (struct slice){line.ptr + VERSION_LEN + 1, 3};
	reason = (struct slice){code.ptr + code.len, line.len - VERSION_LEN - 1 - code.len};
	if (!is_digit(code.ptr[0]) || !is_digit(code.ptr[1]) || !is_digit(code.ptr[2]) ||
	    (reason.len > 0 && reason.ptr[0] != ' '))
		return refuse_request(r, "The status code is not three digits.");
	if (reason.len > 0)
		reason = (struct slice){reason.ptr + 1, reason.len - 1};
	r->head.reason = reason;
	r->head.status = (code.ptr[0] - '0') * 100 + (code.ptr[1] - '0') * 10 + (code.ptr[2] - '0');
	if (r->head.status < 100 || r->head.status > 599)
		return refuse_request(r, "The status code is not from 100 to 599.");
	return read_version(r, version);
}

/* The options in a Connection or Proxy-Connection field. */
static bool note_options(struct reading *r, struct slice list, bool hop)
{
	struct slice option;

	while (slice_next_item(&list, &option)) {
		if (!head_is_token(option))
			return refuse_request(r, "Connection is no list of plain words.");
		if (slice_is_nocase(option, "close"))
			r->head.close = true;
		else if (slice_is_nocase(option, "keep-alive"))
			r->head.keep_alive = true;
		else if (hop && slice_is_nocase(option, "upgrade"))
			r->names_upgrade = true;
	}
	return true;
}

static bool note_field(struct reading *r, const struct field *field)
{
	switch (field->id) {
	case FIELD_CONNECTION:
		return note_options(r, field->value, true);
	case FIELD_PROXY_CONNECTION:
		return !r->request || note_options(r, field->value, false);
	case FIELD_CONTENT_LENGTH:
		r->lengths++;
		r->length = field->value;
		return true;
	case FIELD_TRANSFER_ENCODING:
		r->codings++;
		r->coding = field->value;
		return true;
	case FIELD_HOST:
		r->hosts++;
		r->head.host = field->value;
		return true;
	case FIELD_EXPECT: /* of no meaning in HTTP/1.0, RFC 9110 10.1.1 */
		if (r->request && r->head.minor > 0 &&
		    slice_is_nocase(field->value, "100-continue"))
			r->head.expect_continue = true;
		return true;
	case FIELD_UPGRADE:
		r->has_upgrade = r->has_upgrade || field->value.len > 0;
		return true;
	default:
		return true;
	}
}

/* Room for as many fields as there are lines left. */
static bool make_fields(struct reading *r)
{
	struct slice rest = r->rest, line;
	size_t lines = 0;

	while (take_until(&rest, '\n', &line))
		lines++;
	r->head.fields = calloc(lines ? lines : 1, sizeof(*r->head.fields));
	if (r->head.fields)
		return true;
	r->fail = FAIL_NO_MEMORY;
	r->why = "There is not enough memory to read the head.";
	return false;
}

static bool read_fields(struct reading *r)
{
	struct slice line;

	if (!make_fields(r))
		return false;
	for (;;) {
		struct field field;

		if (!take_line(r, &line))
			return false;
		if (line.len == 0)
			return true;
		if (!field_split(line, &field))
			return refuse_request(r, field_complaint(line, r->head.field_count == 0));
		r->head.fields[r->head.field_count++] = field;
		if (!note_field(r, &field))
			return false;
	}
}

/* ---- what the fields say together ------------------------------------------------- */

/* RFC 9112 3.2 */
static bool check_host(struct reading *r)
{
	if (r->hosts > 1)
		return refuse_request(r, "There is more than one Host field.");
	if (r->hosts == 0 && r->head.minor > 0)
		return refuse_request(r, "There is no Host field, which HTTP/1.1 demands.");
	if (r->hosts > 0 && !target_is_authority(r->head.host))
		return refuse_request(r, "The Host field is no host name or address with a port.");
	return true;
}

/* RFC 9112 6.1 to 6.3: two answers to where the body ends are none. */
static bool check_count(struct reading *r)
{
	if (r->lengths > 1)
		return refuse_request(r, "There is more than one Content-Length field.");
	if (r->codings > 1)
		return refuse_request(r, "There is more than one Transfer-Encoding field.");
	if (r->lengths > 0 && r->codings > 0)
		return refuse_request(r, "There are both Content-Length and Transfer-Encoding.");
	if (r->codings > 0 && r->head.minor == 0)
		return refuse_request(r, "Transfer-Encoding has no place in HTTP/1.0.");
	return true;
}

static bool read_length(struct reading *r)
{
	uint64_t length = 0;

	if (r->lengths == 0)
		return true;
	if (r->length.len == 0)
		return refuse_request(r, "Content-Length is empty.");
	for (size_t i = 0; i < r->length.len; i++) {
		if (!is_digit(r->length.ptr[i]))
			return refuse_request(r, "Content-Length is no plain decimal number.");
		if (i == LENGTH_DIGITS_MAX)
			return refuse_request(r, "Content-Length has more than 18 digits.");
		length = length * 10 + (uint64_t)(r->length.ptr[i] - '0');
	}
	r->head.has_length = true;
	r->head.content_length = length;
	return true;
}

/* Bodies where there are none: what follows would be taken for another message. */
static bool check_body_allowed(struct reading *r)
{
	bool body = r->codings > 0 || r->head.content_length > 0;
	struct slice method = r->head.method;

	if (!r->request) {
		if (body && (r->head.status < 200 || r->head.status == 204))
			return refuse_request(r, "A response that never has a body announces one.");
		return true;
	}
	if (slice_is(method, "CONNECT") && r->codings + r->lengths > 0)
		return refuse_request(
		    r, "CONNECT has no body, nor Content-Length or Transfer-Encoding.");
	if (body && slice_is(method, "HEAD"))
		return refuse_request(r, "A HEAD request has a body.");
	if (body && slice_is(method, "TRACE"))
		return refuse_request(r, "A TRACE request has a body.");
	return true;
}

/* Exactly "chunked"; else tell codings that exist elsewhere (501) from nonsense (400). */
static bool read_coding(struct reading *r)
{
	struct slice list = r->coding, item;
	bool unknown = false, malformed = false, last = false;

	if (r->codings == 0)
		return true;
	if (slice_is_nocase(r->coding, "chunked")) {
		r->head.chunked = true;
		return true;
	}
	while (slice_next_item(&list, &item)) {
		struct slice name = item, rest = item;
		bool parameters = take_until(&rest, ';', &name);
		bool chunked = slice_is_nocase(slice_trim(name), "chunked");

		malformed = malformed || last || !head_is_token(slice_trim(name)) ||
			    (chunked && parameters);
		last = last || chunked; /* and nothing may follow */
		unknown = unknown || !chunked;
	}
	if (malformed || !unknown)
		return refuse_request(r, "Transfer-Encoding is not chunked, once and last.");
	return refuse(r, FAIL_BAD_CODING, "Transfer-Encoding names a coding other than chunked.");
}

static bool read_all(struct reading *r)
{
	struct slice line;
	struct head *head = &r->head;

	if (!take_line(r, &line) ||
	    !(r->request ? read_request_line(r, line) : read_status_line(r, line)) ||
	    !read_fields(r) || (r->request && !check_host(r)) || !check_count(r) ||
	    !read_length(r) || !check_body_allowed(r) || !read_coding(r))
		return false;
	/* Upgrade means nothing in HTTP/1.0 requests, RFC 9110 7.8. */
	head->upgrade = r->names_upgrade && r->has_upgrade && (!r->request || head->minor > 0);
	return true;
}

static enum fail head_parse(struct reading *r, struct head *ret_head, const char **ret_why)
{
	if (!read_all(r)) {
		head_done(&r->head);
		*ret_why = r->why;
		return r->fail;
	}
	*ret_head = r->head;
	return FAIL_NONE;
}

enum fail head_parse_request(struct head *ret_head, struct slice text, const char **ret_why)
{
	struct reading r = {.rest = text, .request = true};

	return head_parse(&r, ret_head, ret_why);
}

enum fail head_parse_response(struct head *ret_head, struct slice text, const char **ret_why)
{
	struct reading r = {.rest = text, .request = false};

	return head_parse(&r, ret_head, ret_why);
}

void head_done(struct head *head)
{
	free(head->fields);
	*head = (struct head){.fields = NULL};
}

const struct field *head_find(const struct head *head, enum field_id id, size_t from)
{
	for (size_t i = from; i < head->field_count; i++)
		if (head->fields[i].id == id)
			return &head->fields[i];
	return NULL;
}
