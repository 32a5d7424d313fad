#include "http/scan.h"

#include "http/byte.h"

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
	scan->pos = byte_skip(source->data, scan->pos, end, strict ? BYTE_LINE : BYTE_VALUE);
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
