/*
 * checker -- threads that check passwords, which takes long and must not hold up a loop.
 *
 * One for the process; its CHECKER_THREADS threads are there from the first question on.  At
 * most CHECKER_QUEUE_MAX questions wait, CHECKER_CLIENT_MAX of one client, so that nobody keeps
 * the others out.  A client that has failed too often when his turn comes is not checked.  Answers
 * come back through a desk, which each loop has one of.
 */
#ifndef PROXY_CHECKER_H
#define PROXY_CHECKER_H

#include <stdint.h>

struct addr;
struct auth;
struct basic;
struct check;
struct checker;
struct checker_desk;
struct config;
struct event_base;
struct htpasswd_user;

#define CHECKER_THREADS 2
#define CHECKER_QUEUE_MAX 256
#define CHECKER_CLIENT_MAX 64

struct checker *checker_new(struct auth *auth); /* borrows; NULL when out of memory */
void checker_free(struct checker *checker);     /* when all desks are gone: waits for its threads */

/* For the thread of the loop, as all that follows.  NULL when out of memory or descriptors. */
struct checker_desk *checker_desk_new(struct checker *checker, struct event_base *base);
void checker_desk_free(struct checker_desk *desk); /* when nothing is asked there any more */

struct check_answer {
	enum {
		CHECK_GOOD,
		CHECK_BAD,     /* counted as a failure of the client */
		CHECK_LIMITED, /* not checked: he has failed too often */
		CHECK_NO_MEMORY
	} verdict;
	const struct htpasswd_user *user; /* CHECK_GOOD: lives as long as the configuration */
	uint64_t wait_ns;                 /* CHECK_LIMITED: so long */
};

typedef void check_done_fn(const struct check_answer *answer, void *arg);

/*
 * Check the credentials against config's users.  Counts config, copies the rest.  Calls done
 * exactly once, from the loop, as its last act; not after the cancel.  NULL when the queue is full,
 * or has enough of this client, or there is no memory.
 */
struct check *check_start(struct checker_desk *desk, struct config *config,
    const struct addr *client, const struct basic *basic, check_done_fn *done, void *arg);
void check_cancel(struct check *check);

#endif
