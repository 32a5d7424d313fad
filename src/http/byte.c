#include "http/byte.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define C 0                                     /* controls: nowhere */
#define V BYTE_VALUE                            /* HTAB, obs-text: field values, reasons */
#define L (BYTE_LINE | BYTE_VALUE)              /* visible and SP */
#define T (BYTE_LINE | BYTE_VALUE | BYTE_TOKEN) /* tchar, RFC 9110 5.6.2 */

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

#define EACH(byte) (UINT64_MAX / 255 * (byte)) /* the byte, eight times */

/*
 * Whether all eight bytes are visible ASCII or SP, or (obs) that or obs-text.  May say no
 * to such bytes behind one that is not: then they are looked at singly.
 */
static inline bool byte_are_plain(const char *bytes, bool obs)
{
	uint64_t word, deleted, bad;

	memcpy(&word, bytes, sizeof(word));
	deleted = word ^ EACH(0x7f);
	/* A borrow out of a byte below 0x20, or out of a zero, which DEL has become. */
	bad = ((word - EACH(0x20)) & ~word) | ((deleted - EACH(1)) & ~deleted);
	return ((bad | (obs ? 0 : word)) & EACH(0x80)) == 0;
}

size_t byte_skip(const char *bytes, size_t pos, size_t end, enum byte_class class)
{
	/* Names are short, and of another alphabet. */
	while (class != BYTE_TOKEN && pos + sizeof(uint64_t) <= end &&
	       byte_are_plain(bytes + pos, class == BYTE_VALUE))
		pos += sizeof(uint64_t);
	while (pos < end && (classes[(unsigned char)bytes[pos]] & class))
		pos++;
	return pos;
}
