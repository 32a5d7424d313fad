#include "policy/namelist.h"

#include <string.h>

#include "net/addr.h"

#define LABEL_MAX 63
#define BOM "\xef\xbb\xbf"

/* ---- names ------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* As it stands in a name, or 0. */
static char name_char(char c)
{
	if ((c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_' || c == '.')
		return c;
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : '\0';
}

/* A host that ends so is an address or nothing at all: WHATWG URL, ends-in-a-number. */
static bool is_number(const char *label, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	bool prefixed = len >= 2 && label[0] == '0' && label[1] == 'x';

	for (size_t i = prefixed ? 2 : 0; i < len; i++) {
		if (prefixed ? memchr(hex, label[i], sizeof(hex) - 1) == NULL : !is_digit(label[i]))
			return false;
	}
	return true;
}

size_t namelist_read_name(struct slice text, char out[NAMELIST_NAME_MAX + 1])
{
	size_t label = 0; /* where it begins */

	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		text.len--;
	if (text.len == 0 || text.len > NAMELIST_NAME_MAX)
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		out[i] = name_char(text.ptr[i]);
		if (out[i] == '\0' || i - label > LABEL_MAX || (out[i] == '.' && i == label))
			return 0;
		if (out[i] == '.')
			label = i + 1;
	}
	if (label == text.len || text.len - label > LABEL_MAX ||
	    is_number(out + label, text.len - label))
		return 0;
	out[text.len] = '\0';
	return text.len;
}

/* ---- pieces of a line ------------------------------------------------------------------- */

/* What a line, or a piece of it, was. */
enum reading { KNOWN, UNKNOWN, ENDED };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct slice skip(struct slice s, size_t len)
{
	return (struct slice){s.ptr + len, s.len - len};
}

static bool begins(struct slice s, const char *text)
{
	size_t len = strlen(text);

	return s.len >= len && memcmp(s.ptr, text, len) == 0;
}

/* The next word; a comment ends the line. */
static bool next_word(struct slice *rest, struct slice *ret_word)
{
	size_t at = 0, end;

	while (at < rest->len && is_blank(rest->ptr[at]))
		at++;
	end = at;
	while (end < rest->len && !is_blank(rest->ptr[end]))
		end++;
	*ret_word = (struct slice){rest->ptr + at, end - at};
	*rest = skip(*rest, end);
	return end > at && ret_word->ptr[0] != '#';
}

static enum reading add(struct namelist *n, struct slice text, bool exception)
{
	char name[NAMELIST_NAME_MAX + 1];
	size_t len;

	if (begins(text, "*."))
		text = skip(text, 2);
	else if (begins(text, "."))
		text = skip(text, 1);
	len = namelist_read_name(text, name);
	if (len == 0)
		return UNKNOWN;
	return n->each((struct slice){name, len}, exception, n->arg) == 0 ? KNOWN : ENDED;
}

/* ---- formats ---------------------------------------------------------------------------- */

/* Where a name is sent that is not to be reached. */
static bool leads_nowhere(const struct addr *a)
{
	static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
	uint32_t v4;

	if (a->family == AF_INET) {
		memcpy(&v4, &a->ip.v4, sizeof(v4));
		return v4 == 0 || *(const unsigned char *)&a->ip.v4 == 127;
	}
	return memcmp(&a->ip.v6, &in6addr_any, sizeof(in6addr_any)) == 0 ||
	       memcmp(&a->ip.v6, &loopback, sizeof(loopback)) == 0;
}

/* An address as hosts files have it, perhaps with a zone. */
static bool read_address(struct slice text, struct addr *ret_addr)
{
	const char *zone = memchr(text.ptr, '%', text.len);

	if (zone != NULL)
		text.len = (size_t)(zone - text.ptr);
	return addr_parse(text, ret_addr) == 0;
}

/* Of the machine itself: "localhost", "ip6-allnodes", "0.0.0.0". */
static bool is_own_name(struct slice word)
{
	struct addr addr;

	return memchr(word.ptr, '.', word.len) == NULL ||
	       slice_is_nocase(word, "localhost.localdomain") ||
	       slice_is_nocase(word, "localhost6.localdomain6") || addr_parse(word, &addr) == 0;
}

static enum reading read_hosts(struct namelist *n, const struct addr *to, struct slice rest)
{
	enum reading result = KNOWN;
	struct slice word;

	while (next_word(&rest, &word)) {
		enum reading one;

		if (is_own_name(word))
			continue;
		one = leads_nowhere(to) ? add(n, word, false) : UNKNOWN;
		if (one == ENDED)
			return ENDED;
		if (one == UNKNOWN)
			result = UNKNOWN;
	}
	return result;
}

/* The value of "address=/a/b/0.0.0.0": names between slashes, then where they lead. */
static enum reading read_dnsmasq(struct namelist *n, struct slice value, bool server)
{
	const char *end =
	    value.len > 1 && value.ptr[0] == '/' ? memrchr(value.ptr, '/', value.len) : NULL;
	enum reading result = UNKNOWN;
	struct slice target, names;
	bool exception;
	struct addr addr;

	if (end == NULL || end == value.ptr)
		return UNKNOWN;
	target = skip(value, (size_t)(end + 1 - value.ptr));
	/* "#" is nowhere for an address, and the way of all other names for a server. */
	exception = server && slice_is(target, "#");
	if (target.len > 0 && !slice_is(target, "#") &&
	    (server || addr_parse(target, &addr) != 0 || !leads_nowhere(&addr)))
		return UNKNOWN;
	names = (struct slice){value.ptr + 1, (size_t)(end - value.ptr - 1)};
	do {
		const char *slash = memchr(names.ptr, '/', names.len);
		size_t len = slash != NULL ? (size_t)(slash - names.ptr) : names.len;

		result = add(n, (struct slice){names.ptr, len}, exception);
		if (result != KNOWN)
			return result;
		names = skip(names, slash != NULL ? len + 1 : len);
	} while (names.len > 0);
	return result;
}

/* Behind "||". */
static enum reading read_adblock(struct namelist *n, struct slice text, bool exception)
{
	const char *end = memchr(text.ptr, '^', text.len);
	struct slice behind;

	if (end == NULL)
		return UNKNOWN;
	behind = skip(text, (size_t)(end + 1 - text.ptr));
	if (behind.len > 0 && !slice_is(behind, "|"))
		return UNKNOWN;
	return add(n, (struct slice){text.ptr, (size_t)(end - text.ptr)}, exception);
}

/* A line of one word. */
static enum reading read_word(struct namelist *n, struct slice word)
{
	bool exception = begins(word, "@@");

	if (exception)
		word = skip(word, 2);
	if (begins(word, "||"))
		return read_adblock(n, skip(word, 2), exception);
	if (begins(word, "address="))
		return read_dnsmasq(n, skip(word, 8), false);
	if (begins(word, "local="))
		return read_dnsmasq(n, skip(word, 6), true);
	if (begins(word, "server="))
		return read_dnsmasq(n, skip(word, 7), true);
	return add(n, word, exception);
}

/* "[Adblock Plus 2.0]" is what such lists begin with. */
static bool is_comment(struct slice line, struct slice first)
{
	while (is_blank(line.ptr[line.len - 1]))
		line.len--;
	return first.ptr[0] == '!' || first.ptr[0] == ';' ||
	       (first.ptr[0] == '[' && line.ptr[line.len - 1] == ']');
}

static enum reading read_line(struct namelist *n, struct slice line)
{
	struct slice rest = line, word, second, behind;
	struct addr addr;

	if (!next_word(&rest, &word) || is_comment(line, word))
		return KNOWN;
	behind = rest;
	if (!next_word(&rest, &second))
		return read_word(n, word);
	return read_address(word, &addr) ? read_hosts(n, &addr, behind) : UNKNOWN;
}

/* ---- lines ------------------------------------------------------------------------------ */

static int take_line(struct namelist *n, struct slice line)
{
	enum reading reading;

	n->line++;
	if (n->line == 1 && begins(line, BOM))
		line = skip(line, strlen(BOM));
	reading = n->overlong || line.len > NAMELIST_LINE_MAX ? UNKNOWN : read_line(n, line);
	n->overlong = false;
	if (reading == UNKNOWN && n->unknown++ == 0)
		n->first_unknown = n->line;
	return reading == ENDED ? -1 : 0;
}

/* Keep what may be the beginning of a line. */
static void hold(struct namelist *n, const char *bytes, size_t len)
{
	if (len > sizeof(n->held) - n->held_len) {
		n->overlong = true;
		return;
	}
	memcpy(n->held + n->held_len, bytes, len);
	n->held_len += len;
}

static int take_held(struct namelist *n)
{
	size_t len = n->held_len;

	n->held_len = 0;
	return take_line(n, (struct slice){n->held, len});
}

int namelist_feed(struct namelist *n, const char *bytes, size_t len)
{
	const char *end = bytes + len, *feed;
	int result;

	for (; bytes < end; bytes = feed + 1) {
		feed = memchr(bytes, '\n', (size_t)(end - bytes));
		if (feed == NULL) {
			hold(n, bytes, (size_t)(end - bytes));
			return 0;
		}
		if (n->held_len > 0 || n->overlong) {
			hold(n, bytes, (size_t)(feed - bytes));
			result = take_held(n);
		} else {
			result = take_line(n, (struct slice){bytes, (size_t)(feed - bytes)});
		}
		if (result != 0)
			return -1;
	}
	return 0;
}

int namelist_end(struct namelist *n)
{
	return n->held_len > 0 || n->overlong ? take_held(n) : 0;
}
