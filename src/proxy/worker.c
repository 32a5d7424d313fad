#include "proxy/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/recycle.h"
#include "base/spare.h"
#include "net/pipe.h"
#include "net/preference.h"
#include "net/resolver.h"
#include "proxy/accesslog.h"
#include "proxy/checker.h"
#include "proxy/config.h"
#include "proxy/door.h"
#include "proxy/entrance.h"
#include "proxy/exchange.h"
#include "proxy/refusal.h"
#include "proxy/tenure.h"
#include "proxy/upstream.h"

/* Unused pipes that stay open for the next tunnel. */
#define WORKER_SPARE_PIPES 16

/* Origins with several addresses of which the one that answered is remembered. */
#define WORKER_PREFERENCES 4096

/* What is deferred to "the next turn" may defer once more. */
#define WORKER_LAST_TURNS 4

struct worker {
	struct metrics metrics;
	struct exchange_services services;
	struct door *door;
	struct event command, drain_timer, beat;
	int command_fds[2]; /* a pipe: read in the loop, written by worker_tell */
	struct worker_shared shared;
	pthread_t thread;
	bool started;
	atomic_bool ended;
};

static void worker_on_request(const struct intake_request *request, void *arg)
{
	struct worker *w = arg;

	exchange_start(request, &w->services);
}

/* Idle connections to origins are worth less than clients that wait. */
static void worker_on_shortage(void *arg)
{
	struct worker *w = arg;

	upstream_pool_close(w->services.upstreams);
}

static void worker_report(struct worker *w, const struct worker_report *report)
{
	if (write(w->shared.report_fd, report, sizeof(*report)) != (ssize_t)sizeof(*report))
		log_error("cannot report to the main thread: %s", strerror(errno));
}

static void worker_on_left(int fd, void *arg)
{
	struct worker_report report = {.what = WORKER_HAS_LEFT, .fd = fd};

	worker_report(arg, &report);
}

static void worker_listen(struct worker *w, const struct worker_order *order)
{
	if (door_listen(w->door, order->fd, order->entrance) == 0)
		return;
	log_error("a worker cannot accept: out of memory");
	worker_on_left(order->fd, w);
}

static void worker_end(void *arg)
{
	struct worker *w = arg;

	event_base_loopbreak(w->services.base);
}

static void worker_on_drain_timer(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	if (door_count(w->door) > 0)
		log_warning(
		    "%zu connections are still open at the end of timeouts.drain, closing them",
		    door_count(w->door));
	worker_end(w);
}

static void worker_on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	metrics_add(&w->metrics, METRIC_BEATS, 1);
}

static void worker_drain(struct worker *w)
{
	struct timeval patience = {w->services.tenure->config->timeouts.drain, 0};

	event_add(&w->drain_timer, &patience);
	door_drain(w->door, worker_end, w);
}

/* The family that is asked for alone; 0: both are. */
static sa_family_t worker_only_family(enum family family)
{
	return family == FAMILY_IPV4 ? AF_INET : family == FAMILY_IPV6 ? AF_INET6 : 0;
}

static struct resolver_options worker_resolving(struct worker *w, const struct config *config)
{
	return (struct resolver_options){
	    .servers = (const char *const *)config->resolver.servers,
	    .server_count = config->resolver.server_count,
	    .timeout_ms = config->timeouts.resolve * 1000,
	    .cache_entries = (size_t)config->resolver.cache,
	    .ttl_min_s = config->resolver.ttl_min,
	    .ttl_max_s = config->resolver.ttl_max,
	    .ttl_negative_s = config->resolver.ttl_negative,
	    .lookups = (size_t)config->resolver.lookups,
	    .only = worker_only_family(config->family),
	    .awaited = config->family == FAMILY_PREFER_IPV4 ? AF_INET : AF_INET6,
	    .metrics = &w->metrics,
	};
}

static bool worker_resolves_anew(const struct config *old, const struct config *config)
{
	bool differ = old->family != config->family ||
		      old->resolver.server_count != config->resolver.server_count ||
		      old->resolver.cache != config->resolver.cache ||
		      old->resolver.lookups != config->resolver.lookups ||
		      old->resolver.ttl_min != config->resolver.ttl_min ||
		      old->resolver.ttl_max != config->resolver.ttl_max ||
		      old->resolver.ttl_negative != config->resolver.ttl_negative ||
		      old->timeouts.resolve != config->timeouts.resolve;

	for (size_t i = 0; i < config->resolver.server_count && !differ; i++)
		differ = strcmp(old->resolver.servers[i], config->resolver.servers[i]) != 0;
	return differ;
}

/* The daemon has tried already whether all of this can be had. */
static void worker_reload(struct worker *w, struct config *config)
{
	struct exchange_services *s = &w->services;
	struct tenure *tenure = tenure_new(config), *former = s->tenure;
	const struct config *old = former->config;
	struct resolver_options resolving;
	const char *error;

	if (!tenure) {
		log_error("a worker cannot take up the configuration: out of memory");
		return;
	}
	s->tenure = tenure;
	resolving = worker_resolving(w, config);
	door_configure(w->door, config);
	upstream_pool_configure(s->upstreams, config);
	preference_clear(s->preference);
	if (worker_resolves_anew(old, config) &&
	    resolver_configure(s->resolver, &resolving, &error) != 0)
		log_error("cannot change how names are resolved: %s", error);
	if (strcmp(old->log.access, config->log.access) != 0 &&
	    accesslog_move(s->accesslog, config->log.access) != 0)
		log_error("cannot open the access log %s: %s, keeping the old file",
		    config->log.access, strerror(errno));
	if (config->recheck_tunnels)
		exchange_review_tunnels(s);
	tenure_settle(former);
	tenure_leave(former);
}

static void worker_obey(struct worker *w, const struct worker_order *order)
{
	switch (order->command) {
	case WORKER_LISTEN:
		worker_listen(w, order);
		break;
	case WORKER_RENAME:
		door_rename(w->door, order->fd, order->entrance);
		break;
	case WORKER_LEAVE:
	case WORKER_ABANDON:
		door_leave(w->door, order->fd, order->command == WORKER_LEAVE);
		break;
	case WORKER_RELOAD:
		worker_reload(w, order->config);
		break;
	case WORKER_REOPEN:
		if (accesslog_reopen(w->services.accesslog) != 0)
			log_error("cannot reopen the access log: %s, keeping the old file",
			    strerror(errno));
		break;
	case WORKER_DRAIN:
		worker_drain(w);
		break;
	case WORKER_STOP:
		worker_end(w);
		break;
	}
}

static void worker_on_command(evutil_socket_t fd, short what, void *arg)
{
	struct worker_order order;

	(void)what;
	while (read(fd, &order, sizeof(order)) == (ssize_t)sizeof(order))
		worker_obey(arg, &order);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct worker_report report = {.what = WORKER_HAS_ENDED, .fd = -1};

	pthread_setname_np(pthread_self(), "worker");
	if (!spare_refill())
		log_warning("out of memory already, ignoring");
	event_base_dispatch(w->services.base);
	atomic_store(&w->ended, true);
	door_stop(w->door);
	upstream_pool_close(w->services.upstreams);
	for (int turn = 0; turn < WORKER_LAST_TURNS; turn++)
		event_base_loop(w->services.base, EVLOOP_NONBLOCK);
	worker_report(w, &report);
	spare_flush();
	recycle_flush();
	return NULL;
}

static struct event_base *worker_new_base(void)
{
	struct event_config *options = event_config_new();
	struct event_base *base = NULL;

	if (!options)
		return NULL;
	/* Changes to what is polled are collected, and those that cancel out cost no system call.
	 */
	if (event_config_set_flag(options, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0 &&
	    event_config_set_flag(options, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(options);
	event_config_free(options);
	return base;
}

static struct door *worker_new_door(struct worker *w)
{
	struct intake_shared shared = {.base = w->services.base,
	    .config = w->services.tenure->config,
	    .metrics = &w->metrics,
	    .limit = w->services.limit,
	    .refusal = w->services.refusal,
	    .on_request = worker_on_request,
	    .on_request_arg = w};

	return door_new(&shared, w->shared.locality);
}

static const char *worker_furnish(struct worker *w, struct config *config)
{
	struct exchange_services *s = &w->services;
	const char *error = "out of memory";
	struct resolver_options resolving = worker_resolving(w, config);

	s->base = worker_new_base();
	if (!s->base)
		return "the event loop cannot be made";
	event_assign(
	    &w->command, s->base, w->command_fds[0], EV_READ | EV_PERSIST, worker_on_command, w);
	evtimer_assign(&w->drain_timer, s->base, worker_on_drain_timer, w);
	event_assign(&w->beat, s->base, -1, EV_PERSIST, worker_on_beat, w);
	s->tenure = tenure_new(config_ref(config));
	if (!s->tenure)
		return error;
	s->metrics = &w->metrics;
	s->accesslog = accesslog_new(s->base, config->log.access);
	if (!s->accesslog) {
		log_error("cannot open the access log %s: %s", config->log.access, strerror(errno));
		return "it has no access log";
	}
	s->resolver = resolver_new(s->base, &resolving, &error);
	if (!s->resolver)
		return error;
	s->desk = checker_desk_new(w->shared.checker, s->base);
	s->pipes = pipe_pool_new(WORKER_SPARE_PIPES);
	s->upstreams = upstream_pool_new(s->base, config, &w->metrics);
	s->preference = preference_new(WORKER_PREFERENCES);
	s->refusal = refusal_new(s->base, s->limit, &w->metrics);
	w->door = s->refusal ? worker_new_door(w) : NULL;
	if (w->door)
		door_set_on_left(w->door, worker_on_left, w);
	s->door = w->door;
	if (!s->desk || !s->pipes || !s->upstreams || !s->preference || !w->door ||
	    event_add(&w->command, NULL) != 0)
		return "out of memory";
	door_on_shortage(w->door, worker_on_shortage);
	return NULL;
}

size_t worker_wanted(int workers)
{
	long count = workers > 0 ? workers : sysconf(_SC_NPROCESSORS_ONLN);

	return count < 1 ? 1 : count > WORKER_MAX ? WORKER_MAX : (size_t)count;
}

struct worker *worker_new(
    struct config *config, const struct worker_shared *shared, const char **ret_error)
{
	struct worker *w = calloc(1, sizeof(*w));

	*ret_error = "out of memory";
	if (!w)
		return NULL;
	w->shared = *shared;
	w->services.limit = shared->limit;
	w->services.auth = shared->auth;
	if (pipe2(w->command_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
		*ret_error = strerror(errno);
		free(w);
		return NULL;
	}
	*ret_error = worker_furnish(w, config);
	if (*ret_error) {
		worker_free(w);
		return NULL;
	}
	return w;
}

void worker_beat_every(struct worker *w, uint64_t us)
{
	struct timeval every = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

	if (us > 0)
		event_add(&w->beat, &every);
}

/* Signals are main's: the thread is born with all of them blocked. */
int worker_start(struct worker *w)
{
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&w->thread, NULL, worker_run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = error == 0;
	return error;
}

int worker_tell(struct worker *w, const struct worker_order *order)
{
	ssize_t sent;

	if (order->config)
		config_ref(order->config);
	/* An order is far shorter than PIPE_BUF: it is written whole or not at all. */
	do
		sent = write(w->command_fds[1], order, sizeof(*order));
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	log_error("cannot reach a worker: %s", strerror(errno));
	config_unref(order->config);
	entrance_unref(order->entrance);
	return -1;
}

const struct metrics *worker_metrics(const struct worker *w)
{
	return &w->metrics;
}

bool worker_has_ended(const struct worker *w)
{
	return atomic_load(&w->ended);
}

void worker_free(struct worker *w)
{
	struct worker_order order;
	struct exchange_services *s;

	if (!w)
		return;
	s = &w->services;
	if (w->started)
		pthread_join(w->thread, NULL);
	door_free(w->door);
	upstream_pool_free(s->upstreams);
	preference_free(s->preference);
	if (s->resolver)
		resolver_free(s->resolver);
	if (s->pipes)
		pipe_pool_free(s->pipes);
	refusal_free(s->refusal);
	checker_desk_free(s->desk);
	if (s->accesslog)
		accesslog_free(s->accesslog);
	if (s->base) {
		event_del(&w->command);
		event_del(&w->drain_timer);
		event_del(&w->beat);
		event_base_free(s->base);
	}
	if (s->tenure) {
		tenure_settle(s->tenure);
		tenure_leave(s->tenure);
	}
	/* What came too late to be read. */
	while (read(w->command_fds[0], &order, sizeof(order)) == (ssize_t)sizeof(order)) {
		config_unref(order.config);
		entrance_unref(order.entrance);
	}
	close(w->command_fds[0]);
	close(w->command_fds[1]);
	free(w);
}
