#include "http/head.h"

#include <string.h>

#include "base/recycle.h"
#include "http/byte.h"
#include "http/target.h"

#define LENGTH_DIGITS_MAX 18 /* no overflow in 64 bits, nor in a sum of two */
#define VERSION_LEN 8        /* HTTP/1.1 */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool head_is_token(struct slice text)
{
	return text.len > 0 && byte_skip(text.ptr, 0, text.len, BYTE_TOKEN) == text.len;
}

bool head_is_field_line(struct slice line)
{
	struct field field;

	return byte_skip(line.ptr, 0, line.len, BYTE_VALUE) == line.len &&
	       field_split(line, &field);
}

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
	r->head.fields = recycle_alloc((lines ? lines : 1) * sizeof(*r->head.fields));
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
	recycle_free(head->fields);
	*head = (struct head){.fields = NULL};
}

const struct field *head_find(const struct head *head, enum field_id id, size_t from)
{
	for (size_t i = from; i < head->field_count; i++)
		if (head->fields[i].id == id)
			return &head->fields[i];
	return NULL;
}
