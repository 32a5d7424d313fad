/*
 * daemon -- the life of the process: workers, listening, signals, reload, drain.
 *
 * The main thread starts the workers and then waits for signals and for what the workers report.
 */
#ifndef PROXY_DAEMON_H
#define PROXY_DAEMON_H

#include "base/attr.h"

struct config;

/*
 * Run until told to end.  Takes config, which was loaded from path (NULL: the defaults).
 * Returns 0, or -1 when it cannot start; why is logged.
 */
MUST_USE int daemon_run(const char *path, struct config *config);

#endif
