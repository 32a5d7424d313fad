/*
 * exchange -- one request from its head to its log line: the steps in order.
 */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include <sys/queue.h>

struct accesslog;
struct auth;
struct checker_desk;
struct config;
struct door;
struct event_base;
struct intake_request;
struct limit;
struct metrics;
struct pipe_pool;
struct preference;
struct refusal;
struct resolver;
struct tenure;
struct upstream_pool;

/* What a worker lends to its exchanges. */
struct exchange_services {
	struct event_base *base;
	struct tenure *tenure; /* the newest; an exchange joins the one it begins in */
	struct resolver *resolver;
	struct upstream_pool *upstreams;
	struct preference *preference;
	struct pipe_pool *pipes;
	struct accesslog *accesslog;
	struct limit *limit; /* of all workers */
	struct auth *auth;   /* likewise */
	struct checker_desk *desk;
	struct refusal *refusal;
	const struct door *door; /* where nobody is sent to */
	struct metrics *metrics;
	LIST_HEAD(exchange_list, exchange) tunnels; /* those that stand */
};

/* Borrows the services.  It ends by itself. */
void exchange_start(const struct intake_request *request, struct exchange_services *services);

/* Those that the newest configuration would not let through end with a reset. */
void exchange_review_tunnels(const struct exchange_services *services);

#endif
