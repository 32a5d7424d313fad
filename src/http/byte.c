#include "http/byte.h"

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

size_t byte_skip(const char *bytes, size_t pos, size_t end, enum byte_class class)
{
	while (pos < end && (classes[(unsigned char)bytes[pos]] & class))
		pos++;
	return pos;
}
