/*
 * load -- a configuration's text, read into a snapshot as the table of keys says.
 *
 * All of libconfig but listen is here.  The first thing that is wrong ends it, with a message
 * "file:line: key: what it must be"; the snapshot is then half-built, for the caller to
 * free.  Functions return 0, or -1 with that message written.
 */
#ifndef PROXY_LOAD_H
#define PROXY_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/text.h"
#include "proxy/key.h"
#include "proxy/snapshot.h"

#define LOAD_SIZE_MAX (16 * 1024 * 1024) /* bytes of a file */

struct leisure;

/* What a load can do with.  Each may be NULL. */
struct load_help {
	const struct config *old; /* in effect: what has not changed since then is taken from it */
	struct leisure *leisure;  /* for what may take long */
};

/* Filled in by the caller but for lines, which begins all zero.  All is borrowed. */
struct load {
	struct config *config;
	const char *file; /* its name in messages */
	char *message;
	size_t message_size;
	const struct load_help *help;
	unsigned lines[KEY_MAX]; /* where a key was set; 0: not in the text */
};

/* Set what the text sets.  The text is changed. */
MUST_USE int load_text(struct load *l, struct text *text);
/* Set the keys that the text has not, to their defaults. */
MUST_USE int load_defaults(struct load *l);

/*
 * Append a file's text.  0, or -1 with errno.  Stops behind `most` bytes, so that the caller sees
 * that there are more.  pipe: it may also be a pipe or the like, which may keep us waiting; else
 * that is EINVAL.
 */
MUST_USE int load_file(const char *path, bool pipe, size_t most, struct text *text);

/* The line where the key of that name, which exists, was set; 0: it was not. */
unsigned load_line(const struct load *l, const char *name);

/* Write the message, key may be NULL.  Return -1. */
int load_refuse(const struct load *l, unsigned line, const char *key, const char *format, ...)
    PRINTF_LIKE(4, 5);
int load_refuse_memory(const struct load *l);

#endif
