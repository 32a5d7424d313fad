#include "proxy/syntax.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 8
#define SETTINGS_MAX 1000 /* of a group: libconfig looks for duplicates in quadratic time */

#define INT_MOST "2147483647"

struct scan {
	char *pos;
	unsigned line;
	int depth;
	int settings[DEPTH_MAX + 2]; /* of the group that is open at each depth */
};

/* Behind the end mark; the scanner of libconfig 1.5 takes a missing one for the end of the file. */
static const char *scan_string(struct scan *s)
{
	unsigned start = s->line;

	for (s->pos++; *s->pos != '"'; s->pos++) {
		if (*s->pos == '\\' && (s->pos[1] == '"' || s->pos[1] == '\\'))
			s->pos++;
		else if (*s->pos == '\n')
			s->line++;
		else if (*s->pos == '\0') {
			s->line = start;
			return "this string has no end";
		}
	}
	s->pos++;
	return NULL;
}

static const char *scan_comment(struct scan *s)
{
	unsigned start = s->line;

	for (s->pos += 2; s->pos[0] != '*' || s->pos[1] != '/'; s->pos++) {
		if (*s->pos == '\n')
			s->line++;
		if (*s->pos == '\0') {
			s->line = start;
			return "this comment has no end";
		}
	}
	s->pos += 2;
	return NULL;
}

/*
 * libconfig 1.5 wraps integers around: 4294967297 would be 1.  Nothing here goes as
 * high as an int does, so a larger one becomes that, out of range.
 */
static void scan_number(struct scan *s)
{
	bool hex = s->pos[0] == '0' && (s->pos[1] == 'x' || s->pos[1] == 'X');
	char *start = s->pos + (hex ? 2 : 0);
	size_t len = strspn(start, hex ? "0123456789abcdefABCDEF" : "0123456789");
	char *end = start + len;
	bool fits = hex ? len <= 7 : len <= 9 || (len == 10 && memcmp(start, INT_MOST, 10) <= 0);

	if (!fits && *end != '.' && *end != 'e' && *end != 'E') {
		memset(s->pos, '0', (size_t)(end - s->pos));
		for (size_t i = 0; i < 10; i++)
			end[(ptrdiff_t)i - 10] = INT_MOST[i];
	}
	s->pos = end;
}

/* A mark that is neither of a value nor of a name. */
static void scan_mark(struct scan *s, char c)
{
	s->line += c == '\n';
	s->settings[s->depth] += c == '=' || c == ':';
	if (strchr("{[(", c) != NULL)
		s->settings[++s->depth] = 0;
	else if (strchr("}])", c) != NULL && s->depth > 0)
		s->depth--;
	s->pos++;
}

/* One step; NULL, or a sentence why the text on this line is refused. */
static const char *scan_step(struct scan *s)
{
	static const char letters[] = "*ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char name[] =
	    "-_0123456789*ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char c = *s->pos;

	if (c == '"')
		return scan_string(s);
	if (c == '/' && s->pos[1] == '*')
		return scan_comment(s);
	if (c >= '0' && c <= '9') {
		scan_number(s);
	} else if (strchr(letters, c) != NULL) {
		s->pos += strspn(s->pos, name);
	} else if (c == '#' || (c == '/' && s->pos[1] == '/')) {
		s->pos += strcspn(s->pos, "\n");
	} else {
		scan_mark(s, c);
	}
	if (c == '@')
		return "@include is not supported: write everything into one file";
	if (s->depth > DEPTH_MAX)
		return "nested too deeply";
	return s->settings[s->depth] > SETTINGS_MAX ? "too many settings" : NULL;
}

const char *syntax_check(struct text *text, unsigned *ret_line)
{
	struct scan scan = {.pos = text->ptr, .line = 1};
	const char *why = NULL;

	while (*scan.pos != '\0' && why == NULL)
		why = scan_step(&scan);
	if (why == NULL && scan.pos != text->ptr + text->len)
		why = "a NUL byte";
	if (why != NULL)
		*ret_line = scan.line;
	return why;
}
