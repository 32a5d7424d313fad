/*
 * A list in any bytes: what is read is names as the header promises, the same in whatever pieces it
 * comes, and all of them are found in the set that is made of them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "policy/namelist.h"
#include "policy/nameset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static int on_name(struct slice name, bool exception, void *arg)
{
	struct text *out = arg;
	char again[NAMELIST_NAME_MAX + 1];

	check(namelist_read_name(name, again) == name.len);
	check(memcmp(again, name.ptr, name.len) == 0 && memchr(again, 0, name.len) == NULL);
	text_add(out, exception ? "@" : "+", 1);
	text_add_slice(out, name);
	text_add(out, "\n", 1);
	return 0;
}

static void read_list(
    struct namelist *n, struct text *out, const char *bytes, size_t len, size_t piece)
{
	*n = (struct namelist){.each = on_name, .arg = out};
	for (size_t at = 0; at < len; at += piece)
		check(namelist_feed(n, bytes + at, len - at < piece ? len - at : piece) == 0);
	check(namelist_end(n) == 0);
}

/* Each name of the text is in the set, and decides about itself. */
static void check_set(const struct nameset *set, const struct text *names)
{
	const char *at = names->ptr;
	size_t exceptions = 0, count = 0;

	while (at && *at) {
		size_t len = strcspn(at, "\n");
		struct nameset_match match;

		check(nameset_find(set, (struct slice){at + 1, len - 1}, &match));
		check(match.len == len - 1 && (match.exception || *at == '+'));
		exceptions += *at == '@';
		count++;
		at += len + 1;
	}
	check(nameset_facts(set)->exceptions <= exceptions && nameset_facts(set)->names <= count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size > 0 ? size : 1); /* of exactly its size */
	struct namelist whole, pieces;
	struct text first = {0}, second = {0};
	struct nameset *set;

	check(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	read_list(&whole, &first, copy, size, size + 1);
	read_list(&pieces, &second, copy, size, size > 0 ? data[0] % 7 + 1 : 1);
	check(first.len == second.len &&
	      (first.len == 0 || memcmp(first.ptr, second.ptr, first.len) == 0));
	check(whole.unknown == pieces.unknown && whole.first_unknown == pieces.first_unknown &&
	      whole.line == pieces.line);
	set = nameset_parse((struct slice){copy, size});
	check(set != NULL && nameset_facts(set)->unknown == whole.unknown);
	check_set(set, &first);
	nameset_unref(set);
	text_done(&first);
	text_done(&second);
	free(copy);
	return 0;
}
