/*
 * pace -- lets a source be read no faster than an allowance that it shares with others.
 *
 * Before a piece is read pace_waits is asked; when it says so, the source is left alone until go is
 * called, which grants it one piece whatever the others have taken meanwhile: so all get their
 * turn, in the order in which they came, and as much.  A piece is what flows in 1/32 of a second,
 * 1 KiB at least, and 1/8 of a second's worth may come at once.  NULL stands for no limit.
 */
#ifndef NET_PACE_H
#define NET_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/bucket.h"

struct event_base;
struct pace;

typedef void pace_go_fn(void *arg);

/* Borrows the allowance's bucket.  Returns new, or NULL when out of memory. */
struct pace *pace_new(
    struct event_base *base, struct allowance allowance, pace_go_fn *go, void *arg);
void pace_free(struct pace *p); /* go is not called any more */

/* Whether the source has to wait: then go will be called, from the loop. */
bool pace_must_wait(struct pace *p);
size_t pace_piece(const struct pace *p, size_t want); /* of these, as many as may be read at once */
void pace_count(struct pace *p, ssize_t got);         /* as a read returned it */

static inline bool pace_waits(struct pace *p)
{
	return p && pace_must_wait(p);
}

static inline size_t pace_most(const struct pace *p, size_t want)
{
	return p ? pace_piece(p, want) : want;
}

static inline void pace_counts(struct pace *p, ssize_t got)
{
	if (p && got > 0)
		pace_count(p, got);
}

#endif
