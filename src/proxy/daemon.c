#include "proxy/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "net/locality.h"
#include "policy/auth.h"
#include "policy/limit.h"
#include "proxy/accesslog.h"
#include "proxy/checker.h"
#include "proxy/config.h"
#include "proxy/confinement.h"
#include "proxy/descriptors.h"
#include "proxy/lists.h"
#include "proxy/loader.h"
#include "proxy/porter.h"
#include "proxy/service.h"
#include "proxy/worker.h"

_Static_assert(WORKER_MAX <= SERVICE_WORKERS_MAX, "service has too little room");

struct daemon {
	const char *path;
	struct config *config;
	struct worker_shared shared;
	struct porter porter;
	struct worker *workers[WORKER_MAX];
	const struct metrics *sets[WORKER_MAX]; /* of each worker; NULL: it has ended */
	size_t worker_count, ended;
	struct service service;
	struct loader loader;
	bool again; /* while it loads, it was told to reload */
	int signal_fd, report_fds[2];
	bool draining;
};

/* ---- starting --------------------------------------------------------------------------- */

/* libevent's own words.  Its warnings are of what a peer or the network did: seldom worth a line.
 */
static void on_libevent_log(int severity, const char *message)
{
	if (severity == EVENT_LOG_ERR)
		log_error("libevent: %s", message);
	else
		log_debug("libevent: %s", message);
}

static int watch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int add_worker(struct daemon *d)
{
	const char *error;
	struct worker *w = worker_new(d->config, &d->shared, &error);

	if (!w) {
		log_error("cannot make a worker: %s", error);
		return -1;
	}
	worker_beat_every(w, service_beat_us(&d->service));
	d->sets[d->worker_count] = worker_metrics(w);
	d->workers[d->worker_count++] = w;
	return 0;
}

static int start_workers(struct daemon *d)
{
	int error;

	while (d->worker_count < d->porter.places.workers) {
		if (add_worker(d) != 0)
			return -1;
	}
	for (size_t i = 0; i < d->worker_count; i++) {
		error = worker_start(d->workers[i]);
		if (error != 0) {
			log_error("cannot start a worker: %s", strerror(error));
			return -1;
		}
	}
	d->porter.workers = d->workers;
	d->porter.worker_count = d->worker_count;
	return 0;
}

/* ---- running ---------------------------------------------------------------------------- */

static void tell_all(struct daemon *d, enum worker_command command, struct config *config)
{
	struct worker_order order = {.command = command, .config = config, .fd = -1};

	for (size_t i = 0; i < d->worker_count; i++)
		(void)worker_tell(d->workers[i], &order);
}

static void tell_supervisor(struct daemon *d, enum supervisor_news news)
{
	service_tell(&d->service, news, d->sets, d->worker_count);
}

/* Open all that the new configuration needs.  0, or -1: nothing has changed. */
static int prepare(struct daemon *d, const struct config *config)
{
	char why[256];

	if (strcmp(config->log.access, d->config->log.access) != 0 &&
	    accesslog_try(config->log.access, true) != 0) {
		log_error("%s: cannot open the access log %s: %s; nothing has changed", d->path,
		    config->log.access, strerror(errno));
		return -1;
	}
	if (porter_match(&d->porter, config, why, sizeof(why)) != 0) {
		log_error("%s: %s; nothing has changed", d->path, why);
		return -1;
	}
	return 0;
}

static void take_up(struct daemon *d, struct config *config)
{
	const char *key;
	size_t index = 0;

	while ((key = config_fixed_change(d->config, config, &index)) != NULL)
		log_warning("%s: %s has changed, which takes a restart", d->path, key);
	log_open(config->log.target, config->log.level);
	descriptors_raise(config, d->worker_count);
	porter_rename(&d->porter);
	lists_log(config);
	tell_all(d, WORKER_RELOAD, config);
	porter_settle(&d->porter);
	config_unref(d->config);
	d->config = config;
	log_info("%s: read again", d->path);
}

static void reload(struct daemon *d)
{
	if (d->draining) {
		log_info("ending, the configuration is not read again");
		return;
	}
	d->again = d->loader.running;
	if (d->again)
		return;
	tell_supervisor(d, SUPERVISOR_RELOADING);
	if (!d->path)
		log_info("there is no configuration file to read again");
	else if (loader_start(&d->loader, d->path, d->config) == 0)
		return;
	else
		log_error("%s: cannot read it: %s; nothing has changed", d->path, strerror(errno));
	tell_supervisor(d, SUPERVISOR_READY);
}

static void on_loaded(struct daemon *d)
{
	const char *why;
	struct config *config = loader_take(&d->loader, &why);

	if (d->draining) {
		config_unref(config);
		return;
	}
	if (!config)
		log_error("%s; nothing has changed", why);
	else if (prepare(d, config) == 0)
		take_up(d, config);
	else
		config_unref(config);
	tell_supervisor(d, SUPERVISOR_READY);
	if (d->again)
		reload(d);
}

static void drain(struct daemon *d)
{
	tell_supervisor(d, SUPERVISOR_STOPPING);
	log_info("finishing what is running");
	d->draining = true;
	tell_all(d, WORKER_DRAIN, NULL);
	porter_close(&d->porter);
}

static void on_signal(struct daemon *d)
{
	struct signalfd_siginfo info;

	if (read(d->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGHUP:
		reload(d);
		break;
	case SIGUSR1:
		tell_all(d, WORKER_REOPEN, NULL);
		break;
	default:
		if (!d->draining) {
			drain(d);
			break;
		}
		log_info("ending now");
		tell_all(d, WORKER_STOP, NULL);
		break;
	}
}

static void on_report(struct daemon *d)
{
	struct worker_report report;

	if (read(d->report_fds[0], &report, sizeof(report)) != (ssize_t)sizeof(report))
		return;
	switch (report.what) {
	case WORKER_HAS_LEFT:
		places_return(&d->porter.places, report.fd);
		break;
	case WORKER_HAS_ENDED:
		d->ended++;
		break;
	}
}

static void turn_service(struct daemon *d)
{
	for (size_t i = 0; i < d->worker_count; i++)
		if (worker_has_ended(d->workers[i]))
			d->sets[i] = NULL;
	service_turn(&d->service, service_now_us(), d->sets, d->worker_count);
}

/* For poll: until something is due. */
static int patience(const struct daemon *d)
{
	int places = places_patience(&d->porter.places);
	int service = service_wait_ms(&d->service, service_now_us());

	return places < 0 || (service >= 0 && service < places) ? service : places;
}

static void run(struct daemon *d)
{
	struct pollfd fds[3] = {{.fd = d->signal_fd, .events = POLLIN},
	    {.fd = d->report_fds[0], .events = POLLIN}, {.fd = d->loader.fd, .events = POLLIN}};

	while (d->ended < d->worker_count) {
		if (poll(fds, 3, patience(d)) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (fds[0].revents & POLLIN)
			on_signal(d);
		if (fds[1].revents & POLLIN)
			on_report(d);
		if (fds[2].revents & POLLIN)
			on_loaded(d);
		porter_leave(&d->porter);
		turn_service(d);
	}
}

static void log_totals(const struct daemon *d)
{
	const struct metrics *sets[WORKER_MAX];

	for (size_t i = 0; i < d->worker_count; i++)
		sets[i] = worker_metrics(d->workers[i]);
	for (int m = 0; m < METRIC_COUNT; m++)
		log_debug("%s %llu", metrics_name((enum metric)m),
		    (unsigned long long)metrics_sum(sets, d->worker_count, (enum metric)m));
	lists_log_totals(d->config);
}

static int serve(struct daemon *d)
{
	char why[256];

	if (porter_inherit(&d->porter) != 0)
		return -1;
	if (porter_match(&d->porter, d->config, why, sizeof(why)) != 0) {
		log_error("%s", why);
		return -1;
	}
	if (confinement_enter(d->config, d->path) != 0)
		return -1;
	if (start_workers(d) != 0) {
		tell_all(d, WORKER_STOP, NULL);
		return -1;
	}
	lists_log(d->config);
	porter_settle(&d->porter);
	tell_supervisor(d, SUPERVISOR_READY);
	run(d);
	log_totals(d);
	log_info("ended");
	return 0;
}

/* What workers share; the last is NULL when one cannot be had. */
static void furnish(struct daemon *d)
{
	d->shared.locality = locality_new();
	if (!d->shared.locality)
		log_warning("cannot ask the kernel which addresses are this machine's: %s; where "
			    "we listen on all of them, clients reach nobody's at our port",
		    strerror(errno));
	d->shared.limit = limit_new();
	d->shared.auth = d->shared.limit ? auth_new() : NULL;
	d->shared.checker = d->shared.auth ? checker_new(d->shared.auth) : NULL;
}

static void unfurnish(struct daemon *d)
{
	checker_free(d->shared.checker);
	auth_free(d->shared.auth);
	limit_free(d->shared.limit);
	locality_free(d->shared.locality);
}

int daemon_run(const char *path, struct config *config)
{
	struct daemon d = {.path = path,
	    .config = config,
	    .porter.places.workers = worker_wanted(config->workers)};
	int result = -1;

	log_open(config->log.target, config->log.level);
	event_set_log_callback(on_libevent_log);
	descriptors_raise(config, d.porter.places.workers);
	furnish(&d);
	service_init(&d.service);
	d.signal_fd = watch_signals();
	if (loader_init(&d.loader) != 0 || !d.shared.checker || d.signal_fd < 0 ||
	    pipe2(d.report_fds, O_CLOEXEC) != 0) {
		log_error("cannot start: %s", strerror(errno));
	} else {
		d.shared.report_fd = d.report_fds[1];
		result = serve(&d);
		for (size_t i = 0; i < d.worker_count; i++)
			worker_free(d.workers[i]);
		places_done(&d.porter.places);
		close(d.report_fds[0]);
		close(d.report_fds[1]);
	}
	loader_done(&d.loader);
	if (d.signal_fd >= 0)
		close(d.signal_fd);
	unfurnish(&d);
	config_unref(d.config);
	return result;
}
