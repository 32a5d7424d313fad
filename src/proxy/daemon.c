#include "proxy/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "net/addr.h"
#include "proxy/config.h"
#include "proxy/places.h"
#include "proxy/worker.h"

#define WORKERS_MAX 256

struct daemon {
	const char *path;
	struct config *config;
	struct places places;
	struct worker *workers[WORKERS_MAX];
	size_t worker_count, ended;
	int signal_fd, ended_fds[2];
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

/* As many descriptors as we may have: each exchange takes two, a tunnel up to six. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("cannot raise the limit of open files: %s, ignoring", strerror(errno));
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

static size_t wanted_workers(const struct config *config)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long count = config->workers > 0 ? config->workers : cpus;

	return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (size_t)count;
}

static int add_worker(struct daemon *d)
{
	int fds[CONFIG_LISTEN_MAX];
	const char *error;
	struct worker *w;

	for (size_t i = 0; i < d->places.count; i++)
		fds[i] = place_take(d->places.items[i], d->worker_count);
	w = worker_new(d->config, fds, d->places.count, d->ended_fds[1], &error);
	if (!w) {
		log_error("cannot make a worker: %s", error);
		return -1;
	}
	d->workers[d->worker_count++] = w;
	return 0;
}

static int start_workers(struct daemon *d)
{
	size_t count = wanted_workers(d->config);
	char text[ADDR_TEXT_MAX];
	int error;

	if (places_open(&d->places, d->config->listen, d->config->listen_count, count) != 0)
		return -1;
	while (d->worker_count < count) {
		if (add_worker(d) != 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		error = worker_start(d->workers[i]);
		if (error != 0) {
			log_error("cannot start a worker: %s", strerror(error));
			return -1;
		}
	}
	for (size_t i = 0; i < d->places.count; i++) {
		addr_format(&d->places.items[i]->at, text);
		log_info("listening on %s", text);
	}
	return 0;
}

/* ---- running ---------------------------------------------------------------------------- */

static void tell_all(struct daemon *d, enum worker_command command, struct config *config)
{
	for (size_t i = 0; i < d->worker_count; i++)
		worker_tell(d->workers[i], command, config);
}

static void reload(struct daemon *d)
{
	struct config_error error;
	struct config *config;
	const char *key;
	size_t index = 0;

	if (!d->path) {
		log_info("there is no configuration file to read again");
		return;
	}
	config = config_load(d->path, &error);
	if (!config) {
		log_error("%s; nothing has changed", error.message);
		return;
	}
	while ((key = config_fixed_change(d->config, config, &index)) != NULL)
		log_warning("%s: %s has changed, which takes a restart", d->path, key);
	log_open(config->log.target, config->log.level);
	tell_all(d, WORKER_RELOAD, config);
	config_unref(d->config);
	d->config = config;
	log_info("%s: read again", d->path);
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
		log_info(d->draining ? "ending now" : "finishing what is running");
		tell_all(d, d->draining ? WORKER_STOP : WORKER_DRAIN, NULL);
		d->draining = true;
		break;
	}
}

static void run(struct daemon *d)
{
	struct pollfd fds[2] = {
	    {.fd = d->signal_fd, .events = POLLIN}, {.fd = d->ended_fds[0], .events = POLLIN}};
	char byte;

	while (d->ended < d->worker_count) {
		if (poll(fds, 2, -1) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (fds[0].revents & POLLIN)
			on_signal(d);
		if ((fds[1].revents & POLLIN) && read(d->ended_fds[0], &byte, 1) == 1)
			d->ended++;
	}
}

static void log_totals(const struct daemon *d)
{
	const struct metrics *sets[WORKERS_MAX];

	for (size_t i = 0; i < d->worker_count; i++)
		sets[i] = worker_metrics(d->workers[i]);
	for (int m = 0; m < METRIC_COUNT; m++)
		log_debug("%s %llu", metrics_name((enum metric)m),
		    (unsigned long long)metrics_sum(sets, d->worker_count, (enum metric)m));
}

static int serve(struct daemon *d)
{
	if (start_workers(d) != 0) {
		tell_all(d, WORKER_STOP, NULL);
		return -1;
	}
	run(d);
	log_totals(d);
	log_info("ended");
	return 0;
}

int daemon_run(const char *path, struct config *config)
{
	struct daemon d = {.path = path, .config = config};
	int result = -1;

	log_open(config->log.target, config->log.level);
	event_set_log_callback(on_libevent_log);
	raise_descriptor_limit();
	d.signal_fd = watch_signals();
	if (d.signal_fd < 0 || pipe(d.ended_fds) != 0) {
		log_error("cannot start: %s", strerror(errno));
	} else {
		result = serve(&d);
		for (size_t i = 0; i < d.worker_count; i++)
			worker_free(d.workers[i]);
		places_done(&d.places);
		close(d.ended_fds[0]);
		close(d.ended_fds[1]);
	}
	if (d.signal_fd >= 0)
		close(d.signal_fd);
	config_unref(d.config);
	return result;
}
