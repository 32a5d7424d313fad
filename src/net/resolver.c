#include "net/resolver.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/metrics.h"
#include "net/cache.h"
#include "net/dns.h"
#include "net/lookup.h"
#include "net/name.h"

_Static_assert(RESOLVER_ADDRS_MAX == 2 * RECORD_ADDRS_MAX, "an answer holds both families");

TAILQ_HEAD(query_list, resolver_query);

/* One who asked: among the ready when there is something to tell. */
struct resolver_query {
	TAILQ_ENTRY(resolver_query) link, ready_link;
	struct resolver *resolver;
	struct lookup_asker asker;
	bool more;                   /* the answer is one half of all */
	enum resolver_status status; /* and the addresses, if any */
	struct answer *answer;
	sa_family_t told; /* the family of the half that was told; 0: none */
	bool ready;
	resolver_done_fn *done;
	void *arg;
};

struct resolver {
	struct dns *dns;
	struct cache *cache;
	struct lookups *lookups;
	struct metrics *metrics;
	struct query_list queries, ready;
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

static void query_free(struct resolver_query *q)
{
	lookup_leave(&q->asker);
	query_unready(q);
	TAILQ_REMOVE(&q->resolver->queries, q, link);
	answer_unref(q->answer);
	free(q);
}

/* The half, or all but the half that was told. */
static void query_fill(
    struct resolver_query *q, struct resolver_answer *answer, struct addr addrs[RESOLVER_ADDRS_MAX])
{
	const struct answer *a = q->answer;

	*answer = (struct resolver_answer){.addrs = addrs, .more = q->more};
	answer->status = q->told ? RESOLVER_OK : q->status;
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

static struct resolver_query *query_of(struct lookup_asker *asker)
{
	return (struct resolver_query *)(void *)((char *)asker -
						 offsetof(struct resolver_query, asker));
}

static void query_on_told(struct lookup_asker *asker, struct answer *answer, bool more)
{
	struct resolver_query *q = query_of(asker);

	answer_unref(q->answer);
	q->answer = answer_ref(answer);
	q->status = answer ? status_of(answer->status) : RESOLVER_NO_MEMORY;
	q->more = more;
	query_ready(q);
}

/* Have the name asked for.  Returns -1 when out of memory. */
static int query_ask(struct resolver_query *q, const struct name *name)
{
	struct resolver *r = q->resolver;

	switch (lookup_join(r->lookups, name, &q->asker)) {
	case LOOKUP_JOINED:
		return 0;
	case LOOKUP_FULL:
		if (r->metrics)
			metrics_add(r->metrics, METRIC_LOOKUPS_REFUSED, 1);
		q->status = RESOLVER_BUSY;
		query_ready(q);
		return 0;
	case LOOKUP_NO_MEMORY:
		break;
	}
	return -1;
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

static void resolver_await(struct resolver *r, const struct resolver_options *options)
{
	lookups_await(r->lookups, options->awaited ? options->awaited : AF_INET6);
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
	TAILQ_INIT(&r->queries);
	TAILQ_INIT(&r->ready);
	event_assign(&r->deliver, base, -1, 0, resolver_on_deliver, r);
	r->metrics = options->metrics;
	r->cache = cache_new(&cache);
	if (r->cache)
		r->dns = dns_new(base, &dns, ret_error);
	if (r->dns)
		r->lookups = lookups_new(base, r->dns, r->cache, query_on_told);
	if (!r->lookups) {
		resolver_free(r);
		return NULL;
	}
	resolver_await(r, options);
	return r;
}

int resolver_configure(
    struct resolver *r, const struct resolver_options *options, const char **ret_error)
{
	struct dns_options dns = dns_options_of(options);
	struct cache_options cache = cache_options_of(options);

	if (dns_configure(r->dns, &dns, ret_error) != 0)
		return -1;
	resolver_await(r, options);
	*ret_error = "out of memory";
	cache_void(r->cache);
	return cache_configure(r->cache, &cache);
}

void resolver_free(struct resolver *r)
{
	struct resolver_query *q, *next;

	if (!r)
		return;
	for (q = TAILQ_FIRST(&r->queries); q; q = next) {
		next = TAILQ_NEXT(q, link);
		query_free(q);
	}
	dns_free(r->dns);
	lookups_free(r->lookups);
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
	TAILQ_INSERT_TAIL(&r->queries, q, link);
	if (resolver_known(r, name, &to_ask, &known)) {
		q->answer = answer_new(RECORD_OK, known.addrs, known.count);
		q->status = q->answer ? known.status : RESOLVER_NO_MEMORY;
		query_ready(q);
	} else if (query_ask(q, &to_ask) != 0) {
		query_free(q);
		return NULL;
	}
	return q;
}

void resolver_cancel(struct resolver_query *q)
{
	query_free(q);
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
