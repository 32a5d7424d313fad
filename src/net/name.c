#include "net/name.h"

#include <stdbool.h>
#include <string.h>

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Decimal or "0x" and hexadecimal, as inet_aton(3) reads a part of an address. */
static bool is_number(const char *label)
{
	bool hex = label[0] == '0' && label[1] == 'x';

	label += hex ? 2 : 0;
	return label[strspn(label, hex ? "0123456789abcdef" : "0123456789")] == '\0';
}

int name_parse(struct slice text, struct name *ret_name)
{
	size_t label = 0, last = 0;

	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		text.len--;
	if (text.len == 0 || text.len > NAME_TEXT_MAX)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		char c = lower(text.ptr[i]);

		if (c == '.' ? label == 0 : !name_byte(c))
			return -1;
		label = c == '.' ? 0 : label + 1;
		if (label == 0)
			last = i + 1;
		if (label > LABEL_MAX)
			return -1;
		ret_name->text[i] = c;
	}
	ret_name->text[text.len] = '\0';
	ret_name->len = text.len;
	return label == 0 || is_number(ret_name->text + last) ? -1 : 0;
}

bool name_is_localhost(const char *text)
{
	static const char local[] = "localhost";
	size_t len = strlen(text), suffix = sizeof(local) - 1;

	return len >= suffix && strcmp(text + len - suffix, local) == 0 &&
	       (len == suffix || text[len - suffix - 1] == '.');
}
