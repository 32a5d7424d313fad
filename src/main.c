#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/recycle.h"
#include "net/addr.h"
#include "net/listener.h"
#include "proxy/config.h"
#include "proxy/worker.h"

#define WORKERS_MAX 256
#define BACKLOG 4096

struct options {
	const char *path; /* NULL: the built-in defaults */
	bool test, print;
};

struct daemon {
	const char *path;
	struct config *config;
	struct worker *workers[WORKERS_MAX];
	size_t worker_count, ended;
	int signal_fd, ended_fds[2];
	bool draining;
};

/* ---- options ---------------------------------------------------------------------------- */

static const char usage[] =
    "usage: penstock [-c FILE] [-t | -T]\n"
    "       penstock -V | -h\n"
    "\n"
    "A streaming forward HTTP proxy.  Runs in the foreground.\n"
    "\n"
    "  -c FILE  read the configuration from FILE; without it the built-in defaults\n"
    "           hold: 127.0.0.1 port 3128, for clients on this machine\n"
    "  -t       check the configuration and exit: 0 when it is good, 78 when not\n"
    "  -T       print the effective configuration and exit\n"
    "  -V       print the versions and exit\n"
    "  -h       print this and exit\n"
    "\n"
    "SIGHUP reads the configuration again, SIGUSR1 opens the log files again, SIGTERM\n"
    "finishes what is running and ends, a second SIGTERM ends at once.\n";

static void print_versions(void)
{
	printf("penstock " PENSTOCK_VERSION "\nlibevent %s\n", event_get_version());
}

/* Returns -1 to go on, else the exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	int c;

	while ((c = getopt(argc, argv, "c:tTVh")) != -1) {
		switch (c) {
		case 'c':
			options->path = optarg;
			break;
		case 't':
			options->test = true;
			break;
		case 'T':
			options->print = true;
			break;
		case 'V':
			print_versions();
			return EX_OK;
		case 'h':
			fputs(usage, stdout);
			return EX_OK;
		default:
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "penstock: unexpected argument '%s'\n%s", argv[optind], usage);
	return EX_USAGE;
}

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

/* Open listener i for one more worker.  at gets the port that the kernel chose for 0. */
static int open_listener(struct addr *at, bool first)
{
	char text[ADDR_TEXT_MAX];
	int fd = first && !listener_is_free(at) ? -1 : listener_open(at, BACKLOG);

	if (fd < 0 || listener_address(fd, at) != 0) {
		addr_format(at, text);
		log_error("cannot listen on %s: %s", text, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int add_worker(struct daemon *d, struct addr *places)
{
	int fds[CONFIG_LISTEN_MAX];
	const char *error = NULL;
	size_t count = 0;
	struct worker *w;

	while (count < d->config->listen_count) {
		fds[count] = open_listener(&places[count], d->worker_count == 0);
		if (fds[count] < 0)
			break;
		count++;
	}
	w = count < d->config->listen_count
		? NULL
		: worker_new(d->config, fds, count, d->ended_fds[1], &error);
	if (w) {
		d->workers[d->worker_count++] = w;
		return 0;
	}
	if (error)
		log_error("cannot make a worker: %s", error);
	return -1;
}

static size_t wanted_workers(const struct config *config)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long count = config->workers > 0 ? config->workers : cpus;

	return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (size_t)count;
}

static int start_workers(struct daemon *d)
{
	struct addr places[CONFIG_LISTEN_MAX];
	size_t count = wanted_workers(d->config);
	char text[ADDR_TEXT_MAX];
	int error = 0;

	memcpy(places, d->config->listen, sizeof(places));
	while (d->worker_count < count) {
		if (add_worker(d, places) != 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		error = worker_start(d->workers[i]);
		if (error != 0) {
			log_error("cannot start a worker: %s", strerror(error));
			return -1;
		}
	}
	for (size_t i = 0; i < d->config->listen_count; i++) {
		addr_format(&places[i], text);
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
	int status = EX_OSERR;

	event_set_log_callback(on_libevent_log);
	raise_descriptor_limit();
	d->signal_fd = watch_signals();
	if (d->signal_fd < 0 || pipe(d->ended_fds) != 0) {
		log_error("cannot start: %s", strerror(errno));
		return status;
	}
	if (start_workers(d) == 0) {
		run(d);
		log_totals(d);
		log_info("ended");
		status = EX_OK;
	} else {
		tell_all(d, WORKER_STOP, NULL);
	}
	for (size_t i = 0; i < d->worker_count; i++)
		worker_free(d->workers[i]);
	close(d->signal_fd);
	close(d->ended_fds[0]);
	close(d->ended_fds[1]);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct daemon d = {0};
	struct config_error error;
	int status = read_options(argc, argv, &options);

	if (status >= 0)
		return status;
	event_set_mem_functions(recycle_alloc, realloc, recycle_free);
	d.path = options.path;
	d.config = config_load(options.path, &error);
	if (!d.config) {
		fprintf(stderr, "penstock: %s\n", error.message);
		return EX_CONFIG;
	}
	status = EX_OK;
	if (options.print)
		config_print(d.config, stdout);
	else if (options.test)
		printf("%s: good\n", options.path ? options.path : "the built-in defaults");
	else {
		log_open(d.config->log.target, d.config->log.level);
		status = serve(&d);
	}
	config_unref(d.config);
	return status;
}
