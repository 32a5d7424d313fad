/*
 * key -- the table of all keys: name, type, range, default, description.
 *
 * A key's row says where its value is in struct config and what it may be; loading and
 * printing follow the table, so a new key is a row here and a member there.
 */
#ifndef PROXY_KEY_H
#define PROXY_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define KEY_MAX 96          /* more keys than there are */
#define KEY_NAME_MAX 64     /* longer than any name */
#define KEY_STRING_MAX 4095 /* bytes, of a string's value */

/*
 * The value is an int (INT, CHOICE), a char * that the snapshot owns (STRING) or a struct
 * strings; LISTEN and RULES are of their own kinds, config->listen and config->written.rules with
 * their counts.
 */
enum key_type { KEY_INT, KEY_CHOICE, KEY_STRING, KEY_STRINGS, KEY_LISTEN, KEY_RULES };

struct key {
	const char *name; /* "group.key", or "key" at the top */
	enum key_type type;
	bool fixed;           /* read when the daemon starts: a reload does not change it */
	size_t offset;        /* of the value in struct config */
	int min, max;         /* of the number, the string's length, the list's length */
	const char *fallback; /* the default, as a file would say it */
	const char *expects;  /* what follows "must be"; with numbers, the unit */
	bool (*valid)(const char *text); /* each string; NULL: all are */
	const char *const *choices;      /* KEY_CHOICE: names of the values from 0 on */
	const char *about;
};

/* The keys in the order in which they are printed; NULL behind the last. */
const struct key *key_at(size_t index);
const struct key *key_find(const char *name); /* NULL: there is none */

struct slice key_group(const struct key *key); /* "limits" for "limits.head", empty for "name" */
bool key_is_group(const char *name);

/* The key or group that an unknown name was probably meant to be; empty when none is near. */
struct slice key_near(const char *name);

#endif
