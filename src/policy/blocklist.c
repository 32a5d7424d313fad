#include "policy/blocklist.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/nameset.h"

/* Counted, as lists of one name share it. */
struct blocklist_tally {
	atomic_size_t refs;
	_Atomic uint64_t denied;
};

struct blocklist {
	struct blocklist_list *lists;
	size_t count;
};

/* ---- tally ---- */

static struct blocklist_tally *tally_of(const struct blocklist_list *old)
{
	struct blocklist_tally *tally;

	if (old != NULL) {
		atomic_fetch_add_explicit(&old->tally->refs, 1, memory_order_relaxed);
		return old->tally;
	}
	tally = calloc(1, sizeof(*tally));
	if (tally != NULL)
		atomic_init(&tally->refs, 1);
	return tally;
}

static void tally_unref(struct blocklist_tally *tally)
{
	if (tally != NULL && atomic_fetch_sub_explicit(&tally->refs, 1, memory_order_acq_rel) == 1)
		free(tally);
}

void blocklist_count(const struct blocklist_list *list)
{
	atomic_fetch_add_explicit(&list->tally->denied, 1, memory_order_relaxed);
}

uint64_t blocklist_denied(const struct blocklist_list *list)
{
	return atomic_load_explicit(&list->tally->denied, memory_order_relaxed);
}

/* ---- lists ---- */

bool blocklist_name(const char *path, char out[BLOCKLIST_NAME_MAX + 1])
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	const char *dot = strrchr(base, '.');
	size_t len = dot != NULL && dot > base ? (size_t)(dot - base) : strlen(base);

	if (len == 0 || len > BLOCKLIST_NAME_MAX || strspn(base, allowed) < len)
		return false;
	memcpy(out, base, len);
	out[len] = '\0';
	return true;
}

static const struct blocklist_list *find_name(const struct blocklist *b, const char *name)
{
	for (size_t i = 0; b != NULL && i < b->count; i++) {
		if (strcmp(b->lists[i].name, name) == 0)
			return &b->lists[i];
	}
	return NULL;
}

static void list_done(struct blocklist_list *list)
{
	nameset_unref(list->names);
	tally_unref(list->tally);
	free(list->path);
}

static int list_init(struct blocklist_list *list, const char *path,
    const struct blocklist_list *old, struct leisure *leisure)
{
	bool same_file = old != NULL && strcmp(path, old->path) == 0;

	snprintf(list->token, sizeof(list->token), BLOCKLIST_TOKEN "%s", list->name);
	snprintf(list->sentence, sizeof(list->sentence),
	    "This proxy does not open that host: it is on the list %s. Please ask who runs the "
	    "proxy.",
	    list->name);
	list->path = strdup(path);
	list->tally = tally_of(old);
	list->names = nameset_load(path, same_file ? old->names : NULL, leisure);
	list->shared = same_file && list->names == old->names;
	return list->path != NULL && list->tally != NULL && list->names != NULL ? 0 : -1;
}

struct blocklist *blocklist_new(void)
{
	return calloc(1, sizeof(struct blocklist));
}

void blocklist_free(struct blocklist *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->count; i++)
		list_done(&b->lists[i]);
	free(b->lists);
	free(b);
}

int blocklist_add(
    struct blocklist *b, const char *path, const struct blocklist *old, struct leisure *leisure)
{
	struct blocklist_list list = {0}, *grown;
	int error;

	if (!blocklist_name(path, list.name) || find_name(b, list.name) != NULL) {
		errno = list.name[0] == '\0' ? EINVAL : EEXIST;
		return -1;
	}
	grown = reallocarray(b->lists, b->count + 1, sizeof(*b->lists));
	if (grown == NULL)
		return -1;
	b->lists = grown;
	if (list_init(&list, path, find_name(old, list.name), leisure) != 0) {
		error = errno;
		list_done(&list);
		errno = error;
		return -1;
	}
	b->lists[b->count++] = list;
	return 0;
}

const struct blocklist_list *blocklist_at(const struct blocklist *b, size_t index)
{
	return index < b->count ? &b->lists[index] : NULL;
}

const struct blocklist_list *blocklist_find(const struct blocklist *b, struct slice host)
{
	const struct blocklist_list *denies = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct nameset_match match;

		if (!nameset_find(b->lists[i].names, host, &match) || match.len < longest)
			continue;
		if (match.exception)
			denies = NULL;
		else if (match.len > longest)
			denies = &b->lists[i];
		longest = match.len;
	}
	return denies;
}
