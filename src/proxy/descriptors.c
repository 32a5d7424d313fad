#include "proxy/descriptors.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "proxy/config.h"

#define FOR_PROCESS 32 /* standard streams, signals, reports, syslog, files being read */
#define FOR_WORKER 64  /* event loop, orders, access log, resolver, spare pipes */
#define FOR_CLIENT 2
#define FOR_FLOW 4 /* two pipes */

struct descriptors descriptors_of(const struct config *config, size_t workers)
{
	uint64_t clients = (uint64_t)config->limits.rules.clients;
	uint64_t worker = FOR_WORKER + config->listen_count + (uint64_t)config->limits.pool;
	struct descriptors d = {.needed = FOR_PROCESS + workers * worker + FOR_CLIENT * clients};

	d.wished = d.needed + FOR_FLOW * clients;
	return d;
}

static uint64_t number_of(rlim_t limit)
{
	return limit == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit;
}

uint64_t descriptors_allowed(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? number_of(limit.rlim_max) : 0;
}

/* What the limit is then. */
static uint64_t raise_to(uint64_t wished)
{
	struct rlimit limit, privileged;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (number_of(limit.rlim_cur) >= wished)
		return number_of(limit.rlim_cur);
	privileged.rlim_cur = wished;
	privileged.rlim_max = number_of(limit.rlim_max) < wished ? wished : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &privileged) == 0)
		return wished;
	/* Only root may go beyond the hard limit, and nobody beyond fs.nr_open. */
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("cannot raise the limit of open files: %s, ignoring", strerror(errno));
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? number_of(limit.rlim_cur) : 0;
}

void descriptors_raise(const struct config *config, size_t workers)
{
	struct descriptors d = descriptors_of(config, workers);
	uint64_t got = raise_to(d.wished);

	if (got < d.needed)
		log_warning("%" PRIu64 " open files are allowed, but %zu workers with "
			    "limits.clients = %d and limits.pool = %d may need %" PRIu64
			    ": raise the limit (LimitNOFILE, ulimit -n), or lower these",
		    got, workers, config->limits.rules.clients, config->limits.pool, d.needed);
}
