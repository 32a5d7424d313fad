/*
 * limit -- how much one client may have at a time and in a second, over all workers.
 *
 * One table for the process, used by all threads.  A client is an address, or an IPv6 /64; its
 * account is found under a lock when a connection comes and lives as long as one is open, so that
 * requests and bytes need atomics only.  Who has left is remembered while a bucket of his is
 * not full, LIMIT_REMEMBERED clients at most; beyond that the one who left first is
 * forgotten, which gives him no more than full buckets.  Those who are here are never
 * forgotten; they are no more than limits.clients.
 *
 * The rules come with each question: after a reload the counts go on under new numbers, and
 * nothing that runs is cut.  No rule, no lock.  Times are CLOCK_MONOTONIC's, in nanoseconds.
 */
#ifndef POLICY_LIMIT_H
#define POLICY_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct addr;
struct bucket;
struct limit;
struct limit_account; /* of one client */
struct limit_origin;  /* of one origin */

#define LIMIT_REMEMBERED 65536

/* The keys of the group `limits`, of the same names.  0: no limit. */
struct limit_rules {
	int clients;            /* connections in all; never 0 */
	int client_connections; /* at a time, as all of these for each client */
	int client_connects;    /* a second: new connections */
	int client_requests;    /* a second */
	int client_tunnels;     /* at a time */
	int client_bandwidth;   /* bytes a second */
	int origin_exchanges;   /* at a time */
};

/* Which rule speaks against it. */
enum limit_rule {
	LIMIT_CLIENTS,
	LIMIT_CLIENT_CONNECTIONS,
	LIMIT_CLIENT_CONNECTS,
	LIMIT_CLIENT_REQUESTS,
	LIMIT_CLIENT_TUNNELS,
	LIMIT_ORIGIN_EXCHANGES,
	LIMIT_RULES, /* how many there are */
	LIMIT_NONE,  /* none of them */
	LIMIT_NO_MEMORY
};

struct limit *limit_new(void); /* NULL when out of memory, or of random numbers */
void limit_free(struct limit *limit);

const char *limit_name(enum limit_rule rule); /* "client_requests" */

/*
 * A connection has come.  LIMIT_NONE: it is counted until limit_leave; *ret_account is the
 * client's, or NULL when no rule is for clients.  Else nothing has changed, and *ret_wait is how
 * long it will be the same, as far as that is known.
 */
enum limit_rule limit_enter(struct limit *limit, const struct limit_rules *rules,
    const struct addr *client, uint64_t now, struct limit_account **ret_account,
    uint64_t *ret_wait);

/* The account of a connection that came while no rule was for clients.  NULL when out of memory. */
struct limit_account *limit_know(struct limit *limit, const struct addr *client);

/* The connection has gone.  account may be NULL. */
void limit_leave(struct limit *limit, struct limit_account *account, uint64_t now);

/* A request has come, which may become a tunnel.  As limit_enter; a tunnel is counted until its
 * end. */
enum limit_rule limit_request(struct limit *limit, const struct limit_rules *rules,
    struct limit_account *account, bool tunnel, uint64_t now, uint64_t *ret_wait);
void limit_end_tunnel(struct limit_account *account);

/* What the client's bytes are paid from, under client_bandwidth; as long as the account lives. */
struct bucket *limit_bandwidth(struct limit_account *account);

/*
 * An exchange with this origin begins.  LIMIT_NONE: *ret_origin has it counted until
 * limit_end_exchange, which takes NULL too.
 */
enum limit_rule limit_exchange(struct limit *limit, const struct limit_rules *rules,
    struct slice host, uint16_t port, struct limit_origin **ret_origin);
void limit_end_exchange(struct limit *limit, struct limit_origin *origin);

/*
 * How many each rule has refused since this was last told: for a line in the log, once a second.
 * When a second has not passed the counts stay, and the time until it will have is returned;
 * else 0.
 */
uint64_t limit_tell(struct limit *limit, uint64_t now, uint64_t ret_counts[LIMIT_RULES]);

static inline bool limit_is_for_clients(const struct limit_rules *r)
{
	return (r->client_connections | r->client_connects | r->client_requests |
		   r->client_tunnels | r->client_bandwidth) != 0;
}

#endif
