/*
 * Any value of a field is either refused with a sentence, or it gives a name and a password that
 * the scheme can say and that are written in no other way.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/basic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Base64 of name, colon, password.  Returns its length. */
static size_t encode(const struct basic *basic, char *out)
{
	char text[BASIC_NAME_MAX + BASIC_PASSWORD_MAX + 4] = "";
	size_t len = basic->name_len + 1 + basic->password_len, at = 0;

	memcpy(text, basic->name, basic->name_len);
	text[basic->name_len] = ':';
	memcpy(text + basic->name_len + 1, basic->password, basic->password_len);
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)(uint8_t)text[i] << 16 |
				(uint32_t)(uint8_t)text[i + 1] << 8 | (uint8_t)text[i + 2];

		for (size_t k = 0; k < 4; k++)
			out[at++] = k > len - i ? '=' : digits[bits >> (18 - 6 * k) & 63];
	}
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), again[2048];
	struct slice value = {copy, size};
	struct basic basic;
	const char *why = NULL;
	size_t len;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!basic_is_scheme(value)) {
		free(copy);
		return 0;
	}
	if (basic_decode(value, &basic, &why) != 0) {
		if (!why || strchr(why, '"') || strchr(why, '\\'))
			abort();
		free(copy);
		return 0;
	}
	if (why || !basic_is_name((struct slice){basic.name, basic.name_len}) ||
	    !basic_is_password((struct slice){basic.password, basic.password_len}) ||
	    strlen(basic.name) != basic.name_len || strlen(basic.password) != basic.password_len)
		abort();
	len = encode(&basic, again);
	value = slice_trim((struct slice){copy + 5, size - 5});
	if (value.len != len || memcmp(value.ptr, again, len) != 0)
		abort();
	basic_wipe(&basic);
	free(copy);
	return 0;
}
