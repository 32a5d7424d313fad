/*
 * porter -- opens and closes the places we accept on, and tells the workers and the log of it.
 *
 * Kept by the daemon's main thread.
 */
#ifndef PROXY_PORTER_H
#define PROXY_PORTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "proxy/places.h"

struct config;
struct worker;

/* All zero is one without places and workers, but for places.workers. */
struct porter {
	struct places places;
	struct worker *const *workers; /* borrowed, once there are any */
	size_t worker_count;
	bool inherited; /* the places come from the supervisor: `listen` is not looked at */
};

/* The places that the supervisor hands us; none is fine.  -1 when one is of no use: logged. */
MUST_USE int porter_inherit(struct porter *p);

/*
 * Take up the places of a configuration, which is borrowed until porter_rename.  -1, with why
 * written to text, when one cannot be opened: all is as before.
 */
MUST_USE int porter_match(struct porter *p, const struct config *config, char *text, size_t size);

/* Give the places their new names, before the workers are told to reload: rules change with them.
 */
void porter_rename(struct porter *p);

/* Open what is listed and close what is not. */
void porter_settle(struct porter *p);

/* Begin to close all. */
void porter_close(struct porter *p);

/* Have the workers leave the places whose time has come. */
void porter_leave(struct porter *p);

#endif
