#include "policy/limit.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/bucket.h"
#include "base/map.h"
#include "net/addr.h"

#define LIMIT_SHARDS 16

/* Host, without its end, and port. */
#define LIMIT_ORIGIN_MAX (256 + sizeof(uint16_t))

struct limit_account {
	struct addr_client key;
	size_t connections; /* changed under the shard's lock */
	struct bucket connects, requests, bandwidth;
	_Atomic uint64_t tunnels;
};

struct limit_origin {
	size_t exchanges; /* changed under the shard's lock */
	size_t len;
	char key[];
};

struct shard {
	pthread_mutex_t lock;
	struct map *here;    /* accounts with connections */
	struct map *left;    /* accounts without, the one that left first goes first */
	struct map *origins; /* with exchanges */
};

struct limit {
	_Atomic uint64_t clients;
	_Atomic uint64_t refused[LIMIT_RULES]; /* not told yet */
	struct bucket telling;                 /* of one line */
	uint64_t secret;
	struct shard shards[LIMIT_SHARDS];
};

const char *limit_name(enum limit_rule rule)
{
	static const char *const names[LIMIT_RULES] = {
	    [LIMIT_CLIENTS] = "clients",
	    [LIMIT_CLIENT_CONNECTIONS] = "client_connections",
	    [LIMIT_CLIENT_CONNECTS] = "client_connects",
	    [LIMIT_CLIENT_REQUESTS] = "client_requests",
	    [LIMIT_CLIENT_TUNNELS] = "client_tunnels",
	    [LIMIT_ORIGIN_EXCHANGES] = "origin_exchanges",
	};

	assert(rule < LIMIT_RULES);
	return names[rule];
}

/* One more, unless there are as many as may be. */
static bool count_take(_Atomic uint64_t *count, uint64_t most)
{
	uint64_t n = atomic_load_explicit(count, memory_order_relaxed);

	do {
		if (n >= most)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
	    count, &n, n + 1, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void count_give(_Atomic uint64_t *count)
{
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

/* ---- what was refused ----------------------------------------------------------------------- */

static enum limit_rule limit_count(struct limit *limit, enum limit_rule rule)
{
	if (rule < LIMIT_RULES)
		atomic_fetch_add_explicit(&limit->refused[rule], 1, memory_order_relaxed);
	return rule;
}

uint64_t limit_tell(struct limit *limit, uint64_t now, uint64_t ret_counts[LIMIT_RULES])
{
	uint64_t wait = bucket_take(&limit->telling, BUCKET_SECOND, BUCKET_SECOND, now);

	if (wait > 0)
		return wait;
	for (size_t i = 0; i < LIMIT_RULES; i++)
		ret_counts[i] =
		    atomic_exchange_explicit(&limit->refused[i], 0, memory_order_relaxed);
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------ */

/* Spreads the load of a lock; inside a shard the map's own keyed hash counts. */
static struct shard *limit_lock(struct limit *limit, const void *key, size_t len)
{
	const uint8_t *bytes = key;
	uint64_t hash = limit->secret;
	struct shard *shard;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	shard = &limit->shards[(hash ^ hash >> 32) % LIMIT_SHARDS];
	pthread_mutex_lock(&shard->lock);
	return shard;
}

static void shard_unlock(struct shard *shard)
{
	pthread_mutex_unlock(&shard->lock);
}

static void shard_drop(void *value, void *arg)
{
	(void)arg;
	free(value);
}

static int shard_init(struct shard *shard)
{
	shard->here = map_new(SIZE_MAX, shard_drop, NULL);
	shard->left = map_new(LIMIT_REMEMBERED / LIMIT_SHARDS, shard_drop, NULL);
	shard->origins = map_new(SIZE_MAX, shard_drop, NULL);
	return shard->here && shard->left && shard->origins ? 0 : -1;
}

struct limit *limit_new(void)
{
	struct limit *limit = calloc(1, sizeof(*limit));
	bool good = limit != NULL;
	ssize_t n;

	if (!limit)
		return NULL;
	do
		n = getrandom(&limit->secret, sizeof(limit->secret), 0);
	while (n < 0 && errno == EINTR);
	good = n == (ssize_t)sizeof(limit->secret);
	for (size_t i = 0; i < LIMIT_SHARDS; i++) {
		pthread_mutex_init(&limit->shards[i].lock, NULL);
		good = shard_init(&limit->shards[i]) == 0 && good;
	}
	if (good)
		return limit;
	limit_free(limit);
	return NULL;
}

void limit_free(struct limit *limit)
{
	if (!limit)
		return;
	for (size_t i = 0; i < LIMIT_SHARDS; i++) {
		struct shard *shard = &limit->shards[i];

		map_free(shard->here);
		map_free(shard->left);
		map_free(shard->origins);
		pthread_mutex_destroy(&shard->lock);
	}
	free(limit);
}

/* ---- clients -------------------------------------------------------------------------------- */

/* The account, in the table; NULL when out of memory. */
static struct limit_account *shard_account(struct shard *shard, const struct addr_client *key)
{
	struct limit_account *account = map_get(shard->here, key->bytes, key->len);

	if (account)
		return account;
	account = map_take(shard->left, key->bytes, key->len);
	if (!account)
		account = calloc(1, sizeof(*account));
	if (!account)
		return NULL;
	account->key = *key;
	if (map_put(shard->here, key->bytes, key->len, account) == 0)
		return account;
	free(account);
	return NULL;
}

static bool account_is_blank(const struct limit_account *account, uint64_t now)
{
	return bucket_is_full(&account->connects, now) && bucket_is_full(&account->requests, now) &&
	       bucket_is_full(&account->bandwidth, now);
}

/* Without connections it is remembered, but only while there is something to remember. */
static void shard_settle(struct shard *shard, struct limit_account *account, uint64_t now)
{
	const struct addr_client *key = &account->key;
	struct limit_account *oldest;

	if (account->connections > 0)
		return;
	map_take(shard->here, key->bytes, key->len);
	if (account_is_blank(account, now) ||
	    map_put(shard->left, key->bytes, key->len, account) != 0)
		free(account);
	while ((oldest = map_oldest(shard->left)) != NULL && account_is_blank(oldest, now))
		free(map_take(shard->left, oldest->key.bytes, oldest->key.len));
}

static enum limit_rule account_judge(struct limit_account *account, const struct limit_rules *rules,
    uint64_t now, uint64_t *ret_wait)
{
	if (rules->client_connections > 0 &&
	    account->connections >= (size_t)rules->client_connections)
		return LIMIT_CLIENT_CONNECTIONS;
	if (rules->client_connects == 0)
		return LIMIT_NONE;
	*ret_wait = bucket_take(&account->connects,
	    bucket_cost(1, (uint32_t)rules->client_connects), BUCKET_SECOND, now);
	return *ret_wait > 0 ? LIMIT_CLIENT_CONNECTS : LIMIT_NONE;
}

static enum limit_rule limit_enter_account(struct limit *limit, const struct limit_rules *rules,
    const struct addr *client, uint64_t now, struct limit_account **ret_account, uint64_t *ret_wait)
{
	struct addr_client key = addr_client(client);
	struct shard *shard = limit_lock(limit, key.bytes, key.len);
	struct limit_account *account = shard_account(shard, &key);
	enum limit_rule rule =
	    account ? account_judge(account, rules, now, ret_wait) : LIMIT_NO_MEMORY;

	if (rule == LIMIT_NONE) {
		account->connections++;
		*ret_account = account;
	} else if (account) {
		shard_settle(shard, account, now);
	}
	shard_unlock(shard);
	return rule;
}

enum limit_rule limit_enter(struct limit *limit, const struct limit_rules *rules,
    const struct addr *client, uint64_t now, struct limit_account **ret_account, uint64_t *ret_wait)
{
	enum limit_rule rule = LIMIT_NONE;

	*ret_account = NULL;
	*ret_wait = 0;
	if (!count_take(&limit->clients, (uint64_t)rules->clients))
		return limit_count(limit, LIMIT_CLIENTS);
	if (limit_is_for_clients(rules))
		rule = limit_enter_account(limit, rules, client, now, ret_account, ret_wait);
	if (rule != LIMIT_NONE)
		count_give(&limit->clients);
	return limit_count(limit, rule);
}

struct limit_account *limit_know(struct limit *limit, const struct addr *client)
{
	struct addr_client key = addr_client(client);
	struct shard *shard = limit_lock(limit, key.bytes, key.len);
	struct limit_account *account = shard_account(shard, &key);

	if (account)
		account->connections++;
	shard_unlock(shard);
	return account;
}

void limit_leave(struct limit *limit, struct limit_account *account, uint64_t now)
{
	struct shard *shard;

	count_give(&limit->clients);
	if (!account)
		return;
	shard = limit_lock(limit, account->key.bytes, account->key.len);
	account->connections--;
	shard_settle(shard, account, now);
	shard_unlock(shard);
}

static enum limit_rule account_request(struct limit_account *account,
    const struct limit_rules *rules, bool tunnel, uint64_t now, uint64_t *ret_wait)
{
	uint64_t most = rules->client_tunnels > 0 ? (uint64_t)rules->client_tunnels : UINT64_MAX;

	*ret_wait = 0;
	if (tunnel && !count_take(&account->tunnels, most))
		return LIMIT_CLIENT_TUNNELS;
	if (rules->client_requests == 0)
		return LIMIT_NONE;
	*ret_wait = bucket_take(&account->requests,
	    bucket_cost(1, (uint32_t)rules->client_requests), BUCKET_SECOND, now);
	if (*ret_wait == 0)
		return LIMIT_NONE;
	if (tunnel)
		limit_end_tunnel(account);
	return LIMIT_CLIENT_REQUESTS;
}

enum limit_rule limit_request(struct limit *limit, const struct limit_rules *rules,
    struct limit_account *account, bool tunnel, uint64_t now, uint64_t *ret_wait)
{
	return limit_count(limit, account_request(account, rules, tunnel, now, ret_wait));
}

void limit_end_tunnel(struct limit_account *account)
{
	count_give(&account->tunnels);
}

struct bucket *limit_bandwidth(struct limit_account *account)
{
	return &account->bandwidth;
}

/* ---- origins -------------------------------------------------------------------------------- */

/* The origin, in the table; NULL when out of memory. */
static struct limit_origin *shard_origin(struct shard *shard, const char *key, size_t len)
{
	struct limit_origin *origin = map_get(shard->origins, key, len);

	if (origin)
		return origin;
	origin = malloc(sizeof(*origin) + len);
	if (!origin)
		return NULL;
	origin->exchanges = 0;
	origin->len = len;
	memcpy(origin->key, key, len);
	if (map_put(shard->origins, key, len, origin) == 0)
		return origin;
	free(origin);
	return NULL;
}

enum limit_rule limit_exchange(struct limit *limit, const struct limit_rules *rules,
    struct slice host, uint16_t port, struct limit_origin **ret_origin)
{
	enum limit_rule rule = LIMIT_NONE;
	struct limit_origin *origin;
	struct shard *shard;
	char key[LIMIT_ORIGIN_MAX];
	size_t len = host.len + sizeof(port);

	*ret_origin = NULL;
	if (rules->origin_exchanges == 0)
		return LIMIT_NONE;
	assert(len <= sizeof(key));
	memcpy(key, host.ptr, host.len);
	memcpy(key + host.len, &port, sizeof(port));
	shard = limit_lock(limit, key, len);
	origin = shard_origin(shard, key, len);
	if (!origin)
		rule = LIMIT_NO_MEMORY;
	else if (origin->exchanges >= (size_t)rules->origin_exchanges)
		rule = LIMIT_ORIGIN_EXCHANGES;
	else
		origin->exchanges++;
	shard_unlock(shard);
	if (rule == LIMIT_NONE)
		*ret_origin = origin;
	return limit_count(limit, rule);
}

void limit_end_exchange(struct limit *limit, struct limit_origin *origin)
{
	struct shard *shard;

	if (!origin)
		return;
	shard = limit_lock(limit, origin->key, origin->len);
	if (--origin->exchanges == 0)
		free(map_take(shard->origins, origin->key, origin->len));
	shard_unlock(shard);
}
