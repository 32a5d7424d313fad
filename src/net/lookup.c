#include "net/lookup.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "net/cache.h"
#include "net/dns.h"
#include "net/name.h"
#include "net/order.h"

#define LOOKUPS_MAX 4096 /* names looked up at a time, those waiting for a turn included */
#define DELAY_US 50000   /* RFC 8305 3, "Resolution Delay" */
#define HALF_S_MIN 1     /* a half is told for so long, lest every request asks a silent server */

_Static_assert(2 * RECORD_ADDRS_MAX <= ORDER_MAX, "an answer can be put in order");

struct lookup {
	struct lookups *all;
	struct ask *ask;
	unsigned generation;
	TAILQ_HEAD(lookup_askers, lookup_asker) askers;
	struct event delay;
	struct answer *half; /* the addresses of one family, the other is being asked for */
	bool telling;        /* the half may be told */
	bool retired;        /* too old for those who ask now: not the name's lookup any more */
	TAILQ_ENTRY(lookup) link; /* then */
	struct name name;
};

struct lookups {
	struct event_base *base;
	struct dns *dns;
	struct cache *cache;
	lookup_tell_fn *tell;
	sa_family_t awaited;
	struct map *by_name; /* never full, so it drops nothing by itself */
	TAILQ_HEAD(lookup_list, lookup) retired;
	size_t retired_count;
};

static void lookup_free(struct lookup *l)
{
	event_del(&l->delay);
	answer_unref(l->half);
	free(l);
}

static void lookup_on_drop(void *value, void *arg)
{
	(void)arg;
	lookup_free(value);
}

static void lookup_unlist(struct lookup *l)
{
	struct lookups *ls = l->all;

	if (l->retired) {
		TAILQ_REMOVE(&ls->retired, l, link);
		ls->retired_count--;
	} else {
		map_take(ls->by_name, l->name.text, l->name.len);
	}
}

/* It began before a change, or its half has been told for as long as that may be believed. */
static bool lookup_is_old(const struct lookup *l)
{
	const struct cache *c = l->all->cache;

	return l->generation != cache_generation(c) || (l->half && !cache_is_good(c, l->half));
}

/* What it tells, or will tell, is no answer to who asks now; it goes on for those it has. */
static void lookup_retire(struct lookup *l)
{
	lookup_unlist(l);
	l->retired = true;
	TAILQ_INSERT_TAIL(&l->all->retired, l, link);
	l->all->retired_count++;
}

static void lookup_tell_half(struct lookup *l)
{
	struct lookup_asker *asker;

	l->telling = true;
	for (asker = TAILQ_FIRST(&l->askers); asker; asker = TAILQ_NEXT(asker, link))
		l->all->tell(asker, l->half, true);
}

static void lookup_on_delay(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	lookup_tell_half(arg);
}

/* One family is known.  Out of memory: its addresses are told with the other's. */
static void lookup_half_known(struct lookup *l, const struct record *record)
{
	static const struct timeval delay = {0, DELAY_US};

	if (record->status != RECORD_OK)
		return;
	l->half = answer_new(RECORD_OK, record->addrs, record->count);
	if (!l->half)
		return;
	l->half->generation = l->generation;
	l->half->expires_ms = cache_expiry_ms(l->all->cache, record, HALF_S_MIN);
	order_addrs(l->half->addrs, l->half->count);
	if (record->addrs[0].family == l->all->awaited)
		lookup_tell_half(l);
	else
		event_add(&l->delay, &delay);
}

/* Returns new, or NULL when out of memory. */
static struct answer *lookup_answer(
    const struct lookup *l, const struct record *ipv4, const struct record *ipv6)
{
	struct addr addrs[2 * RECORD_ADDRS_MAX];
	size_t count = ipv6->count + ipv4->count;
	struct answer *answer;

	memcpy(addrs, ipv6->addrs, ipv6->count * sizeof(addrs[0]));
	memcpy(addrs + ipv6->count, ipv4->addrs, ipv4->count * sizeof(addrs[0]));
	order_addrs(addrs, count);
	answer = answer_new(record_outcome(ipv4, ipv6), addrs, count);
	if (answer)
		answer->generation = l->generation;
	return answer;
}

/* Both are known. */
static void lookup_finish(struct lookup *l, const struct record *ipv4, const struct record *ipv6)
{
	struct answer *answer = lookup_answer(l, ipv4, ipv6);
	struct lookup_asker *asker;

	lookup_unlist(l);
	if (answer && !l->retired)
		cache_put(l->all->cache, &l->name, answer, ipv4, ipv6);
	while ((asker = TAILQ_FIRST(&l->askers))) {
		TAILQ_REMOVE(&l->askers, asker, link);
		asker->lookup = NULL;
		l->all->tell(asker, answer, false);
	}
	answer_unref(answer);
	lookup_free(l);
}

static void lookup_on_answer(const struct dns_answer *answer, void *arg)
{
	struct lookup *l = arg;

	if (answer->more)
		lookup_half_known(l, answer->ipv6_known ? &answer->ipv6 : &answer->ipv4);
	else
		lookup_finish(l, &answer->ipv4, &answer->ipv6);
}

/* Returns NULL when out of memory. */
static struct lookup *lookup_start(struct lookups *ls, const struct name *name)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->all = ls;
	l->generation = cache_generation(ls->cache);
	l->name = *name;
	TAILQ_INIT(&l->askers);
	event_assign(&l->delay, ls->base, -1, 0, lookup_on_delay, l);
	if (map_put(ls->by_name, name->text, name->len, l) != 0) {
		free(l);
		return NULL;
	}
	l->ask = dns_ask(ls->dns, l->name.text, lookup_on_answer, l);
	if (!l->ask) {
		map_take(ls->by_name, name->text, name->len);
		free(l);
		return NULL;
	}
	return l;
}

struct lookups *lookups_new(
    struct event_base *base, struct dns *dns, struct cache *cache, lookup_tell_fn *tell)
{
	struct lookups *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return NULL;
	ls->by_name = map_new(LOOKUPS_MAX, lookup_on_drop, NULL);
	if (!ls->by_name) {
		free(ls);
		return NULL;
	}
	ls->base = base;
	ls->dns = dns;
	ls->cache = cache;
	ls->tell = tell;
	TAILQ_INIT(&ls->retired);
	return ls;
}

void lookups_free(struct lookups *ls)
{
	struct lookup *l;

	if (!ls)
		return;
	map_free(ls->by_name);
	while ((l = TAILQ_FIRST(&ls->retired))) {
		TAILQ_REMOVE(&ls->retired, l, link);
		lookup_free(l);
	}
	free(ls);
}

void lookups_await(struct lookups *ls, sa_family_t family)
{
	ls->awaited = family;
}

enum lookup_joined lookup_join(
    struct lookups *ls, const struct name *name, struct lookup_asker *asker)
{
	struct lookup *l = map_get(ls->by_name, name->text, name->len);

	if (l && lookup_is_old(l)) {
		lookup_retire(l);
		l = NULL;
	}
	if (!l && map_count(ls->by_name) + ls->retired_count >= LOOKUPS_MAX)
		return LOOKUP_FULL;
	if (!l)
		l = lookup_start(ls, name);
	if (!l)
		return LOOKUP_NO_MEMORY;
	asker->lookup = l;
	TAILQ_INSERT_TAIL(&l->askers, asker, link);
	if (l->telling)
		ls->tell(asker, l->half, true);
	return LOOKUP_JOINED;
}

void lookup_leave(struct lookup_asker *asker)
{
	struct lookup *l = asker->lookup;

	if (!l)
		return;
	TAILQ_REMOVE(&l->askers, asker, link);
	asker->lookup = NULL;
	/* Once the servers have been asked, the answer is kept for whoever asks next. */
	if (TAILQ_EMPTY(&l->askers) && dns_forget(l->ask)) {
		lookup_unlist(l);
		lookup_free(l);
	}
}
