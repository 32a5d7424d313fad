#include "http/field.h"

#include <string.h>

#include "base/attr.h"
#include "http/byte.h"

#define KNOWN_LEN_MAX 25

/* By the length of the name. */
static const struct {
	const char *name;
	enum field_id id;
} known[KNOWN_LEN_MAX + 1][3] = {
    [2] = {{"te", FIELD_TE}},
    [3] = {{"via", FIELD_VIA}},
    [4] = {{"host", FIELD_HOST}},
    [6] = {{"accept", FIELD_ACCEPT}, {"expect", FIELD_EXPECT}},
    [7] = {{"referer", FIELD_REFERER}, {"trailer", FIELD_TRAILER}, {"upgrade", FIELD_UPGRADE}},
    [10] = {{"connection", FIELD_CONNECTION}, {"user-agent", FIELD_USER_AGENT},
	{"keep-alive", FIELD_KEEP_ALIVE}},
    [12] = {{"max-forwards", FIELD_MAX_FORWARDS}},
    [13] = {{"authorization", FIELD_AUTHORIZATION}},
    [14] = {{"content-length", FIELD_CONTENT_LENGTH}},
    [16] = {{"proxy-connection", FIELD_PROXY_CONNECTION}},
    [17] = {{"transfer-encoding", FIELD_TRANSFER_ENCODING}},
    [18] = {{"proxy-authenticate", FIELD_PROXY_AUTHENTICATE}},
    [19] = {{"proxy-authorization", FIELD_PROXY_AUTHORIZATION}},
    [25] = {{"proxy-authentication-info", FIELD_PROXY_AUTHENTICATION_INFO}},
};

static enum field_id field_id_of(struct slice name)
{
	if (name.len > KNOWN_LEN_MAX)
		return FIELD_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(known[0]) && known[name.len][i].name; i++) {
		const char *text = known[name.len][i].name;

		/* All begin with a letter. */
		if ((name.ptr[0] | 0x20) == text[0] &&
		    slice_equal_nocase(name, (struct slice){text, name.len}))
			return known[name.len][i].id;
	}
	return FIELD_OTHER;
}

bool field_split(struct slice line, struct field *ret_field)
{
	size_t len = byte_skip(line.ptr, 0, line.len, BYTE_TOKEN);

	if (len == 0 || len == line.len || line.ptr[len] != ':')
		return false;
	ret_field->name = (struct slice){line.ptr, len};
	ret_field->value = slice_trim((struct slice){line.ptr + len + 1, line.len - len - 1});
	ret_field->id = field_id_of(ret_field->name);
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

const char *field_complaint(struct slice line, bool first)
{
	size_t end = byte_skip(line.ptr, 0, line.len, BYTE_TOKEN);

	if (is_blank(line.ptr[0]))
		return first ? "There is white space between the first line and the first field."
			     : "A field is folded over several lines.";
	if (!memchr(line.ptr, ':', line.len))
		return "A field line has no colon.";
	if (end == 0 && line.ptr[0] == ':')
		return "A field has no name.";
	while (end < line.len && is_blank(line.ptr[end]))
		end++;
	if (end < line.len && line.ptr[end] == ':')
		return "There is white space between a field's name and its colon.";
	return "A field's name holds a character that no name may hold.";
}
