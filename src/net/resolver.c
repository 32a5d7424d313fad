#include "net/resolver.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/map.h"
#include "base/metrics.h"
#include "net/cache.h"
#include "net/dns.h"
#include "net/name.h"
#include "net/order.h"

#define LOOKUPS_MAX 4096 /* names looked up at a time, those waiting for a turn included */
#define DELAY_US 50000   /* RFC 8305 3, "Resolution Delay" */
#define HALF_S_MIN 1     /* a half is told for so long, lest every request asks a silent server */

_Static_assert(RESOLVER_ADDRS_MAX == 2 * RECORD_ADDRS_MAX, "an answer holds both families");
_Static_assert(RESOLVER_ADDRS_MAX <= ORDER_MAX, "an answer can be put in order");

TAILQ_HEAD(query_list, resolver_query);

/* A name that is being asked for, and who wants to know. */
struct lookup {
	struct resolver *resolver;
	struct ask *ask;
	unsigned generation;
	struct query_list askers;
	struct event delay;
	struct answer *half; /* the addresses of one family, the other is being asked for */
	bool telling;        /* the half may be told */
	bool retired;        /* too old for those who ask now: not the name's lookup any more */
	TAILQ_ENTRY(lookup) link; /* then */
	struct name name;
};

TAILQ_HEAD(lookup_list, lookup);

/* One asker: of a lookup until all is known, and among the ready when there is something to tell.
 */
struct resolver_query {
	TAILQ_ENTRY(resolver_query) link, ready_link;
	struct resolver *resolver;
	struct lookup *lookup;       /* NULL: all is known */
	enum resolver_status status; /* then, and the addresses, if any */
	struct answer *answer;
	sa_family_t told; /* the family of the half that was told; 0: none */
	bool ready;
	resolver_done_fn *done;
	void *arg;
};

struct resolver {
	struct dns *dns;
	struct cache *cache;
	struct map *lookups; /* name to lookup; never full, so it drops nothing by itself */
	struct lookup_list retired;
	size_t retired_count;
	sa_family_t awaited;
	struct metrics *metrics;
	struct query_list ready;
	struct event_base *base;
	struct event deliver;
	struct addr known[RESOLVER_ADDRS_MAX]; /* what resolver_peek has lent out */
};

/* The loop will call done. */
static void query_ready(struct resolver_query *q)
{
	struct resolver *r = q->resolver;

	if (!q->ready)
		TAILQ_INSERT_TAIL(&r->ready, q, ready_link);
	q->ready = true;
	event_active(&r->deliver, EV_TIMEOUT, 0);
}

static void query_unready(struct resolver_query *q)
{
	if (q->ready)
		TAILQ_REMOVE(&q->resolver->ready, q, ready_link);
	q->ready = false;
}

/* All is known.  Takes the reference; answer may be NULL. */
static void query_finish(
    struct resolver_query *q, enum resolver_status status, struct answer *answer)
{
	q->lookup = NULL;
	q->status = status;
	q->answer = answer;
	query_ready(q);
}

/* Of no lookup any more. */
static void query_free(struct resolver_query *q)
{
	query_unready(q);
	answer_unref(q->answer);
	free(q);
}

/* The half, or all but the half that was told. */
static void query_fill(
    struct resolver_query *q, struct resolver_answer *answer, struct addr addrs[RESOLVER_ADDRS_MAX])
{
	const struct answer *a = q->lookup ? q->lookup->half : q->answer;

	*answer = (struct resolver_answer){.addrs = addrs, .more = q->lookup != NULL};
	answer->status = q->lookup || q->told ? RESOLVER_OK : q->status;
	for (size_t i = 0; a && i < a->count; i++)
		if (a->addrs[i].family != q->told)
			addrs[answer->count++] = a->addrs[i];
	if (answer->more && answer->count > 0)
		q->told = addrs[0].family;
}

/* One at a time, so that `done` is the last thing to happen and may free us. */
static void resolver_on_deliver(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;
	struct resolver_query *q = TAILQ_FIRST(&r->ready);
	struct resolver_answer answer;
	struct addr addrs[RESOLVER_ADDRS_MAX];
	resolver_done_fn *done;
	void *done_arg;

	(void)fd;
	(void)what;
	if (!q)
		return;
	query_unready(q);
	query_fill(q, &answer, addrs);
	done = q->done;
	done_arg = q->arg;
	if (!answer.more)
		query_free(q);
	if (!TAILQ_EMPTY(&r->ready))
		event_active(&r->deliver, EV_TIMEOUT, 0);
	done(&answer, done_arg);
}

/* Askers still on it are dropped without a word. */
static void lookup_free(struct lookup *l)
{
	struct resolver_query *q;

	while ((q = TAILQ_FIRST(&l->askers))) {
		TAILQ_REMOVE(&l->askers, q, link);
		query_free(q);
	}
	event_del(&l->delay);
	answer_unref(l->half);
	free(l);
}

static void lookup_on_drop(void *value, void *arg)
{
	(void)arg;
	lookup_free(value);
}

static void lookup_tell_half(struct lookup *l)
{
	struct resolver_query *q;

	l->telling = true;
	for (q = TAILQ_FIRST(&l->askers); q; q = TAILQ_NEXT(q, link))
		query_ready(q);
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
	l->half->expires_ms = cache_expiry_ms(l->resolver->cache, record, HALF_S_MIN);
	order_addrs(l->half->addrs, l->half->count);
	if (record->addrs[0].family == l->resolver->awaited)
		lookup_tell_half(l);
	else
		event_add(&l->delay, &delay);
}

static enum resolver_status status_of(enum record_status status)
{
	static const enum resolver_status statuses[] = {
	    [RECORD_OK] = RESOLVER_OK,
	    [RECORD_NO_NAME] = RESOLVER_NOT_FOUND,
	    [RECORD_NO_DATA] = RESOLVER_NOT_FOUND,
	    [RECORD_FAILED] = RESOLVER_FAILED,
	    [RECORD_TIMEOUT] = RESOLVER_TIMEOUT,
	    [RECORD_NO_MEMORY] = RESOLVER_NO_MEMORY,
	};

	return statuses[status];
}

static void lookup_unlist(struct lookup *l)
{
	struct resolver *r = l->resolver;

	if (l->retired) {
		TAILQ_REMOVE(&r->retired, l, link);
		r->retired_count--;
	} else {
		map_take(r->lookups, l->name.text, l->name.len);
	}
}

/* It began before a change, or its half has been told for as long as that may be believed. */
static bool lookup_is_old(const struct lookup *l)
{
	const struct cache *c = l->resolver->cache;

	return l->generation != cache_generation(c) || (l->half && !cache_is_good(c, l->half));
}

/* What it tells, or will tell, is no answer to who asks now; it goes on for those it has. */
static void lookup_retire(struct lookup *l)
{
	struct resolver *r = l->resolver;

	lookup_unlist(l);
	l->retired = true;
	TAILQ_INSERT_TAIL(&r->retired, l, link);
	r->retired_count++;
}

/* Both are known. */
static void lookup_finish(struct lookup *l, const struct record *ipv4, const struct record *ipv6)
{
	struct resolver *r = l->resolver;
	enum record_status outcome = record_outcome(ipv4, ipv6);
	enum resolver_status status = status_of(outcome);
	struct addr addrs[RESOLVER_ADDRS_MAX];
	size_t count = ipv6->count + ipv4->count;
	struct resolver_query *q;
	struct answer *answer;

	memcpy(addrs, ipv6->addrs, ipv6->count * sizeof(addrs[0]));
	memcpy(addrs + ipv6->count, ipv4->addrs, ipv4->count * sizeof(addrs[0]));
	order_addrs(addrs, count);
	lookup_unlist(l);
	answer = answer_new(outcome, addrs, count);
	if (answer)
		answer->generation = l->generation;
	else
		status = RESOLVER_NO_MEMORY;
	if (answer && !l->retired)
		cache_put(r->cache, &l->name, answer, ipv4, ipv6);
	while ((q = TAILQ_FIRST(&l->askers))) {
		TAILQ_REMOVE(&l->askers, q, link);
		query_finish(q, status, answer_ref(answer));
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
static struct lookup *lookup_start(struct resolver *r, const struct name *name)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->resolver = r;
	l->generation = cache_generation(r->cache);
	l->name = *name;
	TAILQ_INIT(&l->askers);
	event_assign(&l->delay, r->base, -1, 0, lookup_on_delay, l);
	if (map_put(r->lookups, name->text, name->len, l) != 0) {
		free(l);
		return NULL;
	}
	l->ask = dns_ask(r->dns, l->name.text, lookup_on_answer, l);
	if (!l->ask) {
		map_take(r->lookups, name->text, name->len);
		free(l);
		return NULL;
	}
	return l;
}

/* Join the lookup of the name, or start it.  Returns -1 when out of memory. */
static int query_join(struct resolver_query *q, const struct name *name)
{
	struct resolver *r = q->resolver;
	struct lookup *l = map_get(r->lookups, name->text, name->len);

	if (l && lookup_is_old(l)) {
		lookup_retire(l);
		l = NULL;
	}
	if (!l && map_count(r->lookups) + r->retired_count >= LOOKUPS_MAX) {
		if (r->metrics)
			metrics_add(r->metrics, METRIC_LOOKUPS_REFUSED, 1);
		query_finish(q, RESOLVER_BUSY, NULL);
		return 0;
	}
	if (!l)
		l = lookup_start(r, name);
	if (!l)
		return -1;
	q->lookup = l;
	TAILQ_INSERT_TAIL(&l->askers, q, link);
	if (l->telling)
		query_ready(q);
	return 0;
}

/* What can be told without waiting; else false, and *ret_name is what to ask for. */
static bool resolver_known(struct resolver *r, struct slice text, struct name *ret_name,
    struct resolver_answer *ret_answer)
{
	struct slice literal = text;
	const struct answer *cached;

	*ret_answer = (struct resolver_answer){.addrs = r->known};
	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		literal.len--;
	if (addr_parse_loose(literal, &r->known[0]) == 0) {
		ret_answer->status = RESOLVER_OK;
		ret_answer->count = 1;
		return true;
	}
	if (name_parse(text, ret_name) != 0) {
		ret_answer->status = RESOLVER_BAD_NAME;
		return true;
	}
	/* The files first: a change of theirs makes cached answers void. */
	if (dns_refresh(r->dns))
		cache_void(r->cache);
	cached = cache_get(r->cache, ret_name);
	if (!cached)
		return false;
	if (r->metrics)
		metrics_add(r->metrics, METRIC_LOOKUPS_CACHED, 1);
	ret_answer->status = status_of(cached->status);
	ret_answer->count = cached->count;
	memcpy(r->known, cached->addrs, cached->count * sizeof(r->known[0]));
	return true;
}

static struct dns_options dns_options_of(const struct resolver_options *options)
{
	return (struct dns_options){
	    .servers = options->servers,
	    .server_count = options->server_count,
	    .timeout_ms = options->timeout_ms,
	    .lookups = options->lookups,
	    .only = options->only,
	    .metrics = options->metrics,
	};
}

static struct cache_options cache_options_of(const struct resolver_options *options)
{
	return (struct cache_options){
	    .entries = options->cache_entries,
	    .ttl_min_s = options->ttl_min_s,
	    .ttl_max_s = options->ttl_max_s,
	    .ttl_negative_s = options->ttl_negative_s,
	};
}

struct resolver *resolver_new(
    struct event_base *base, const struct resolver_options *options, const char **ret_error)
{
	struct dns_options dns = dns_options_of(options);
	struct cache_options cache = cache_options_of(options);
	struct resolver *r = calloc(1, sizeof(*r));

	*ret_error = "out of memory";
	if (!r)
		return NULL;
	TAILQ_INIT(&r->ready);
	TAILQ_INIT(&r->retired);
	event_assign(&r->deliver, base, -1, 0, resolver_on_deliver, r);
	r->base = base;
	r->awaited = options->awaited ? options->awaited : AF_INET6;
	r->metrics = options->metrics;
	r->lookups = map_new(LOOKUPS_MAX, lookup_on_drop, NULL);
	r->cache = cache_new(&cache);
	if (r->lookups && r->cache)
		r->dns = dns_new(base, &dns, ret_error);
	if (!r->dns) {
		resolver_free(r);
		return NULL;
	}
	return r;
}

int resolver_configure(
    struct resolver *r, const struct resolver_options *options, const char **ret_error)
{
	struct dns_options dns = dns_options_of(options);
	struct cache_options cache = cache_options_of(options);

	if (dns_configure(r->dns, &dns, ret_error) != 0)
		return -1;
	r->awaited = options->awaited ? options->awaited : AF_INET6;
	*ret_error = "out of memory";
	cache_void(r->cache);
	return cache_configure(r->cache, &cache);
}

void resolver_free(struct resolver *r)
{
	struct resolver_query *q;
	struct lookup *l;

	if (!r)
		return;
	dns_free(r->dns);
	if (r->lookups)
		map_free(r->lookups);
	while ((l = TAILQ_FIRST(&r->retired))) {
		TAILQ_REMOVE(&r->retired, l, link);
		lookup_free(l);
	}
	while ((q = TAILQ_FIRST(&r->ready))) {
		TAILQ_REMOVE(&r->ready, q, ready_link);
		q->ready = false;
		query_free(q);
	}
	event_del(&r->deliver);
	cache_free(r->cache);
	free(r);
}

struct resolver_query *resolver_lookup(
    struct resolver *r, struct slice name, resolver_done_fn *done, void *arg)
{
	struct resolver_query *q = calloc(1, sizeof(*q));
	struct resolver_answer known;
	struct name to_ask;

	if (!q)
		return NULL;
	q->resolver = r;
	q->done = done;
	q->arg = arg;
	if (resolver_known(r, name, &to_ask, &known)) {
		struct answer *a = answer_new(RECORD_OK, known.addrs, known.count);

		query_finish(q, a ? known.status : RESOLVER_NO_MEMORY, a);
	} else if (query_join(q, &to_ask) != 0) {
		query_free(q);
		return NULL;
	}
	return q;
}

void resolver_cancel(struct resolver_query *q)
{
	struct lookup *l = q->lookup;

	if (l)
		TAILQ_REMOVE(&l->askers, q, link);
	query_free(q);
	/* Once the servers have been asked, the answer is kept for whoever asks next. */
	if (l && TAILQ_EMPTY(&l->askers) && dns_forget(l->ask)) {
		lookup_unlist(l);
		lookup_free(l);
	}
}

bool resolver_peek(struct resolver *r, struct slice name, struct resolver_answer *ret_answer)
{
	struct resolver_answer answer;
	struct name to_ask;

	if (!resolver_known(r, name, &to_ask, &answer))
		return false;
	*ret_answer = answer;
	return true;
}
