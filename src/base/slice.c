#include "base/slice.h"

static char slice_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool slice_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (slice_lower(a.ptr[i]) != slice_lower(b.ptr[i]))
			return false;
	return true;
}

struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && slice_is_blank(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && slice_is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

/* The length of the element that s begins with: up to a comma that separates, or to the end. */
static size_t slice_item_len(struct slice s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"')
			quoted = !quoted;
		else if (quoted && s.ptr[i] == '\\')
			i++; /* quoted-pair, RFC 9110 5.6.4 */
		else if (!quoted && s.ptr[i] == ',')
			return i;
	}
	return s.len;
}

bool slice_next_item(struct slice *rest, struct slice *ret_item)
{
	while (rest->len > 0) {
		size_t len = slice_item_len(*rest);
		size_t used = len < rest->len ? len + 1 : len; /* the comma, too */
		struct slice item = slice_trim((struct slice){rest->ptr, len});

		rest->ptr += used;
		rest->len -= used;
		if (item.len > 0) {
			*ret_item = item;
			return true;
		}
	}
	return false;
}
