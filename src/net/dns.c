#include "net/dns.h"

#include <ares.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/metrics.h"
#include "net/channel.h"
#include "net/hosts.h"
#include "net/nameserver.h"
#include "net/question.h"
#include "net/watch.h"

#define REFRESH_MS 1000 /* between two looks at the files */

enum ask_state {
	ASK_WAITING, /* for its turn */
	ASK_ASKED,   /* c-ares has questions of it */
	ASK_ANSWERED /* nothing is open */
};

/*
 * One name.  c-ares 1.18 cannot cancel a single query: when time is out the caller is
 * told, and the ask goes on without a `done` until c-ares lets go of it.
 */
struct ask {
	TAILQ_ENTRY(ask) link, news_link;
	struct dns *dns;
	struct event timer;
	enum ask_state state;
	bool news; /* there is something to tell */
	dns_done_fn *done;
	void *arg;
	struct question ipv4, ipv6;
	char name[];
};

TAILQ_HEAD(ask_list, ask);

struct dns {
	struct event_base *base;
	struct channel *channel;
	bool own_servers; /* not those of resolv.conf */
	int timeout_ms;
	size_t lookups;
	sa_family_t only;
	struct metrics *metrics;
	struct event flush; /* tells the news */
	struct ask_list lists[ASK_ANSWERED + 1], news;
	size_t asked; /* how many c-ares has */
	struct watch hosts, resolv_conf;
	int64_t refresh_at_ms;
};

/* Gauges follow the lists. */
static void dns_count(struct dns *d, enum ask_state state, uint64_t n)
{
	d->asked += state == ASK_ASKED ? n : 0;
	if (d->metrics && state == ASK_ASKED)
		metrics_add(d->metrics, METRIC_LOOKUPS, n);
	if (d->metrics && state == ASK_WAITING)
		metrics_add(d->metrics, METRIC_LOOKUPS_WAITING, n);
}

static void ask_enter(struct ask *a, enum ask_state state)
{
	TAILQ_INSERT_TAIL(&a->dns->lists[state], a, link);
	dns_count(a->dns, state, 1);
	a->state = state;
}

static void ask_leave(struct ask *a)
{
	TAILQ_REMOVE(&a->dns->lists[a->state], a, link);
	dns_count(a->dns, a->state, (uint64_t)-1);
}

static void ask_move(struct ask *a, enum ask_state to)
{
	ask_leave(a);
	ask_enter(a, to);
}

static void ask_quiet(struct ask *a)
{
	if (a->news)
		TAILQ_REMOVE(&a->dns->news, a, news_link);
	a->news = false;
}

static void ask_free(struct ask *a)
{
	ask_quiet(a);
	ask_leave(a);
	event_del(&a->timer);
	free(a);
}

/* The loop will tell. */
static void ask_announce(struct ask *a)
{
	if (!a->news)
		TAILQ_INSERT_TAIL(&a->dns->news, a, news_link);
	a->news = true;
	event_active(&a->dns->flush, EV_TIMEOUT, 0);
}

/*
 * What to tell, and whether it is all.  As there is no more to be told then, the ask is
 * freed, or goes on as long as c-ares holds it.
 */
static bool ask_take_answer(struct ask *a, struct dns_answer *ret_answer)
{
	ask_quiet(a);
	*ret_answer = (struct dns_answer){
	    .more = !a->ipv4.known || !a->ipv6.known,
	    .ipv4_known = a->ipv4.known,
	    .ipv6_known = a->ipv6.known,
	    .ipv4 = question_answer(&a->ipv4),
	    .ipv6 = question_answer(&a->ipv6),
	};
	if (ret_answer->more)
		return false;
	a->done = NULL;
	if (a->ipv4.asked || a->ipv6.asked)
		event_del(&a->timer);
	else
		ask_free(a);
	return true;
}

/* All that c-ares had of it has come back. */
static void ask_returned(struct ask *a)
{
	if (!a->done)
		ask_free(a);
	else
		ask_move(a, a->ipv4.known && a->ipv6.known ? ASK_ANSWERED : ASK_WAITING);
}

static void ask_on_back(bool answered, void *arg)
{
	struct ask *a = arg;

	if (answered)
		ask_announce(a);
	if (!a->ipv4.asked && !a->ipv6.asked)
		ask_returned(a);
}

/* True: the answer is known on this machine. */
static bool ask_locally(struct ask *a)
{
	bool found = hosts_find(a->dns->channel, a->name, a->ipv4.known ? NULL : &a->ipv4.record,
	    a->ipv6.known ? NULL : &a->ipv6.record);

	if (found)
		a->ipv4.known = a->ipv6.known = true;
	return found;
}

/* Hand c-ares what waits, as far as there is room.  Never called from inside c-ares. */
static void dns_pump(struct dns *d)
{
	struct ask *a;

	while (d->asked < d->lookups && (a = TAILQ_FIRST(&d->lists[ASK_WAITING]))) {
		bool both = !a->ipv4.known && !a->ipv6.known;

		ask_move(a, ASK_ASKED);
		if (d->metrics)
			metrics_add(d->metrics, METRIC_LOOKUPS_TOTAL, 1);
		/* The first may fail at once: it is not to be taken for the last. */
		a->ipv4.asked = both;
		question_ask(a->ipv6.known ? &a->ipv4 : &a->ipv6, d->channel);
		if (both)
			question_ask(&a->ipv4, d->channel);
	}
	channel_arm(d->channel);
}

static void dns_on_turn(void *arg)
{
	dns_pump(arg);
}

/* One at a time, so that `done` is the last thing to happen and may free us. */
static void dns_on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	struct ask *a = TAILQ_FIRST(&d->news);
	struct dns_answer answer;
	dns_done_fn *done;
	void *done_arg;

	(void)fd;
	(void)what;
	if (!a)
		return;
	done = a->done;
	done_arg = a->arg;
	ask_take_answer(a, &answer);
	if (!TAILQ_EMPTY(&d->news))
		event_active(&d->flush, EV_TIMEOUT, 0);
	done(&answer, done_arg);
}

static void ask_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ask *a = arg;
	struct dns_answer answer;
	dns_done_fn *done = a->done;
	void *done_arg = a->arg;

	(void)fd;
	(void)what;
	question_give_up(&a->ipv4);
	question_give_up(&a->ipv6);
	ask_take_answer(a, &answer);
	done(&answer, done_arg);
}

/* Without options: the servers of resolv.conf, which is read now. */
static struct channel *dns_open(struct dns *d, const struct dns_options *options, int *ret_status)
{
	struct nameserver_options o = {
	    .servers = options ? options->servers : NULL,
	    .server_count = options ? options->server_count : 0,
	    .timeout_ms = d->timeout_ms,
	};

	return channel_open(d->base, o, dns_on_turn, d, ret_status);
}

/* c-ares counts its initialisations without a lock; on this system it never needs the end. */
static void library_init(void)
{
	(void)ares_library_init(ARES_LIB_INIT_ALL);
}

static void dns_set(struct dns *d, const struct dns_options *options)
{
	d->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : 1;
	d->lookups = options->lookups > 0 ? options->lookups : 1;
	d->only = options->only;
}

struct dns *dns_new(
    struct event_base *base, const struct dns_options *options, const char **ret_error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct dns *d = calloc(1, sizeof(*d));
	int status;

	pthread_once(&once, library_init);
	if (!d) {
		*ret_error = "out of memory";
		return NULL;
	}
	d->base = base;
	dns_set(d, options);
	d->own_servers = options->server_count > 0;
	d->metrics = options->metrics;
	d->hosts.path = _PATH_HOSTS;
	d->resolv_conf.path = _PATH_RESCONF;
	for (size_t i = 0; i < ARRAY_LEN(d->lists); i++)
		TAILQ_INIT(&d->lists[i]);
	TAILQ_INIT(&d->news);
	event_assign(&d->flush, base, -1, 0, dns_on_flush, d);
	/* Before the files are read: what changes in between is seen as changed. */
	(void)watch_changed(&d->hosts);
	(void)watch_changed(&d->resolv_conf);
	d->refresh_at_ms = record_now_ms() + REFRESH_MS;
	d->channel = dns_open(d, options, &status);
	if (d->channel)
		return d;
	*ret_error = nameserver_complaint(status);
	free(d);
	return NULL;
}

/* For the end: what has news is not told any more. */
static void dns_drop(struct dns *d, enum ask_state state)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(&d->lists[state]))) {
		TAILQ_REMOVE(&d->lists[state], a, link);
		dns_count(d, state, (uint64_t)-1);
		event_del(&a->timer);
		free(a);
	}
}

void dns_free(struct dns *d)
{
	struct ask *a;

	if (!d)
		return;
	for (a = TAILQ_FIRST(&d->lists[ASK_ASKED]); a; a = TAILQ_NEXT(a, link))
		a->done = NULL;
	channel_close(d->channel); /* frees those, and the sockets, through the callbacks */
	dns_drop(d, ASK_WAITING);
	dns_drop(d, ASK_ANSWERED);
	event_del(&d->flush);
	free(d);
}

struct ask *dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *arg)
{
	size_t size = strlen(name) + 1;
	struct timeval tv = {d->timeout_ms / 1000, (d->timeout_ms % 1000) * 1000};
	struct ask *a = calloc(1, sizeof(*a) + size);

	if (!a)
		return NULL;
	a->dns = d;
	a->done = done;
	a->arg = arg;
	memcpy(a->name, name, size);
	question_init(&a->ipv4, a->name, AF_INET, d->only != AF_INET6, ask_on_back, a);
	question_init(&a->ipv6, a->name, AF_INET6, d->only != AF_INET, ask_on_back, a);
	event_assign(&a->timer, d->base, -1, 0, ask_on_timer, a);
	if (event_add(&a->timer, &tv) != 0) {
		free(a);
		return NULL;
	}
	if (ask_locally(a)) {
		ask_enter(a, ASK_ANSWERED);
		ask_announce(a);
	} else {
		ask_enter(a, ASK_WAITING);
		dns_pump(d);
	}
	return a;
}

bool dns_forget(struct ask *a)
{
	if (a->state != ASK_WAITING)
		return false;
	ask_free(a);
	return true;
}

/* Replace the channel by one that has read resolv.conf as it is now. */
static int dns_reopen(struct dns *d, const struct dns_options *options)
{
	int status;
	struct channel *old = d->channel, *fresh = dns_open(d, options, &status);

	if (!fresh)
		return status;
	channel_close(old); /* what it held waits again */
	d->channel = fresh;
	dns_pump(d);
	return ARES_SUCCESS;
}

int dns_configure(struct dns *d, const struct dns_options *options, const char **ret_error)
{
	struct dns before = *d;
	int status;

	dns_set(d, options);
	status = dns_reopen(d, options);
	if (status == ARES_SUCCESS) {
		d->own_servers = options->server_count > 0;
		return 0;
	}
	d->timeout_ms = before.timeout_ms;
	d->lookups = before.lookups;
	d->only = before.only;
	*ret_error = nameserver_complaint(status);
	return -1;
}

bool dns_refresh(struct dns *d)
{
	int64_t now = record_now_ms();
	bool hosts, servers;

	if (now < d->refresh_at_ms)
		return false;
	d->refresh_at_ms = now + REFRESH_MS;
	hosts = watch_changed(&d->hosts);
	servers = !d->own_servers && watch_changed(&d->resolv_conf);
	if (servers && dns_reopen(d, NULL) != ARES_SUCCESS)
		d->resolv_conf.inode = 0; /* looks changed: tried again */
	return hosts || servers;
}
