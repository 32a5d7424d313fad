/*
 * tenure -- the time of one configuration in one worker: until the next, and on until all that
 * began in it has ended.
 *
 * The worker and each of its exchanges are members.  All judge at first; an exchange settles when
 * it is connected to where it may go.  When the last has settled, which takes no longer than the
 * time limits of asking and connecting, the configuration gets rid of what is only for judging,
 * however long downloads and tunnels go on.  Of one worker: a request counts without atomics.
 */
#ifndef PROXY_TENURE_H
#define PROXY_TENURE_H

#include <stddef.h>

#include "base/attr.h"

struct config;

struct tenure {
	struct config *config;
	size_t members, judges;
};

/* Takes the count of the config, also on failure: NULL when out of memory.  One member: the caller.
 */
struct tenure *tenure_new(struct config *config) MUST_USE;

/* Each when there is nobody left.  For the functions below. */
void tenure_settled(struct tenure *t);
void tenure_end(struct tenure *t);

static inline void tenure_join(struct tenure *t)
{
	t->members++;
	t->judges++;
}

/* A member judges no more: nothing of the acl, of lists and rules may be touched by it. */
static inline void tenure_settle(struct tenure *t)
{
	if (--t->judges == 0)
		tenure_settled(t);
}

/* A member goes that has settled. */
static inline void tenure_leave(struct tenure *t)
{
	if (--t->members == 0)
		tenure_end(t);
}

#endif
