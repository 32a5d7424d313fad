#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/recycle.h"

#define TEXT_SIZE_FIRST 2000 /* holds most heads, and a small body behind one */

/* Make room for len more bytes and the NUL.  False when the text has failed. */
static bool text_reserve(struct text *t, size_t len)
{
	size_t size = t->size ? t->size : TEXT_SIZE_FIRST;
	char *ptr;

	if (t->failed)
		return false;
	if (len < t->size - t->len)
		return true;
	/* Doubling stays below SIZE_MAX when what is asked for is at most half of it. */
	if (len >= SIZE_MAX / 2 - t->len) {
		t->failed = true;
		return false;
	}
	while (size <= t->len + len)
		size *= 2;
	ptr = t->ptr ? realloc(t->ptr, size) : recycle_alloc(size);
	if (!ptr) {
		t->failed = true;
		return false;
	}
	t->ptr = ptr;
	t->size = size;
	return true;
}

void text_done(struct text *t)
{
	recycle_free(t->ptr);
	*t = (struct text){0};
}

void text_clear(struct text *t)
{
	t->len = 0;
	t->failed = false;
	if (t->ptr)
		t->ptr[0] = '\0';
}

void text_add_more(struct text *t, const char *bytes, size_t len)
{
	if (len == 0 || !text_reserve(t, len))
		return;
	memcpy(t->ptr + t->len, bytes, len);
	t->len += len;
	t->ptr[t->len] = '\0';
}

void text_add_number(struct text *t, unsigned long long number)
{
	char digits[3 * sizeof(number)];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	text_add(t, digits + at, sizeof(digits) - at);
}

void text_add_format(struct text *t, const char *format, ...)
{
	va_list args;
	int len;

	if (t->failed)
		return;
	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0) {
		t->failed = true;
		return;
	}
	if (len == 0 || !text_reserve(t, (size_t)len))
		return;
	va_start(args, format);
	vsnprintf(t->ptr + t->len, (size_t)len + 1, format, args);
	va_end(args);
	t->len += (size_t)len;
}
