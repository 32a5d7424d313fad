#include "http/target.h"

#include <arpa/inet.h>
#include <string.h>

#include "net/addr.h"

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */
#define PORT_DIGITS_MAX 5
#define HTTP_PORT 80

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* RFC 3986 3.2.1.  It is dropped, but what is odd in it may hide where the host begins. */
static bool is_userinfo(char c)
{
	return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:%", c));
}

static struct slice slice_from(struct slice s, size_t start)
{
	return (struct slice){s.ptr + start, s.len - start};
}

/* The offset of the first c, or the length when there is none. */
static size_t find(struct slice s, char c)
{
	const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

	return at ? (size_t)(at - s.ptr) : s.len;
}

/* Put the host, a trailing dot cut off, into the target in lower case. */
static bool target_set_host(struct target *t, struct slice host, const char **why)
{
	if (host.len > 0 && host.ptr[host.len - 1] == '.')
		host.len--;
	if (host.len == 0) {
		*why = "The host name is empty.";
		return false;
	}
	if (host.len > TARGET_HOST_MAX) {
		*why = "The host name is longer than 253 characters.";
		return false;
	}
	for (size_t i = 0; i < host.len; i++) {
		char c = host.ptr[i];

		t->host[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	t->host[host.len] = '\0';
	t->host_len = host.len;
	return true;
}

static const char *host_complaint(char c)
{
	if (c == '%')
		return "The host name is percent-encoded; it must be written plainly.";
	if (c == '@')
		return "The host holds a '@'; user names belong in front of the host, once.";
	if (c == ':')
		return "The host holds several ':'; an IPv6 address must be in brackets.";
	return "The host name holds a character other than letters, digits, '-', '.' and '_'.";
}

/* Characters and labels of target->host. */
static bool target_check_labels(const struct target *t, const char **why)
{
	size_t label = 0;

	for (size_t i = 0; i < t->host_len; i++) {
		char c = t->host[i];
		bool dot = c == '.';

		if (!dot && !is_alpha(c) && !is_digit(c) && c != '-' && c != '_') {
			*why = host_complaint(c);
			return false;
		}
		if (dot && label == 0) {
			*why = "The host name has an empty label.";
			return false;
		}
		label = dot ? 0 : label + 1;
		if (label > LABEL_MAX) {
			*why = "The host name has a label longer than 63 characters.";
			return false;
		}
	}
	if (label == 0)
		*why = "The host name has an empty label.";
	return label > 0;
}

/* Whether the last label is a number, as inet_aton(3) reads them. */
static bool target_ends_in_number(const struct target *t)
{
	const char *dot = strrchr(t->host, '.');
	const char *label = dot ? dot + 1 : t->host;
	bool hex = label[0] == '0' && label[1] == 'x';

	for (label += hex ? 2 : 0; *label; label++)
		if (hex ? !is_hex(*label) : !is_digit(*label))
			return false;
	return true;
}

static bool target_read_name(struct target *t, struct slice host, const char **why)
{
	struct addr ipv4;

	if (!target_set_host(t, host, why) || !target_check_labels(t, why))
		return false;
	if (target_ends_in_number(t) &&
	    addr_parse_loose((struct slice){t->host, t->host_len}, &ipv4) != 0) {
		*why = "The host ends in a number but is no IPv4 address.";
		return false;
	}
	return true;
}

static bool target_read_ipv6(struct target *t, struct slice host, const char **why)
{
	struct in6_addr ipv6;

	if (find(host, '%') < host.len) {
		*why = "The IPv6 address has a zone; zones have no meaning to a proxy.";
		return false;
	}
	/* A trailing dot would be cut off, a NUL end the text for inet_pton. */
	if (host.len >= INET6_ADDRSTRLEN || (host.len > 0 && host.ptr[host.len - 1] == '.') ||
	    find(host, '\0') < host.len || !target_set_host(t, host, why) ||
	    inet_pton(AF_INET6, t->host, &ipv6) != 1) {
		*why = "The brackets hold no IPv6 address.";
		return false;
	}
	return true;
}

/* The digits of a port.  Empty means the default (RFC 3986 6.2.3): 0. */
static bool target_read_port(struct target *t, struct slice digits, const char **why)
{
	uint32_t port = 0;

	for (size_t i = 0; i < digits.len; i++) {
		if (!is_digit(digits.ptr[i]) || digits.len > PORT_DIGITS_MAX) {
			*why = "The port is no decimal number of at most five digits.";
			return false;
		}
		port = port * 10 + (uint32_t)(digits.ptr[i] - '0');
	}
	if (port > UINT16_MAX || (digits.len > 0 && port == 0)) {
		*why = "The port is not from 1 to 65535.";
		return false;
	}
	t->port = (uint16_t)port;
	return true;
}

/* host [":" [port]] into host, port (0 when none is given) and authority. */
static bool target_read_authority(struct target *t, struct slice text, const char **why)
{
	bool bracket = text.len > 0 && text.ptr[0] == '[';
	size_t end = find(text, bracket ? ']' : ':');
	struct slice rest;

	if (bracket && end == text.len) {
		*why = "The host has a '[' without its ']'.";
		return false;
	}
	rest = slice_from(text, bracket ? end + 1 : end);
	if (rest.len > 0 && rest.ptr[0] != ':') {
		*why = "What follows the IPv6 address's ']' is no port.";
		return false;
	}
	/* A name ends at its first ':', so with a second one the digits would get the blame. */
	if (!bracket && rest.len > 0 && find(slice_from(rest, 1), ':') < rest.len - 1) {
		*why = host_complaint(':');
		return false;
	}
	t->authority = text;
	return (bracket ? target_read_ipv6(t, (struct slice){text.ptr + 1, end - 1}, why)
			: target_read_name(t, (struct slice){text.ptr, end}, why)) &&
	       target_read_port(t, rest.len > 0 ? slice_from(rest, 1) : rest, why);
}

/* No part of any target may hold these, whatever its form. */
static const char *target_complaint(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c > ' ' && c < 0x7f && c != '#' && c != '\\')
			continue;
		if (c == '#')
			return "The request-target holds a '#'; fragments are never sent.";
		if (c == '\\')
			return "The request-target holds a backslash; it must be percent-encoded.";
		if (c >= 0x80)
			return "The request-target holds a byte that is not ASCII; "
			       "it must be percent-encoded.";
		return "The request-target holds a space or control; it must be percent-encoded.";
	}
	return NULL;
}

/* The length of a scheme that "://" follows, or 0. */
static size_t scheme_len(struct slice text)
{
	size_t len = 0;

	if (text.len == 0 || !is_alpha(text.ptr[0]))
		return 0;
	while (len < text.len && (is_alpha(text.ptr[len]) || is_digit(text.ptr[len]) ||
				     (text.ptr[len] != '\0' && strchr("+-.", text.ptr[len]))))
		len++;
	return text.len - len >= 3 && memcmp(text.ptr + len, "://", 3) == 0 ? len : 0;
}

static bool target_read_connect(struct target *t, struct slice text, const char **why)
{
	t->form = TARGET_AUTHORITY;
	t->path = SLICE("");
	if (scheme_len(text) > 0 || find(text, '/') < text.len || find(text, '?') < text.len) {
		*why = "CONNECT takes host:port and nothing else.";
		return false;
	}
	if (find(text, '@') < text.len) {
		*why = "CONNECT takes host:port; a user name in front is not allowed.";
		return false;
	}
	if (!target_read_authority(t, text, why))
		return false;
	if (t->port == 0)
		*why = "CONNECT takes host:port; the port is missing.";
	return t->port != 0;
}

/* Cut "user:password@" off. */
static bool target_drop_userinfo(struct slice *authority, const char **why)
{
	size_t at = find(*authority, '@');

	if (at == authority->len)
		return true;
	for (size_t i = 0; i < at; i++) {
		if (!is_userinfo(authority->ptr[i])) {
			*why = "The user name in front of the host holds a character that must be "
			       "percent-encoded.";
			return false;
		}
	}
	*authority = slice_from(*authority, at + 1);
	return true;
}

static bool target_read_absolute(
    struct target *t, struct slice text, bool options, const char **why)
{
	size_t scheme = scheme_len(text);
	struct slice authority = slice_from(text, scheme + 3);
	size_t slash = find(authority, '/');
	size_t end = find((struct slice){authority.ptr, slash}, '?');

	t->form = TARGET_ABSOLUTE;
	if (!slice_is_nocase((struct slice){text.ptr, scheme}, "http")) {
		*why = slice_is_nocase((struct slice){text.ptr, scheme}, "https")
			   ? "Use CONNECT for https; only http is served by its URL."
			   : "Only http is served by its URL.";
		return false;
	}
	t->path = slice_from(authority, end);
	if (t->path.len == 0)
		t->path = options ? SLICE("*") : SLICE("/");
	authority.len = end;
	if (!target_drop_userinfo(&authority, why) || !target_read_authority(t, authority, why))
		return false;
	if (t->port == 0)
		t->port = HTTP_PORT;
	return true;
}

/* The forms without a host: the proxy itself is asked. */
static bool target_read_own(struct target *t, struct slice text, bool options, const char **why)
{
	bool asterisk = slice_is(text, "*");

	if (asterisk ? options : text.ptr[0] == '/') {
		t->form = asterisk ? TARGET_ASTERISK : TARGET_ORIGIN;
		t->path = text;
		return true;
	}
	if (asterisk)
		*why = "The request-target '*' is for OPTIONS only.";
	else if (target_read_authority(t, text, why) && t->port != 0)
		*why = "A request-target of host and port is for CONNECT only; a proxy needs a URL "
		       "that begins with http://.";
	else
		*why = "The request-target is no URL that begins with http://, and no path.";
	return false;
}

enum fail target_parse(
    struct slice method, struct slice text, struct target *ret_target, const char **ret_why)
{
	struct target t = {.form = TARGET_ORIGIN, .authority = SLICE(""), .path = SLICE("")};
	bool options = slice_is(method, "OPTIONS");
	const char *why = text.len == 0 ? "The request-target is empty." : target_complaint(text);
	bool good;

	if (why)
		good = false;
	else if (slice_is(method, "CONNECT"))
		good = target_read_connect(&t, text, &why);
	else if (scheme_len(text) > 0)
		good = target_read_absolute(&t, text, options, &why);
	else
		good = target_read_own(&t, text, options, &why);
	if (!good) {
		*ret_why = why;
		return FAIL_BAD_TARGET;
	}
	*ret_target = t;
	return FAIL_NONE;
}

bool target_is_authority(struct slice text)
{
	struct target scratch;
	const char *why;

	return text.len > 0 && target_read_authority(&scratch, text, &why);
}

/* What is no URL that is served may be one all the same, or what CONNECT takes. */
struct slice target_secret(struct slice text)
{
	size_t scheme = scheme_len(text), start = scheme > 0 ? scheme + 3 : 0, end = start;
	const char *at;

	if (text.len == 0)
		return text;
	while (end < text.len && !strchr("/?#\\", text.ptr[end]))
		end++;
	at = end > start ? memrchr(text.ptr + start, '@', end - start) : NULL;
	return (struct slice){text.ptr + start, at ? (size_t)(at + 1 - (text.ptr + start)) : 0};
}
