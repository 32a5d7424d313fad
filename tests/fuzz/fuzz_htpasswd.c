/*
 * Any two texts, with a NUL between them, are a file of users and one of groups, or one of them is
 * refused with a line; users are found, and their groups are in order.  No hash is computed.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/hash.h"
#include "policy/htpasswd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_note(const struct htpasswd_note *note)
{
	check(note->line > 0 && note->message[0] != '\0');
	for (const char *c = note->message; *c; c++)
		check(*c >= ' ' && *c <= '~');
}

static void check_users(const struct htpasswd *table)
{
	const struct htpasswd_user *last = NULL;

	for (size_t i = 0; i < htpasswd_count(table); i++) {
		const struct htpasswd_user *user = htpasswd_pick(table, i);

		check(htpasswd_find(table, (struct slice){user->name, strlen(user->name)}) == user);
		check(!last || strcmp(last->name, user->name) < 0);
		check(!hash_complaint((struct slice){user->hash, strlen(user->hash)}));
		for (size_t g = 1; g < user->group_count; g++)
			check(strcmp(user->groups[g - 1], user->groups[g]) < 0);
		last = user;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
	size_t len = cut ? (size_t)(cut - data) : size;
	struct slice users = {(const char *)data, len};
	struct slice groups = {(const char *)data + len, size - len};
	struct htpasswd *table = htpasswd_new();
	struct htpasswd_note wrong = {0, ""}, strange;

	if (!table)
		return 0;
	if (cut)
		groups = (struct slice){groups.ptr + 1, groups.len - 1};
	if (htpasswd_read_users(table, users, &wrong) != 0) {
		check_note(&wrong);
	} else if (htpasswd_read_groups(table, groups, &wrong, &strange) != 0) {
		check_note(&wrong);
	} else {
		if (strange.line > 0)
			check_note(&strange);
		check_users(table);
	}
	htpasswd_free(table);
	return 0;
}
