/*
 * listen -- a place to listen on, as a group of the configuration's `listen` says it.
 */
#ifndef PROXY_LISTEN_H
#define PROXY_LISTEN_H

#include <stdbool.h>
#include <stdio.h>

#include "base/attr.h"
#include "net/addr.h"
#include "net/source.h"

struct config_setting_t; /* libconfig's */

#define LISTEN_NAME_MAX ADDR_TEXT_MAX /* with the NUL */

/* A value. */
struct listen {
	struct addr addr;           /* port 0: the system chooses */
	char name[LISTEN_NAME_MAX]; /* what rules call it; several may have the same */
	struct source source;       /* where its requests leave from */
};

/* What is wrong with a group: "key: must found", where found may be empty; borrowed. */
struct listen_fault {
	unsigned line;
	const char *key, *must, *found;
};

/* Read a group { }.  0, or -1 with the fault filled in. */
MUST_USE int listen_read(const struct config_setting_t *group, struct listen *ret_listen,
    struct listen_fault *ret_fault);

/* As a group that reads to the same. */
void listen_print(const struct listen *listen, FILE *out);

/* Whether both give the same to their clients: name and source. */
bool listen_alike(const struct listen *a, const struct listen *b);

#endif
