#include "net/dns.h"

#include <ares.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>

#include "base/metrics.h"
#include "net/nameserver.h"

#define ASKED_MAX 512   /* names that c-ares holds at a time */
#define REFRESH_MS 1000 /* between two looks at the files */

enum ask_state {
	ASK_WAITING, /* for its turn */
	ASK_ASKED,   /* held by c-ares */
	ASK_FINISHED /* its reply is there */
};

/*
 * One name.  c-ares 1.18 cannot cancel a single query: when time is out the caller is
 * told, and the ask goes on without a `done` until c-ares lets go of it.
 */
struct ask {
	TAILQ_ENTRY(ask) link;
	struct dns *dns;
	struct event timer;
	enum ask_state state;
	dns_done_fn *done;
	void *arg;
	struct dns_reply reply;
	char name[];
};

TAILQ_HEAD(ask_list, ask);

/* A socket of c-ares: one for UDP and one for TCP per server. */
struct dns_socket {
	LIST_ENTRY(dns_socket) link;
	evutil_socket_t fd;
	struct event event;
};

/* A file, and how it was when we last looked. */
struct watch {
	const char *path;
	struct timespec mtime;
	ino_t inode;
	off_t size;
};

struct dns {
	struct event_base *base;
	ares_channel channel;
	bool own_servers; /* not those of resolv.conf */
	bool reopening;   /* the channel goes away: what it held is asked again */
	int timeout_ms;
	struct metrics *metrics;
	LIST_HEAD(dns_socket_list, dns_socket) sockets;
	struct event tick;  /* when c-ares wants to send again, or to give up */
	struct event flush; /* delivers the finished */
	struct ask_list lists[ASK_FINISHED + 1];
	size_t asked;
	struct watch hosts, resolv_conf;
	int64_t refresh_at_ms;
};

static void ask_move(struct ask *a, enum ask_state to)
{
	struct dns *d = a->dns;

	TAILQ_REMOVE(&d->lists[a->state], a, link);
	TAILQ_INSERT_TAIL(&d->lists[to], a, link);
	d->asked += to == ASK_ASKED;
	d->asked -= a->state == ASK_ASKED;
	a->state = to;
}

static void ask_free(struct ask *a)
{
	TAILQ_REMOVE(&a->dns->lists[a->state], a, link);
	a->dns->asked -= a->state == ASK_ASKED;
	event_del(&a->timer);
	free(a);
}

/* For the end: nothing is counted any more. */
static void ask_list_clear(struct ask_list *list)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, a, link);
		event_del(&a->timer);
		free(a);
	}
}

static enum dns_status status_of(int ares_status)
{
	switch (ares_status) {
	case ARES_SUCCESS:
		return DNS_OK;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return DNS_NOT_FOUND;
	case ARES_ETIMEOUT:
		return DNS_TIMEOUT;
	case ARES_ENOMEM:
		return DNS_NO_MEMORY;
	default:
		/* SERVFAIL, REFUSED and NOTIMP of all servers come as ARES_ECONNREFUSED. */
		return DNS_FAILED;
	}
}

static bool reply_has(const struct dns_reply *reply, const struct addr *a)
{
	for (size_t i = 0; i < reply->count; i++)
		if (addr_equal(&reply->addrs[i], a))
			return true;
	return false;
}

/* Neither family takes more than half of the room as long as the other has a use for it. */
static void reply_add_addrs(struct dns_reply *reply, const struct ares_addrinfo_node *nodes)
{
	size_t had[2] = {0, 0}, taken[2] = {0, 0};
	struct addr a;

	for (const struct ares_addrinfo_node *n = nodes; n; n = n->ai_next)
		had[n->ai_family == AF_INET6]++;
	for (const struct ares_addrinfo_node *n = nodes; n; n = n->ai_next) {
		bool six = n->ai_family == AF_INET6;
		size_t reserved = had[!six] < DNS_ADDRS_MAX / 2 ? had[!six] : DNS_ADDRS_MAX / 2;

		if (taken[six] == DNS_ADDRS_MAX - reserved)
			continue;
		if (addr_from_sockaddr(n->ai_addr, &a) != 0 || reply_has(reply, &a))
			continue;
		taken[six]++;
		reply->addrs[reply->count++] = a;
	}
}

static void reply_fill(struct dns_reply *reply, int ares_status, const struct ares_addrinfo *ai)
{
	int ttl = INT_MAX;

	reply->status = status_of(ares_status);
	if (reply->status != DNS_OK || !ai)
		return;
	for (const struct ares_addrinfo_cname *c = ai->cnames; c; c = c->next)
		ttl = c->ttl < ttl ? c->ttl : ttl;
	for (const struct ares_addrinfo_node *n = ai->nodes; n; n = n->ai_next)
		ttl = n->ai_ttl < ttl ? n->ai_ttl : ttl;
	/* RFC 2181 8: a TTL with the highest bit set means zero. */
	reply->ttl_s = ttl < 0 ? 0 : (uint32_t)ttl;
	reply_add_addrs(reply, ai->nodes);
	if (reply->count == 0)
		reply->status = DNS_NOT_FOUND;
}

/* Called by c-ares, possibly from inside ares_getaddrinfo and ares_destroy. */
static void ask_on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
	struct ask *a = arg;
	struct dns *d = a->dns;

	(void)timeouts;
	if (!a->done) {
		ask_free(a);
	} else if (d->reopening) {
		ask_move(a, ASK_WAITING);
	} else {
		reply_fill(&a->reply, status, ai);
		ask_move(a, ASK_FINISHED);
		event_active(&d->flush, EV_TIMEOUT, 0);
	}
	ares_freeaddrinfo(ai);
}

static void dns_arm(struct dns *d)
{
	struct timeval tv;

	if (!ares_timeout(d->channel, NULL, &tv)) {
		event_del(&d->tick);
		return;
	}
	/* c-ares rounds down to a millisecond: without one more we would spin in the last. */
	tv.tv_usec += 1000;
	if (tv.tv_usec >= 1000000) {
		tv.tv_sec++;
		tv.tv_usec -= 1000000;
	}
	event_add(&d->tick, &tv);
}

/* Hand c-ares what waits, as far as there is room.  Never called from inside c-ares. */
static void dns_pump(struct dns *d)
{
	static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC};
	struct ask *a;

	while (d->asked < ASKED_MAX && (a = TAILQ_FIRST(&d->lists[ASK_WAITING]))) {
		ask_move(a, ASK_ASKED);
		ares_getaddrinfo(d->channel, a->name, NULL, &hints, ask_on_answer, a);
		/* One that finished at once was in the hosts file, or no server can be reached. */
		if (a->state == ASK_ASKED && d->metrics)
			metrics_add(d->metrics, METRIC_LOOKUPS_TOTAL, 1);
	}
	dns_arm(d);
}

static void dns_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;

	(void)fd;
	(void)what;
	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_pump(d);
}

static void dns_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;

	ares_process_fd(d->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
	    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	dns_pump(d);
}

/* One at a time, so that `done` is the last thing to happen and may free us. */
static void dns_on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	struct ask *a = TAILQ_FIRST(&d->lists[ASK_FINISHED]);
	struct dns_reply reply;
	dns_done_fn *done;
	void *done_arg;

	(void)fd;
	(void)what;
	if (!a)
		return;
	reply = a->reply;
	done = a->done;
	done_arg = a->arg;
	ask_free(a);
	if (!TAILQ_EMPTY(&d->lists[ASK_FINISHED]))
		event_active(&d->flush, EV_TIMEOUT, 0);
	done(&reply, done_arg);
}

static void ask_on_timer(evutil_socket_t fd, short what, void *arg)
{
	static const struct dns_reply timeout = {.status = DNS_TIMEOUT};
	struct ask *a = arg;
	dns_done_fn *done = a->done;
	void *done_arg = a->arg;

	(void)fd;
	(void)what;
	if (a->state == ASK_FINISHED)
		return; /* the flush is due in this same turn */
	a->done = NULL;
	if (a->state == ASK_WAITING)
		ask_free(a);
	done(&timeout, done_arg);
}

/*
 * c-ares opened a socket, wants other events of it, or is about to close it.  Where
 * memory is out the socket stays deaf, and timers end what was asked through it.
 */
static void dns_on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = arg;
	struct dns_socket *s = LIST_FIRST(&d->sockets);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);

	while (s && s->fd != fd)
		s = LIST_NEXT(s, link);
	if (s) {
		event_del(&s->event);
	} else {
		s = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->fd = fd;
		LIST_INSERT_HEAD(&d->sockets, s, link);
	}
	if (!readable && !writable) {
		LIST_REMOVE(s, link);
		free(s);
		return;
	}
	event_assign(&s->event, d->base, fd, what, dns_on_socket, d);
	event_add(&s->event, NULL);
}

static int dns_open(struct dns *d, const struct dns_options *options, ares_channel *ret_channel)
{
	struct nameserver_options o = {
	    .servers = options ? options->servers : NULL,
	    .server_count = options ? options->server_count : 0,
	    .timeout_ms = d->timeout_ms,
	    .on_socket_state = dns_on_socket_state,
	    .arg = d,
	};

	return nameserver_open(&o, ret_channel);
}

static const char *dns_reason(int status)
{
	return status == ARES_EBADSTR ? "a name server is not an IP address with an optional port"
				      : ares_strerror(status);
}

/* A file that is not there looks like an empty one. */
static bool watch_changed(struct watch *w)
{
	struct stat st;
	bool changed;

	if (stat(w->path, &st) != 0)
		st = (struct stat){0};
	changed = st.st_mtim.tv_sec != w->mtime.tv_sec || st.st_mtim.tv_nsec != w->mtime.tv_nsec ||
		  st.st_ino != w->inode || st.st_size != w->size;
	w->mtime = st.st_mtim;
	w->inode = st.st_ino;
	w->size = st.st_size;
	return changed;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* c-ares counts its initialisations without a lock; on this system it never needs the end. */
static void library_init(void)
{
	(void)ares_library_init(ARES_LIB_INIT_ALL);
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
	d->own_servers = options->server_count > 0;
	d->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : 1;
	d->metrics = options->metrics;
	d->hosts.path = _PATH_HOSTS;
	d->resolv_conf.path = _PATH_RESCONF;
	LIST_INIT(&d->sockets);
	for (size_t i = 0; i < ARRAY_LEN(d->lists); i++)
		TAILQ_INIT(&d->lists[i]);
	event_assign(&d->tick, base, -1, 0, dns_on_tick, d);
	event_assign(&d->flush, base, -1, 0, dns_on_flush, d);
	/* Before the files are read: what changes in between is seen as changed. */
	(void)watch_changed(&d->hosts);
	(void)watch_changed(&d->resolv_conf);
	d->refresh_at_ms = now_ms() + REFRESH_MS;
	status = dns_open(d, options, &d->channel);
	if (status == ARES_SUCCESS)
		return d;
	*ret_error = dns_reason(status);
	free(d);
	return NULL;
}

void dns_free(struct dns *d)
{
	struct ask *a;

	if (!d)
		return;
	for (a = TAILQ_FIRST(&d->lists[ASK_ASKED]); a; a = TAILQ_NEXT(a, link))
		a->done = NULL;
	ares_destroy(d->channel); /* frees those, and the sockets, through the callbacks */
	ask_list_clear(&d->lists[ASK_WAITING]);
	ask_list_clear(&d->lists[ASK_FINISHED]);
	event_del(&d->tick);
	event_del(&d->flush);
	free(d);
}

int dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *arg)
{
	size_t size = strlen(name) + 1;
	struct timeval tv = {d->timeout_ms / 1000, (d->timeout_ms % 1000) * 1000};
	struct ask *a = calloc(1, sizeof(*a) + size);

	if (!a)
		return -1;
	a->dns = d;
	a->state = ASK_WAITING;
	a->done = done;
	a->arg = arg;
	memcpy(a->name, name, size);
	event_assign(&a->timer, d->base, -1, 0, ask_on_timer, a);
	if (event_add(&a->timer, &tv) != 0) {
		free(a);
		return -1;
	}
	TAILQ_INSERT_TAIL(&d->lists[ASK_WAITING], a, link);
	dns_pump(d);
	return 0;
}

/* Replace the channel by one that has read resolv.conf as it is now. */
static int dns_reopen(struct dns *d, const struct dns_options *options)
{
	ares_channel old = d->channel;
	int status = dns_open(d, options, &d->channel);

	if (status != ARES_SUCCESS)
		return status;
	d->reopening = true;
	ares_destroy(old);
	d->reopening = false;
	dns_pump(d);
	return ARES_SUCCESS;
}

int dns_configure(struct dns *d, const struct dns_options *options, const char **ret_error)
{
	int before = d->timeout_ms, status;

	d->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : 1;
	status = dns_reopen(d, options);
	if (status == ARES_SUCCESS) {
		d->own_servers = options->server_count > 0;
		return 0;
	}
	d->timeout_ms = before;
	*ret_error = dns_reason(status);
	return -1;
}

bool dns_refresh(struct dns *d)
{
	int64_t now = now_ms();
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
