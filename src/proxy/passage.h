/*
 * passage -- where a request wants to go, and whether it is let through: by name, by address, and
 * once more when the rules have changed.  In step with it, what is told of that.
 */
#ifndef PROXY_PASSAGE_H
#define PROXY_PASSAGE_H

#include <stdbool.h>

#include "base/bucket.h"
#include "http/reply.h"

struct addr;
struct blocklist_list;
struct config;
struct head;
struct route;
struct route_asker;

struct passage {
	struct route *route; /* NULL: not known yet, or no more of interest: a tunnel can do
				without */
	const struct blocklist_list *listed; /* the list that denied it; NULL: none did */
	int max_forwards;                    /* to write; -1: as it came */
	bool home;                           /* it leads no further: we answer */
	bool unlogged;                       /* a rule keeps it out of the access log */
};

void passage_init(struct passage *p);
void passage_drop_route(struct passage *p);

/* By what is known without asking for the name.  On a failure *ret_why is a sentence, or NULL. */
enum fail passage_judge(struct passage *p, const struct head *head, const struct route_asker *asker,
    const struct config *config, const char **ret_why);

/*
 * What the route's last verdict says beside that failure, or FAIL_NONE: which list, whether it is
 * logged.  *ret_why is the rule's or the list's sentence, or left alone.
 */
void passage_heed(struct passage *p, enum fail fail, const char **ret_why);

/*
 * Connected to this address, which was let through.  Returns what a rule allows it of bytes.  Asks
 * no configuration: the one that it was judged by may have let go of its rules.
 */
struct allowance passage_arrive(struct passage *p, const struct addr *to);

/* Whether this configuration would let what stands through to there.  Needs no route. */
enum fail passage_recheck(struct passage *p, const struct head *head,
    const struct route_asker *asker, const struct config *config, const struct addr *to);

#endif
