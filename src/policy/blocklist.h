/*
 * blocklist -- named lists of hosts that nobody is to reach.
 *
 * Built once, by config, and read-only afterwards but for its counts: all workers share it without
 * a lock.  Of the names in all lists that a host is or is below, the longest decides; an exception
 * holds whichever list it stands in.
 */
#ifndef POLICY_BLOCKLIST_H
#define POLICY_BLOCKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define BLOCKLIST_NAME_MAX 64
#define BLOCKLIST_TOKEN "blocklist:"

struct blocklist;
struct blocklist_tally;
struct leisure;
struct nameset;

/* One list.  All of it lives as long as the blocklist. */
struct blocklist_list {
	char *path;
	char name[BLOCKLIST_NAME_MAX + 1]; /* the file's, without folder and extension */
	char token[sizeof(BLOCKLIST_TOKEN) + BLOCKLIST_NAME_MAX]; /* "blocklist:ads" */
	char sentence[BLOCKLIST_NAME_MAX + 128];                  /* for the page */
	struct nameset *names;
	bool shared; /* its file has not changed since the list that it was added after */
	struct blocklist_tally *tally;
};

/* Returns new: without a list.  NULL when out of memory. */
struct blocklist *blocklist_new(void);
void blocklist_free(struct blocklist *b); /* NULL is fine */

/*
 * The name of the list in that file, into out; false when it has none: letters, digits, "-", "_"
 * and ".", BLOCKLIST_NAME_MAX of them at most.
 */
bool blocklist_name(const char *path, char out[BLOCKLIST_NAME_MAX + 1]);

/*
 * Read a file.  old, which may be NULL, is the blocklist so far: a list of the same name goes on
 * with its counts, and is not read again when it is the same file and has not changed.  leisure
 * (may be NULL): how much time to take.  Returns 0, or -1 with errno: EEXIST, there is a list of
 * that name already; EINVAL, as nameset_load or there is no name; others as nameset_load.
 */
MUST_USE int blocklist_add(
    struct blocklist *b, const char *path, const struct blocklist *old, struct leisure *leisure);

/* The list that denies the host (lower case, no trailing dot), or NULL. */
const struct blocklist_list *blocklist_find(const struct blocklist *b, struct slice host);

/* In the order in which they were added; NULL behind the last. */
const struct blocklist_list *blocklist_at(const struct blocklist *b, size_t index);

/* Requests that the list has denied, over reloads too.  From any thread. */
void blocklist_count(const struct blocklist_list *list);
uint64_t blocklist_denied(const struct blocklist_list *list);

#endif
