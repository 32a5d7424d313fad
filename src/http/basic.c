#include "http/basic.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SCHEME "basic"

/* The longest that can be meant: both parts and their colon. */
#define DECODED_MAX (BASIC_NAME_MAX + 1 + BASIC_PASSWORD_MAX)

static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c < ' ' || c == 0x7f)
			return true;
	}
	return false;
}

bool basic_is_name(struct slice name)
{
	return name.len > 0 && name.len <= BASIC_NAME_MAX && !memchr(name.ptr, ':', name.len) &&
	       !has_control(name);
}

bool basic_is_password(struct slice password)
{
	return password.len > 0 && password.len <= BASIC_PASSWORD_MAX && !has_control(password);
}

bool basic_is_scheme(struct slice value)
{
	const size_t len = sizeof(SCHEME) - 1;

	if (value.len < len || !slice_is_nocase((struct slice){value.ptr, len}, SCHEME))
		return false;
	return value.len == len || value.ptr[len] == ' ';
}

/* The six bits that a character stands for; -1: none. */
static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters into three bytes, less one for each '=' at the end.  -1: they are no base64. */
static int decode_group(const char in[4], size_t padding, char *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int six = i < 4 - padding ? sextet(in[i]) : 0;

		if (six < 0)
			return -1;
		bits = bits << 6 | (uint32_t)six;
	}
	/* What the padding cuts off has to be zero (RFC 4648 3.5): there is one way to write it. */
	if (bits & ((UINT32_C(1) << 8 * padding) - 1))
		return -1;
	for (size_t i = 0; i < 3 - padding; i++)
		out[i] = (char)(bits >> (16 - 8 * i));
	return 0;
}

/* out has room for len / 4 * 3 bytes.  Returns the bytes written, -1: it is no base64. */
static int decode_base64(struct slice in, char *out)
{
	size_t padding = 0, at = 0;

	if (in.len == 0 || in.len % 4 != 0)
		return -1;
	while (padding < 2 && in.ptr[in.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < in.len; i += 4) {
		size_t cut = i + 4 == in.len ? padding : 0;

		if (decode_group(in.ptr + i, cut, out + at) < 0)
			return -1;
		at += 3 - cut;
	}
	return (int)at;
}

static const char *split(struct slice text, struct basic *ret_basic)
{
	const char *colon = memchr(text.ptr, ':', text.len);
	struct slice name, password;

	if (!colon)
		return "The credentials for the proxy have no colon between name and password.";
	name = (struct slice){text.ptr, (size_t)(colon - text.ptr)};
	password = (struct slice){colon + 1, text.len - name.len - 1};
	if (name.len > BASIC_NAME_MAX || password.len > BASIC_PASSWORD_MAX)
		return "The user name or the password for the proxy is too long.";
	if (!basic_is_name(name) || !basic_is_password(password))
		return "The user name or the password for the proxy is empty, or has control "
		       "characters in it.";
	ret_basic->name_len = name.len;
	memcpy(ret_basic->name, name.ptr, name.len);
	ret_basic->name[name.len] = '\0';
	ret_basic->password_len = password.len;
	memcpy(ret_basic->password, password.ptr, password.len);
	ret_basic->password[password.len] = '\0';
	return NULL;
}

int basic_decode(struct slice value, struct basic *ret_basic, const char **ret_why)
{
	char decoded[DECODED_MAX + 3];
	struct slice text = slice_trim(
	    (struct slice){value.ptr + sizeof(SCHEME) - 1, value.len - (sizeof(SCHEME) - 1)});
	int len;

	if (text.len / 4 * 3 > sizeof(decoded)) {
		*ret_why = "The user name or the password for the proxy is too long.";
		return -1;
	}
	len = decode_base64(text, decoded);
	if (len < 0)
		*ret_why = "The credentials for the proxy are not written in base64 as they have "
			   "to be.";
	else
		*ret_why = split((struct slice){decoded, (size_t)len}, ret_basic);
	explicit_bzero(decoded, sizeof(decoded));
	return *ret_why ? -1 : 0;
}

void basic_wipe(struct basic *basic)
{
	explicit_bzero(basic, sizeof(*basic));
}
