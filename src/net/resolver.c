#include "net/resolver.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/map.h"
#include "base/metrics.h"
#include "net/dns.h"

#define LOOKUPS_MAX 4096 /* names looked up at a time, those waiting for a turn included */
#define HOST_MAX 253     /* RFC 1035 3.1, as text without the last dot */
#define LABEL_MAX 63

_Static_assert(RESOLVER_ADDRS_MAX == DNS_ADDRS_MAX, "an answer holds what dns reports");

/* A name that can be asked for: lower case, no trailing dot. */
struct name {
	size_t len;
	char text[HOST_MAX + 1];
};

/* Counted: by the cache and by each asker it is on its way to. */
struct answer {
	unsigned refs;
	unsigned generation;
	enum resolver_status status;
	int64_t expires_ms;
	size_t count;
	struct addr addrs[];
};

TAILQ_HEAD(query_list, resolver_query);

/* A name that is being asked for, and who wants to know. */
struct lookup {
	struct resolver *resolver;
	unsigned generation;
	struct query_list askers;
	struct name name;
};

/* One asker: on the list of a lookup, or (lookup is NULL) of those that are ready. */
struct resolver_query {
	TAILQ_ENTRY(resolver_query) link;
	struct resolver *resolver;
	struct lookup *lookup;
	struct answer *answer; /* NULL: out of memory */
	resolver_done_fn *done;
	void *arg;
};

struct resolver {
	struct dns *dns;
	struct map *lookups; /* name to lookup; never full, so it drops nothing by itself */
	struct map *cache;   /* name to answer; NULL when nothing is to be kept */
	unsigned generation; /* answers of an older one are not used */
	int ttl_max_s, ttl_negative_s;
	struct metrics *metrics;
	struct query_list ready;
	struct event deliver;
	struct addr known[RESOLVER_ADDRS_MAX]; /* what resolver_peek has lent out */
};

static int64_t now_ms(void)
{
	struct timespec now;

	/* Goes on while the machine sleeps, as TTLs do. */
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Returns -1 for what cannot be asked for. */
static int name_parse(struct slice text, struct name *ret_name)
{
	size_t label = 0;

	if (text.len == 0 || text.len > HOST_MAX)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '.' ? label == 0 : !name_byte(c))
			return -1;
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return -1;
		ret_name->text[i] = c;
	}
	if (label == 0)
		return -1;
	ret_name->text[text.len] = '\0';
	ret_name->len = text.len;
	return 0;
}

/* Returns new with one reference, or NULL. */
static struct answer *answer_new(
    enum resolver_status status, const struct addr *addrs, size_t count)
{
	struct answer *a = calloc(1, sizeof(*a) + count * sizeof(a->addrs[0]));

	if (!a)
		return NULL;
	a->refs = 1;
	a->status = status;
	a->count = count;
	if (count > 0)
		memcpy(a->addrs, addrs, count * sizeof(a->addrs[0]));
	return a;
}

static struct answer *answer_ref(struct answer *a)
{
	if (a)
		a->refs++;
	return a;
}

static void answer_unref(struct answer *a)
{
	if (a && --a->refs == 0)
		free(a);
}

static void cache_on_drop(void *value, void *arg)
{
	(void)arg;
	answer_unref(value);
}

static const struct answer *cache_get(struct resolver *r, const struct name *name)
{
	struct answer *a = r->cache ? map_get(r->cache, name->text, name->len) : NULL;

	if (a && (a->generation != r->generation || a->expires_ms <= now_ms())) {
		answer_unref(map_take(r->cache, name->text, name->len));
		a = NULL;
	}
	return a;
}

static void cache_put(struct resolver *r, const struct name *name, struct answer *a, uint32_t ttl_s)
{
	int64_t keep_s = 0;

	if (a->status == RESOLVER_NOT_FOUND)
		keep_s = r->ttl_negative_s;
	else if (a->status == RESOLVER_OK)
		keep_s = ttl_s < (uint32_t)r->ttl_max_s ? ttl_s : (uint32_t)r->ttl_max_s;
	if (!r->cache || keep_s <= 0)
		return;
	a->expires_ms = now_ms() + keep_s * 1000;
	/* Out of memory: then it is asked again next time. */
	if (map_put(r->cache, name->text, name->len, a) == 0)
		a->refs++;
}

/* Takes the reference.  The loop will call done. */
static void query_ready(struct resolver_query *q, struct answer *answer)
{
	struct resolver *r = q->resolver;

	q->answer = answer;
	q->lookup = NULL;
	TAILQ_INSERT_TAIL(&r->ready, q, link);
	event_active(&r->deliver, EV_TIMEOUT, 0);
}

static void query_free(struct resolver_query *q)
{
	answer_unref(q->answer);
	free(q);
}

/* One at a time, so that `done` is the last thing to happen and may free us. */
static void resolver_on_deliver(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;
	struct resolver_query *q = TAILQ_FIRST(&r->ready);
	struct resolver_answer answer = {.status = RESOLVER_NO_MEMORY};
	struct addr addrs[RESOLVER_ADDRS_MAX];
	resolver_done_fn *done;
	void *done_arg;

	(void)fd;
	(void)what;
	if (!q)
		return;
	TAILQ_REMOVE(&r->ready, q, link);
	if (q->answer) {
		answer.status = q->answer->status;
		answer.count = q->answer->count;
		answer.addrs = addrs;
		memcpy(addrs, q->answer->addrs, answer.count * sizeof(addrs[0]));
	}
	done = q->done;
	done_arg = q->arg;
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
	free(l);
}

static void lookup_on_drop(void *value, void *arg)
{
	(void)arg;
	lookup_free(value);
}

static void lookup_on_reply(const struct dns_reply *reply, void *arg)
{
	static const enum resolver_status statuses[] = {
	    [DNS_OK] = RESOLVER_OK,
	    [DNS_NOT_FOUND] = RESOLVER_NOT_FOUND,
	    [DNS_FAILED] = RESOLVER_FAILED,
	    [DNS_TIMEOUT] = RESOLVER_TIMEOUT,
	    [DNS_NO_MEMORY] = RESOLVER_NO_MEMORY,
	};
	struct lookup *l = arg;
	struct resolver *r = l->resolver;
	struct answer *answer = answer_new(statuses[reply->status], reply->addrs, reply->count);
	struct resolver_query *q;

	map_take(r->lookups, l->name.text, l->name.len);
	if (answer) {
		answer->generation = l->generation;
		cache_put(r, &l->name, answer, reply->ttl_s);
	}
	while ((q = TAILQ_FIRST(&l->askers))) {
		TAILQ_REMOVE(&l->askers, q, link);
		query_ready(q, answer_ref(answer));
	}
	answer_unref(answer);
	lookup_free(l);
}

static struct lookup *lookup_start(struct resolver *r, const struct name *name)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->resolver = r;
	l->generation = r->generation;
	l->name = *name;
	TAILQ_INIT(&l->askers);
	if (map_put(r->lookups, name->text, name->len, l) != 0) {
		free(l);
		return NULL;
	}
	if (dns_ask(r->dns, l->name.text, lookup_on_reply, l) != 0) {
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

	if (!l && map_count(r->lookups) >= LOOKUPS_MAX) {
		query_ready(q, answer_new(RESOLVER_FAILED, NULL, 0));
		return 0;
	}
	if (!l)
		l = lookup_start(r, name);
	if (!l)
		return -1;
	q->lookup = l;
	TAILQ_INSERT_TAIL(&l->askers, q, link);
	return 0;
}

/* What can be told without waiting; else false, and *ret_name is what to ask for. */
static bool resolver_known(struct resolver *r, struct slice text, struct name *ret_name,
    struct resolver_answer *ret_answer)
{
	const struct answer *cached;

	*ret_answer = (struct resolver_answer){.addrs = r->known};
	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		text.len--;
	if (addr_parse_loose(text, &r->known[0]) == 0) {
		ret_answer->status = RESOLVER_OK;
		ret_answer->count = 1;
		return true;
	}
	if (name_parse(text, ret_name) != 0) {
		ret_answer->status = RESOLVER_BAD_NAME;
		return true;
	}
	/* The files first: a change of theirs makes cached answers void. */
	r->generation += dns_refresh(r->dns);
	cached = cache_get(r, ret_name);
	if (!cached)
		return false;
	if (r->metrics)
		metrics_add(r->metrics, METRIC_LOOKUPS_CACHED, 1);
	ret_answer->status = cached->status;
	ret_answer->count = cached->count;
	memcpy(r->known, cached->addrs, cached->count * sizeof(r->known[0]));
	return true;
}

static struct dns_options resolver_dns(const struct resolver_options *options)
{
	return (struct dns_options){
	    .servers = options->servers,
	    .server_count = options->server_count,
	    .timeout_ms = options->timeout_ms,
	    .metrics = options->metrics,
	};
}

/* A new cache, in the place of what was there. */
static int resolver_keep(struct resolver *r, const struct resolver_options *options)
{
	struct map *cache = NULL;

	if (options->cache_entries > 0) {
		cache = map_new(options->cache_entries, cache_on_drop, NULL);
		if (!cache)
			return -1;
	}
	if (r->cache)
		map_free(r->cache);
	r->cache = cache;
	r->ttl_max_s = options->ttl_max_s > 0 ? options->ttl_max_s : 0;
	r->ttl_negative_s = options->ttl_negative_s;
	return 0;
}

struct resolver *resolver_new(
    struct event_base *base, const struct resolver_options *options, const char **ret_error)
{
	struct dns_options dns = resolver_dns(options);
	struct resolver *r = calloc(1, sizeof(*r));

	*ret_error = "out of memory";
	if (!r)
		return NULL;
	TAILQ_INIT(&r->ready);
	event_assign(&r->deliver, base, -1, 0, resolver_on_deliver, r);
	r->metrics = options->metrics;
	r->lookups = map_new(LOOKUPS_MAX, lookup_on_drop, NULL);
	if (r->lookups && resolver_keep(r, options) == 0)
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
	struct dns_options dns = resolver_dns(options);

	if (dns_configure(r->dns, &dns, ret_error) != 0)
		return -1;
	*ret_error = "out of memory";
	r->generation++;
	return resolver_keep(r, options);
}

void resolver_free(struct resolver *r)
{
	struct resolver_query *q;

	if (!r)
		return;
	dns_free(r->dns);
	if (r->lookups)
		map_free(r->lookups);
	while ((q = TAILQ_FIRST(&r->ready))) {
		TAILQ_REMOVE(&r->ready, q, link);
		query_free(q);
	}
	event_del(&r->deliver);
	if (r->cache)
		map_free(r->cache);
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
		query_ready(q, answer_new(known.status, known.addrs, known.count));
	} else if (query_join(q, &to_ask) != 0) {
		query_free(q);
		return NULL;
	}
	return q;
}

void resolver_cancel(struct resolver_query *q)
{
	TAILQ_REMOVE(q->lookup ? &q->lookup->askers : &q->resolver->ready, q, link);
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
