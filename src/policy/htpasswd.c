#include "policy/htpasswd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/basic.h"
#include "policy/hash.h"

/* One user in one group, while groups are read. */
struct member {
	size_t user;
	const char *group;
};

struct members {
	struct member *items;
	size_t count, size;
};

struct htpasswd {
	char *users_text, *groups_text; /* what names and hashes point into */
	struct htpasswd_user *users;    /* in the order of strcmp */
	size_t count, size;
	const char **groups; /* of all users, one after the other */
};

/* ---- lines ------------------------------------------------------------------------------ */

/* A text being read: its lines are cut out of a copy of it. */
struct reading {
	char *at, *end;
	unsigned line;
	struct htpasswd_note *wrong;
};

static int refuse(const struct reading *r, const char *format, ...) PRINTF_LIKE(2, 3);

static int refuse(const struct reading *r, const char *format, ...)
{
	va_list args;

	r->wrong->line = r->line;
	va_start(args, format);
	vsnprintf(r->wrong->message, sizeof(r->wrong->message), format, args);
	va_end(args);
	return -1;
}

static int refuse_memory(const struct reading *r)
{
	refuse(r, "out of memory");
	r->wrong->line = 0;
	return -1;
}

/* The copy is *ret_copy's. */
static int begin(struct reading *r, struct slice text, char **ret_copy)
{
	r->line = 1;
	if (text.len > HTPASSWD_TEXT_MAX)
		return refuse(r, "the file has more than %d bytes", HTPASSWD_TEXT_MAX);
	*ret_copy = malloc(text.len + 1);
	if (!*ret_copy)
		return refuse_memory(r);
	if (text.len > 0)
		memcpy(*ret_copy, text.ptr, text.len);
	(*ret_copy)[text.len] = '\0';
	r->line = 0;
	r->at = *ret_copy;
	r->end = *ret_copy + text.len;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && !is_blank(c)) || c == 0x7f;
}

/* The next line that means something, without blanks at its ends, NUL behind it.  NULL: none. */
static char *next_line(struct reading *r)
{
	while (r->at < r->end) {
		char *start = r->at, *stop = memchr(start, '\n', (size_t)(r->end - start));

		r->line++;
		if (!stop)
			stop = r->end;
		r->at = stop + 1;
		while (start < stop && is_blank(*start))
			start++;
		while (stop > start && is_blank(stop[-1]))
			stop--;
		*stop = '\0';
		if (start == stop || *start == '#')
			continue;
		for (char *p = start; p < stop; p++)
			if (is_control(*p))
				*p = '\x01'; /* NUL too, so that the line is seen whole */
		return start;
	}
	return NULL;
}

/* A name as messages show it. */
struct shown {
	char text[68];
};

static struct shown show(const char *name)
{
	struct shown shown = {""};

	log_escape(shown.text, sizeof(shown.text), name, strlen(name));
	return shown;
}

/* ---- users ------------------------------------------------------------------------------ */

static int add_user(
    struct htpasswd *table, const struct reading *r, const char *name, const char *hash)
{
	struct htpasswd_user *grown;

	if (table->count == HTPASSWD_USERS_MAX)
		return refuse(r, "more than %d users", HTPASSWD_USERS_MAX);
	if (table->count == table->size) {
		table->size = table->size > 0 ? 2 * table->size : 16;
		grown = reallocarray(table->users, table->size, sizeof(*grown));
		if (!grown)
			return refuse_memory(r);
		table->users = grown;
	}
	table->users[table->count++] =
	    (struct htpasswd_user){.name = name, .hash = hash, .line = r->line};
	return 0;
}

/* The rest of a line is never shown: it may be a password. */
static int read_user(struct htpasswd *table, const struct reading *r, char *line)
{
	char *colon = strchr(line, ':');
	const char *complaint;

	if (!colon)
		return refuse(r, "no colon: a line is \"name:hash\"");
	*colon = '\0';
	if (colon == line)
		return refuse(r, "the name before the colon is empty");
	if (!basic_is_name((struct slice){line, (size_t)(colon - line)}))
		return refuse(r, "user \"%s\": a name has at most %d bytes and no controls",
		    show(line).text, BASIC_NAME_MAX);
	complaint = hash_complaint((struct slice){colon + 1, strlen(colon + 1)});
	if (complaint)
		return refuse(r,
		    "user \"%s\": the hash %s; penstock --passwd writes a line that is good",
		    show(line).text, complaint);
	return add_user(table, r, line, colon + 1);
}

static int compare_users(const void *a, const void *b)
{
	const struct htpasswd_user *one = a, *other = b;
	int order = strcmp(one->name, other->name);

	return order != 0 ? order : (one->line > other->line) - (one->line < other->line);
}

static int sort_users(struct htpasswd *table, struct reading *r)
{
	if (table->count > 1)
		qsort(table->users, table->count, sizeof(table->users[0]), compare_users);
	for (size_t i = 1; i < table->count; i++) {
		const struct htpasswd_user *user = &table->users[i];

		if (strcmp(user[-1].name, user->name) != 0)
			continue;
		r->line = user->line;
		return refuse(r, "user \"%s\" is in line %u already; one line has to go",
		    show(user->name).text, user[-1].line);
	}
	return 0;
}

int htpasswd_read_users(struct htpasswd *table, struct slice text, struct htpasswd_note *ret_wrong)
{
	struct reading r = {.wrong = ret_wrong};
	char *line;

	if (begin(&r, text, &table->users_text) < 0)
		return -1;
	while ((line = next_line(&r)) != NULL)
		if (read_user(table, &r, line) < 0)
			return -1;
	return sort_users(table, &r);
}

/* ---- groups ----------------------------------------------------------------------------- */

static int add_member(
    struct members *members, const struct reading *r, size_t user, const char *group)
{
	struct member *grown;

	if (members->count == HTPASSWD_MEMBERS_MAX)
		return refuse(r, "more than %d members in all groups", HTPASSWD_MEMBERS_MAX);
	if (members->count == members->size) {
		members->size = members->size > 0 ? 2 * members->size : 16;
		grown = reallocarray(members->items, members->size, sizeof(*grown));
		if (!grown)
			return refuse_memory(r);
		members->items = grown;
	}
	members->items[members->count++] = (struct member){user, group};
	return 0;
}

static void note_stranger(
    const struct reading *r, const char *group, const char *name, struct htpasswd_note *ret_strange)
{
	if (ret_strange->line > 0)
		return;
	ret_strange->line = r->line;
	snprintf(ret_strange->message, sizeof(ret_strange->message),
	    "group \"%s\": there is no user \"%s\"", show(group).text, show(name).text);
}

static bool is_group(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= HTPASSWD_GROUP_MAX && !strpbrk(name, " \t\r\x01");
}

static int read_group(const struct htpasswd *table, const struct reading *r, char *line,
    struct members *members, struct htpasswd_note *ret_strange)
{
	char *colon = strchr(line, ':'), *end, *name, *rest;

	if (!colon)
		return refuse(r, "no colon: a line is \"group: user user\"");
	for (end = colon; end > line && is_blank(end[-1]); end--)
		continue;
	*end = '\0';
	if (!is_group(line))
		return refuse(r,
		    "group \"%s\": a group's name has 1 to %d bytes, no blanks and no controls",
		    show(line).text, HTPASSWD_GROUP_MAX);
	for (name = strtok_r(colon + 1, " \t\r", &rest); name;
	     name = strtok_r(NULL, " \t\r", &rest)) {
		const struct htpasswd_user *user = htpasswd_find(table, slice_of(name));

		if (!user)
			note_stranger(r, line, name, ret_strange);
		else if (add_member(members, r, (size_t)(user - table->users), line) < 0)
			return -1;
	}
	return 0;
}

static int compare_members(const void *a, const void *b)
{
	const struct member *one = a, *other = b;

	if (one->user != other->user)
		return one->user > other->user ? 1 : -1;
	return strcmp(one->group, other->group);
}

/* Give each user the part of one long list that is his. */
static int hand_out_groups(struct htpasswd *table, const struct reading *r, struct members *members)
{
	size_t at = 0;

	table->groups = calloc(members->count + 1, sizeof(*table->groups));
	if (!table->groups)
		return refuse_memory(r);
	if (members->count > 1)
		qsort(members->items, members->count, sizeof(members->items[0]), compare_members);
	for (size_t i = 0; i < members->count; i++) {
		const struct member *member = &members->items[i];
		struct htpasswd_user *user = &table->users[member->user];

		if (i > 0 && compare_members(member - 1, member) == 0)
			continue;
		if (user->group_count == 0)
			user->groups = table->groups + at;
		table->groups[at++] = member->group;
		user->group_count++;
	}
	return 0;
}

int htpasswd_read_groups(struct htpasswd *table, struct slice text, struct htpasswd_note *ret_wrong,
    struct htpasswd_note *ret_strange)
{
	struct reading r = {.wrong = ret_wrong};
	struct members members = {0};
	char *line;
	int result;

	ret_strange->line = 0;
	result = begin(&r, text, &table->groups_text);
	while (result == 0 && (line = next_line(&r)) != NULL)
		result = read_group(table, &r, line, &members, ret_strange);
	if (result == 0)
		result = hand_out_groups(table, &r, &members);
	free(members.items);
	return result;
}

/* ---- the table -------------------------------------------------------------------------- */

struct htpasswd *htpasswd_new(void)
{
	return calloc(1, sizeof(struct htpasswd));
}

void htpasswd_free(struct htpasswd *table)
{
	if (!table)
		return;
	free(table->groups);
	free(table->users);
	free(table->groups_text);
	free(table->users_text);
	free(table);
}

/* The order of strcmp, of a slice and a string. */
static int compare_name(struct slice name, const char *with)
{
	int order = strncmp(name.ptr, with, name.len);

	return order != 0 ? order : -(with[name.len] != '\0');
}

const struct htpasswd_user *htpasswd_find(const struct htpasswd *table, struct slice name)
{
	size_t first = 0, behind = table->count;

	if (!basic_is_name(name))
		return NULL;
	while (first < behind) {
		size_t middle = first + (behind - first) / 2;
		int order = compare_name(name, table->users[middle].name);

		if (order == 0)
			return &table->users[middle];
		if (order < 0)
			behind = middle;
		else
			first = middle + 1;
	}
	return NULL;
}

const struct htpasswd_user *htpasswd_pick(const struct htpasswd *table, uint64_t number)
{
	return table->count > 0 ? &table->users[number % table->count] : NULL;
}

size_t htpasswd_count(const struct htpasswd *table)
{
	return table->count;
}

static int compare_group(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

static bool is_in_group(const struct htpasswd_user *user, const char *group)
{
	return user->group_count > 0 && bsearch(group, user->groups, user->group_count,
					    sizeof(user->groups[0]), compare_group) != NULL;
}

bool htpasswd_has_group(const struct htpasswd *table, const char *group)
{
	for (size_t i = 0; i < table->count; i++)
		if (is_in_group(&table->users[i], group))
			return true;
	return false;
}
