#include "http/headers.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/text.h"

/* ---- what Connection names --------------------------------------------------------------- */

/* The names in order, so that many of them are no more work than a few. */
struct options {
	struct slice *names; /* NULL when there is none, as nearly always */
	size_t count;
};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int compare_names(const void *left, const void *right)
{
	const struct slice *a = left, *b = right;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	for (size_t i = 0; i < a->len; i++) {
		if (lower(a->ptr[i]) != lower(b->ptr[i]))
			return lower(a->ptr[i]) < lower(b->ptr[i]) ? -1 : 1;
	}
	return 0;
}

/* Options whose field, if there is one at all, goes by another rule. */
static bool is_usual_option(struct slice option)
{
	static const char *const usual[] = {"keep-alive", "close", "upgrade", "te"};

	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		if (slice_is_nocase(option, usual[i]))
			return true;
	}
	return false;
}

/* Count the options that name a field, and write them to names when that is not NULL. */
static size_t options_walk(const struct head *head, struct slice *names)
{
	const struct field *field = head_find(head, FIELD_CONNECTION, 0);
	size_t count = 0;

	while (field != NULL) {
		struct slice rest = field->value, option;

		while (slice_next_item(&rest, &option)) {
			if (is_usual_option(option))
				continue;
			if (names != NULL)
				names[count] = option;
			count++;
		}
		field = head_find(head, FIELD_CONNECTION, (size_t)(field - head->fields) + 1);
	}
	return count;
}

/* 0, or -1 when out of memory. */
MUST_USE static int options_init(struct options *options, const struct head *head)
{
	*options = (struct options){.count = options_walk(head, NULL)};
	if (options->count == 0)
		return 0;
	options->names = calloc(options->count, sizeof(*options->names));
	if (options->names == NULL)
		return -1;
	options_walk(head, options->names);
	qsort(options->names, options->count, sizeof(*options->names), compare_names);
	return 0;
}

static void options_done(struct options *options)
{
	free(options->names);
}

/* Whether Connection removes the field; those that others rely on it must not take away. */
static bool options_name(const struct options *options, const struct field *field)
{
	if (options->count == 0)
		return false;
	switch (field->id) {
	case FIELD_HOST:
	case FIELD_CONTENT_LENGTH:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_VIA:
		return false;
	default:
		return bsearch(&field->name, options->names, options->count,
			   sizeof(*options->names), compare_names) != NULL;
	}
}

/* ---- questions --------------------------------------------------------------------------- */

/* Whether a member of Via, "[HTTP/]1.1 received-by[:port] [comment]", was added by name. */
static bool is_via_of(struct slice member, struct slice name)
{
	size_t at = 0;
	struct slice by;

	member = slice_trim(member);
	while (at < member.len && member.ptr[at] != ' ' && member.ptr[at] != '\t')
		at++;
	by = slice_trim((struct slice){member.ptr + at, member.len - at});
	if (by.len < name.len || !slice_equal_nocase((struct slice){by.ptr, name.len}, name))
		return false;
	return by.len == name.len || strchr(": \t(", by.ptr[name.len]) != NULL;
}

enum fail headers_check_loop(const struct head *head, const char *name)
{
	const struct slice own = {name, strlen(name)};
	const struct field *field = head_find(head, FIELD_VIA, 0);

	while (field != NULL) {
		struct slice rest = field->value;

		/* Every comma parts: an unfinished quote or comment must not hide our name. */
		while (rest.len > 0) {
			const char *comma = memchr(rest.ptr, ',', rest.len);
			size_t len = comma != NULL ? (size_t)(comma - rest.ptr) : rest.len;

			if (is_via_of((struct slice){rest.ptr, len}, own))
				return FAIL_LOOP;
			len += comma != NULL;
			rest.ptr += len;
			rest.len -= len;
		}
		field = head_find(head, FIELD_VIA, (size_t)(field - head->fields) + 1);
	}
	return FAIL_NONE;
}

enum fail headers_max_forwards(const struct head *head, int *ret_value, const char **ret_why)
{
	const struct field *field = NULL;
	int value = 0;

	if (slice_is(head->method, "TRACE") || slice_is(head->method, "OPTIONS"))
		field = head_find(head, FIELD_MAX_FORWARDS, 0);
	if (field == NULL) {
		*ret_value = -1;
		return FAIL_NONE;
	}
	if (head_find(head, FIELD_MAX_FORWARDS, (size_t)(field - head->fields) + 1) != NULL) {
		*ret_why = "The request has more than one Max-Forwards field.";
		return FAIL_BAD_REQUEST;
	}
	for (size_t i = 0; i < field->value.len || i == 0; i++) {
		char c = field->value.len > 0 ? field->value.ptr[i] : '-';

		if (c < '0' || c > '9') {
			*ret_why = "The value of the Max-Forwards field is not a number.";
			return FAIL_BAD_REQUEST;
		}
		value = value > (INT_MAX - (c - '0')) / 10 ? INT_MAX : value * 10 + (c - '0');
	}
	*ret_value = value;
	return FAIL_NONE;
}

bool headers_keep_alive(const struct head *request)
{
	return !request->close && (request->minor >= 1 || request->keep_alive);
}

bool headers_may_repeat(const struct head *request)
{
	static const char *const idempotent[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE",
	    "PROPFIND", "REPORT", "SEARCH", "QUERY"};

	if (request->chunked || (request->has_length && request->content_length > 0))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(idempotent); i++) {
		if (slice_is(request->method, idempotent[i]))
			return true;
	}
	return false;
}

bool headers_claim_connection(const struct head *request)
{
	static const char *const schemes[] = {"ntlm", "negotiate"};
	const struct field *field;

	for (size_t from = 0; (field = head_find(request, FIELD_AUTHORIZATION, from)) != NULL;
	     from = (size_t)(field - request->fields) + 1) {
		const char *blank = memchr(field->value.ptr, ' ', field->value.len);
		struct slice scheme = {field->value.ptr,
		    blank ? (size_t)(blank - field->value.ptr) : field->value.len};

		for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
			if (slice_is_nocase(scheme, schemes[i]))
				return true;
		}
	}
	return false;
}

/* ---- heads ------------------------------------------------------------------------------- */

static void add_field(struct text *out, struct slice name, struct slice value)
{
	text_add_slice(out, name);
	text_add_slice(out, SLICE(": "));
	text_add_slice(out, value);
	text_add_slice(out, SLICE("\r\n"));
}

static void add_via(struct text *out, int minor, const char *name)
{
	text_add_slice(out, minor == 0 ? SLICE("Via: 1.0 ") : SLICE("Via: 1.1 "));
	text_add_string(out, name);
	text_add_slice(out, SLICE("\r\n"));
}

/* Fields that are for one connection only, in requests and responses alike. */
static bool is_hop_by_hop(enum field_id id, bool upgrade)
{
	switch (id) {
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TE:
	case FIELD_TRAILER:
		return true;
	case FIELD_UPGRADE:
		return !upgrade;
	default:
		return false;
	}
}

static void add_request_field(
    struct text *out, const struct headers_request *request, const struct field *field)
{
	switch (field->id) {
	case FIELD_HOST: /* the target's is written already */
	case FIELD_PROXY_AUTHORIZATION:
		return;
	case FIELD_TRANSFER_ENCODING:
		if (request->head->chunked)
			text_add_slice(out, SLICE("Transfer-Encoding: chunked\r\n"));
		return;
	case FIELD_CONTENT_LENGTH:
		if (!request->head->chunked)
			add_field(out, field->name, field->value);
		return;
	case FIELD_EXPECT:
		/* Of no meaning in HTTP/1.0 (RFC 9110 10.1.1); as HTTP/1.1 it would get one. */
		if (request->head->minor == 0)
			return;
		break;
	case FIELD_MAX_FORWARDS:
		if (request->max_forwards < 0)
			break;
		text_add_slice(out, field->name);
		text_add_slice(out, SLICE(": "));
		text_add_number(out, (unsigned long long)request->max_forwards);
		text_add_slice(out, SLICE("\r\n"));
		return;
	default:
		break;
	}
	if (!is_hop_by_hop(field->id, request->upgrade))
		add_field(out, field->name, field->value);
}

void headers_write_request(struct text *out, const struct headers_request *request)
{
	const struct head *head = request->head;
	struct slice path = request->target->path;
	struct options options;

	if (options_init(&options, head) != 0) {
		out->failed = true;
		return;
	}
	text_add_slice(out, head->method);
	text_add_slice(out, SLICE(" "));
	if (path.len == 0 || (path.ptr[0] != '/' && path.ptr[0] != '*'))
		text_add_slice(out, SLICE("/"));
	text_add_slice(out, path);
	text_add_slice(out, SLICE(" HTTP/1.1\r\n"));
	add_field(out, SLICE("Host"), request->target->authority);
	for (size_t i = 0; i < head->field_count; i++) {
		if (!options_name(&options, &head->fields[i]))
			add_request_field(out, request, &head->fields[i]);
	}
	if (request->upgrade)
		text_add_slice(out, SLICE("Connection: upgrade\r\n"));
	add_via(out, head->minor, request->name);
	text_add_slice(out, SLICE("\r\n"));
	options_done(&options);
}

static bool passes_response_field(
    const struct headers_response *response, const struct field *field)
{
	int status = response->head->status;

	switch (field->id) {
	case FIELD_PROXY_AUTHENTICATE:
	case FIELD_PROXY_AUTHENTICATION_INFO:
	case FIELD_TRANSFER_ENCODING:
		return false;
	case FIELD_CONTENT_LENGTH:
		/* RFC 9110 8.6: never with 1xx and 204. */
		return (response->framing == BODY_LENGTH || response->framing == BODY_NONE) &&
		       status >= 200 && status != 204;
	default:
		return !is_hop_by_hop(field->id, response->upgrade);
	}
}

void headers_write_response(struct text *out, const struct headers_response *response)
{
	const struct head *head = response->head;
	struct options options;

	if (options_init(&options, head) != 0) {
		out->failed = true;
		return;
	}
	text_add_slice(out, SLICE("HTTP/1.1 "));
	text_add_number(out, (unsigned long long)head->status);
	text_add_slice(out, SLICE(" "));
	text_add_slice(out, head->reason);
	text_add_slice(out, SLICE("\r\n"));
	for (size_t i = 0; i < head->field_count; i++) {
		const struct field *field = &head->fields[i];

		if (passes_response_field(response, field) && !options_name(&options, field))
			add_field(out, field->name, field->value);
	}
	if (response->framing == BODY_CHUNKED)
		text_add_slice(out, SLICE("Transfer-Encoding: chunked\r\n"));
	if (response->upgrade)
		text_add_slice(out, SLICE("Connection: upgrade\r\n"));
	else if (response->close)
		text_add_slice(out, SLICE("Connection: close\r\n"));
	else if (response->client_minor == 0)
		text_add_slice(out, SLICE("Connection: keep-alive\r\n"));
	add_via(out, head->minor, response->name);
	text_add_slice(out, SLICE("\r\n"));
	options_done(&options);
}

void headers_write_interim(struct text *out, const struct head *head, const char *name)
{
	struct headers_response response = {
	    .head = head, .name = name, .client_minor = 1, .framing = BODY_NONE};

	headers_write_response(out, &response);
}

static bool is_secret(const struct field *field)
{
	return field->id == FIELD_AUTHORIZATION || field->id == FIELD_PROXY_AUTHORIZATION ||
	       (field->id == FIELD_OTHER && slice_is_nocase(field->name, "Cookie"));
}

void headers_write_trace(struct text *out, const struct head *request)
{
	text_add_slice(out, request->method);
	text_add_slice(out, SLICE(" "));
	text_add_slice(out, request->target);
	text_add_slice(out, request->minor == 0 ? SLICE(" HTTP/1.0\r\n") : SLICE(" HTTP/1.1\r\n"));
	for (size_t i = 0; i < request->field_count; i++) {
		if (!is_secret(&request->fields[i]))
			add_field(out, request->fields[i].name, request->fields[i].value);
	}
	text_add_slice(out, SLICE("\r\n"));
}
