#include "net/preference.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "net/addr.h"
#include "net/source.h"

#define PREFERENCE_MS (10 * 60 * 1000)
#define PREFERENCE_HOST_MAX 255

struct preference {
	struct map *winners;
};

struct preference_winner {
	struct addr address;
	uint64_t until_ms;
};

/* Without padding: it is compared by its bytes. */
struct preference_key {
	struct {
		uint8_t ip[sizeof(((struct addr *)NULL)->ip)];
		uint8_t is_set, bits;
	} v4, v6; /* the source */
	uint16_t port;
	char host[PREFERENCE_HOST_MAX];
};

static size_t preference_key(const struct preference_origin *origin, struct preference_key *ret_key)
{
	const struct network *v4 = &origin->source->v4, *v6 = &origin->source->v6;
	size_t len =
	    origin->host.len < PREFERENCE_HOST_MAX ? origin->host.len : PREFERENCE_HOST_MAX;

	memcpy(ret_key->v4.ip, &v4->base.ip, sizeof(ret_key->v4.ip));
	ret_key->v4.is_set = v4->base.family != 0;
	ret_key->v4.bits = v4->bits;
	memcpy(ret_key->v6.ip, &v6->base.ip, sizeof(ret_key->v6.ip));
	ret_key->v6.is_set = v6->base.family != 0;
	ret_key->v6.bits = v6->bits;
	ret_key->port = origin->port;
	memcpy(ret_key->host, origin->host.ptr, len);
	return offsetof(struct preference_key, host) + len;
}

static void preference_on_dropped(void *value, void *arg)
{
	(void)arg;
	free(value);
}

static struct map *preference_map(size_t limit)
{
	return map_new(limit, preference_on_dropped, NULL);
}

struct preference *preference_new(size_t limit)
{
	struct preference *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->winners = preference_map(limit);
	if (!p->winners) {
		free(p);
		return NULL;
	}
	return p;
}

void preference_clear(struct preference *p)
{
	map_clear(p->winners);
}

void preference_free(struct preference *p)
{
	if (!p)
		return;
	map_free(p->winners);
	free(p);
}

/* What is remembered and still holds. */
static const struct preference_winner *preference_find(
    struct preference *p, const struct preference_key *key, size_t len, uint64_t now_ms)
{
	const struct preference_winner *winner = map_get(p->winners, key, len);

	return winner && now_ms < winner->until_ms ? winner : NULL;
}

bool preference_apply(struct preference *p, const struct preference_origin *origin,
    struct addr *addrs, size_t count, uint64_t now_ms)
{
	struct preference_key key;
	const struct preference_winner *winner =
	    preference_find(p, &key, preference_key(origin, &key), now_ms);
	struct addr first;

	for (size_t i = 0; winner && i < count; i++) {
		if (!addr_equal(&addrs[i], &winner->address))
			continue;
		first = addrs[i];
		memmove(&addrs[1], &addrs[0], i * sizeof(first));
		addrs[0] = first;
		return true;
	}
	return false;
}

void preference_note(struct preference *p, const struct preference_origin *origin,
    const struct addr *winner, uint64_t now_ms)
{
	const struct preference_winner *old;
	struct preference_winner *fresh;
	struct preference_key key;
	size_t len = preference_key(origin, &key);

	if (!winner) {
		free(map_take(p->winners, &key, len));
		return;
	}
	old = preference_find(p, &key, len, now_ms);
	if (old && addr_equal(&old->address, winner))
		return;
	fresh = malloc(sizeof(*fresh));
	if (!fresh)
		return;
	*fresh = (struct preference_winner){*winner, now_ms + PREFERENCE_MS};
	if (map_put(p->winners, &key, len, fresh) != 0)
		free(fresh);
}
