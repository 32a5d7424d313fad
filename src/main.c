#include <event2/event.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/recycle.h"
#include "base/sandbox.h"
#include "base/spare.h"
#include "proxy/config.h"
#include "proxy/daemon.h"
#include "proxy/explain.h"
#include "proxy/passwd.h"
#include "proxy/rehearsal.h"

struct options {
	const char *path; /* NULL: the built-in defaults */
	bool test, print;
	struct explain_question question; /* its request NULL: there is none */
	const char *passwd;               /* the user's name; NULL: no */
};

/* ---- options ---------------------------------------------------------------------------- */

static const char usage[] =
    "usage: penstock [-c FILE] [-t | -T]\n"
    "       penstock [-c FILE] --explain 'CLIENT [USER] METHOD URL' [--address ADDRESS]...\n"
    "                [--at 'YYYY-MM-DD HH:MM'] [--listener NAME]\n"
    "       penstock --passwd NAME\n"
    "       penstock -V | -h\n"
    "\n"
    "A streaming forward HTTP proxy.  Runs in the foreground.\n"
    "\n"
    "  -c FILE  read the configuration from FILE; without it the built-in defaults\n"
    "           hold: 127.0.0.1 port 3128, for clients on this machine\n"
    "  -t       check the configuration, and what a start needs, and exit: 0 when all is\n"
    "           good, 78 when the file is not, 71 when a start would fail\n"
    "  -T       print the effective configuration and exit\n"
    "  --passwd NAME\n"
    "           read a password and print a line with its hash for the file of auth.users\n"
    "  -V       print the versions and what is built in, and exit\n"
    "  -h       print this and exit\n"
    "\n"
    "  --explain 'CLIENT [USER] METHOD URL'\n"
    "           say whether that request would be allowed or denied, by which rule and why,\n"
    "           and exit: 0 when allowed, 1 when denied, 64 when it is no request.  Asks no\n"
    "           name server: --address says where the name leads (up to 16 times), --at the\n"
    "           local time if not now, --listener where the client came in\n"
    "\n"
    "SIGHUP reads the configuration again, SIGUSR1 opens the log files again, SIGTERM\n"
    "finishes what is running and ends, a second SIGTERM ends at once.\n";

static void print_versions(void)
{
	printf("penstock " PENSTOCK_VERSION "\nlibevent %s\n", event_get_version());
	printf("sandbox: %s\n", sandbox_is_built() ? "built in" : "not in this build");
}

/* Returns -1 to go on, else the exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {{"explain", required_argument, NULL, 'e'},
	    {"address", required_argument, NULL, 'a'}, {"at", required_argument, NULL, '@'},
	    {"listener", required_argument, NULL, 'l'}, {"passwd", required_argument, NULL, 'p'},
	    {"version", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	struct explain_question *question = &options->question;
	int c;

	while ((c = getopt_long(argc, argv, "c:tTVh", long_options, NULL)) != -1) {
		switch (c) {
		case 'e':
			question->request = optarg;
			break;
		case 'a':
			if (question->address_count == EXPLAIN_ADDRESSES_MAX) {
				fputs("penstock: too many addresses\n", stderr);
				return EX_USAGE;
			}
			question->addresses[question->address_count++] = optarg;
			break;
		case '@':
			question->at = optarg;
			break;
		case 'l':
			question->listener = optarg;
			break;
		case 'c':
			options->path = optarg;
			break;
		case 't':
			options->test = true;
			break;
		case 'T':
			options->print = true;
			break;
		case 'p':
			options->passwd = optarg;
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
	if (!question->request &&
	    (question->address_count > 0 || question->at || question->listener)) {
		fputs("penstock: --address, --at and --listener go with --explain\n", stderr);
		return EX_USAGE;
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "penstock: unexpected argument '%s'\n%s", argv[optind], usage);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct config_error error;
	struct config *config;
	int status = read_options(argc, argv, &options);

	if (status >= 0)
		return status;
	if (options.passwd)
		return passwd_run(options.passwd);
	event_set_mem_functions(spare_alloc, realloc, recycle_free);
	config = config_load(options.path, &error);
	if (!config) {
		fprintf(stderr, "penstock: %s\n", error.message);
		return EX_CONFIG;
	}
	if (options.question.request) {
		status = explain_run(config, options.path ? options.path : "the built-in defaults",
		    &options.question, stdout, stderr);
		config_unref(config);
		return status;
	}
	if (!options.print && !options.test)
		return daemon_run(options.path, config) == 0 ? EX_OK : EX_OSERR;
	status = EX_OK;
	if (options.print)
		config_print(config, stdout);
	else if (rehearsal_run(config, stdout, stderr) != 0)
		status = EX_OSERR;
	else
		printf("%s: good\n", options.path ? options.path : "the built-in defaults");
	config_unref(config);
	return status;
}
