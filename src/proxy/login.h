/*
 * login -- whether a request says who it is from, and whether that is true.
 *
 * Reads Proxy-Authorization, answers at once what is known, and has a checker look at the rest.
 * Whoever fails is logged, in a line that fail2ban reads, and waits for auth.delay seconds.
 */
#ifndef PROXY_LOGIN_H
#define PROXY_LOGIN_H

#include "http/reply.h"

struct addr;
struct auth;
struct checker_desk;
struct config;
struct event_base;
struct head;
struct htpasswd_user;
struct login;
struct metrics;

struct login_result {
	enum fail fail;                   /* FAIL_NONE: he may go on */
	const char *why;                  /* NULL: nothing more is known */
	int retry_s;                      /* Retry-After; 0: none */
	const struct htpasswd_user *user; /* of the configuration; NULL: nobody had to say */
};

typedef void login_done_fn(const struct login_result *result, void *arg);

/* All is borrowed, the request itself for the call only.  config outlives the login. */
struct login_request {
	struct event_base *base;
	struct auth *auth;
	struct checker_desk *desk;
	struct metrics *metrics;
	struct config *config;
	const struct addr *client;
	const struct head *head;
	login_done_fn *done;
	void *arg;
};

/*
 * NULL: *ret_result is how it went, which is nearly always so.  Else it calls done exactly once,
 * from the loop, as its last act; not after the cancel.
 */
struct login *login_start(const struct login_request *request, struct login_result *ret_result);
void login_cancel(struct login *login);

#endif
