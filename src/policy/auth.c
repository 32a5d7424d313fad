#include "policy/auth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/map.h"
#include "base/seal.h"
#include "http/basic.h"
#include "net/addr.h"
#include "policy/htpasswd.h"

#define MINUTE (60 * BUCKET_SECOND)

/* Of the user whose name is the key. */
struct proof {
	struct seal seal;
	uint64_t at;
};

struct failing {
	struct addr_client client; /* the key */
	struct bucket failures;
};

struct auth {
	struct seal_key key;
	pthread_mutex_t lock; /* of the maps and what is in them */
	struct map *proofs;
	struct map *failing; /* those whose bucket is not full; who failed last goes last */
};

static void auth_drop(void *value, void *arg)
{
	(void)arg;
	free(value);
}

struct auth *auth_new(void)
{
	struct auth *auth = calloc(1, sizeof(*auth));

	if (!auth)
		return NULL;
	pthread_mutex_init(&auth->lock, NULL);
	auth->proofs = map_new(AUTH_PROOFS, auth_drop, NULL);
	auth->failing = map_new(AUTH_CLIENTS, auth_drop, NULL);
	if (auth->proofs && auth->failing && seal_key_pick(&auth->key) == 0)
		return auth;
	auth_free(auth);
	return NULL;
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	map_free(auth->proofs);
	map_free(auth->failing);
	pthread_mutex_destroy(&auth->lock);
	explicit_bzero(auth, sizeof(*auth));
	free(auth);
}

/* ---- proofs ----------------------------------------------------------------------------- */

static struct slice name_of(const struct basic *basic)
{
	return (struct slice){basic->name, basic->name_len};
}

static struct seal auth_seal(
    const struct auth *auth, const struct htpasswd_user *user, const struct basic *basic)
{
	const struct slice parts[] = {user ? slice_of(user->hash) : SLICE(""), name_of(basic),
	    {basic->password, basic->password_len}};

	return seal_parts(&auth->key, parts, sizeof(parts) / sizeof(parts[0]));
}

const struct htpasswd_user *auth_recall(struct auth *auth, const struct htpasswd *table,
    const struct basic *basic, int keep_s, uint64_t now)
{
	const uint64_t keep = (uint64_t)keep_s * BUCKET_SECOND;
	const struct htpasswd_user *user = htpasswd_find(table, name_of(basic));
	/* Also when there is no such user: the time it takes tells nothing. */
	struct seal seal = auth_seal(auth, user, basic);
	const struct proof *proof;
	bool holds;

	pthread_mutex_lock(&auth->lock);
	proof = map_get(auth->proofs, basic->name, basic->name_len);
	holds = proof && now - proof->at < keep &&
		seal_same_bytes(proof->seal.bytes, seal.bytes, SEAL_SIZE);
	pthread_mutex_unlock(&auth->lock);
	return holds ? user : NULL;
}

void auth_remember(
    struct auth *auth, const struct htpasswd_user *user, const struct basic *basic, uint64_t now)
{
	struct proof *proof = malloc(sizeof(*proof));

	if (!proof)
		return;
	proof->seal = auth_seal(auth, user, basic);
	proof->at = now;
	pthread_mutex_lock(&auth->lock);
	if (map_put(auth->proofs, basic->name, basic->name_len, proof) != 0)
		free(proof);
	pthread_mutex_unlock(&auth->lock);
}

const struct htpasswd_user *auth_subject(
    struct auth *auth, const struct htpasswd *table, const struct basic *basic, bool *ret_decoy)
{
	const struct htpasswd_user *user = htpasswd_find(table, name_of(basic));
	struct seal seal;
	uint64_t number;

	*ret_decoy = user == NULL;
	if (user)
		return user;
	seal = seal_bytes(&auth->key, name_of(basic));
	memcpy(&number, seal.bytes, sizeof(number));
	return htpasswd_pick(table, number);
}

/* ---- failures --------------------------------------------------------------------------- */

/* Those who owe nothing are forgotten, one or two at a time. */
static void auth_forget(struct auth *auth, uint64_t now)
{
	struct failing *oldest;

	while (
	    (oldest = map_oldest(auth->failing)) != NULL && bucket_is_full(&oldest->failures, now))
		free(map_take(auth->failing, oldest->client.bytes, oldest->client.len));
}

/* The client, in the table; NULL when out of memory. */
static struct failing *auth_failing(struct auth *auth, const struct addr_client *client)
{
	struct failing *failing = map_get(auth->failing, client->bytes, client->len);

	if (failing)
		return failing;
	failing = calloc(1, sizeof(*failing));
	if (!failing)
		return NULL;
	failing->client = *client;
	if (map_put(auth->failing, client->bytes, client->len, failing) == 0)
		return failing;
	free(failing);
	return NULL;
}

void auth_fail(struct auth *auth, const struct addr *client, int failures, uint64_t now)
{
	struct addr_client who = addr_client(client);
	struct failing *failing;

	if (failures == 0)
		return;
	pthread_mutex_lock(&auth->lock);
	failing = auth_failing(auth, &who);
	if (failing)
		bucket_spend(&failing->failures, bucket_cost(60, (uint32_t)failures), now);
	auth_forget(auth, now);
	pthread_mutex_unlock(&auth->lock);
}

uint64_t auth_wait(struct auth *auth, const struct addr *client, int failures, uint64_t now)
{
	struct addr_client who = addr_client(client);
	uint64_t wait = 0;
	struct failing *failing;

	if (failures == 0)
		return 0;
	pthread_mutex_lock(&auth->lock);
	failing = map_get(auth->failing, who.bytes, who.len);
	if (failing)
		wait = bucket_debt(
		    &failing->failures, MINUTE - bucket_cost(60, (uint32_t)failures), now);
	pthread_mutex_unlock(&auth->lock);
	return wait;
}
