#include "base/utf8.h"

#include <stdint.h>

size_t utf8_len(struct slice s)
{
	/* The least that takes so many bytes; of two bytes the least that is no control. */
	static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
	unsigned char lead = s.len > 0 ? (unsigned char)s.ptr[0] : 0;
	size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	uint32_t c = lead & (0x7fU >> len);

	if (lead < 0xc0 || lead > 0xf4 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)s.ptr[i] & 0x3fU);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}
