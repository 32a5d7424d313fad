/*
 * accesslog -- one line per finished exchange.
 *
 * Combined log format, then fields of ours:
 *   client - user [time] "METHOD target HTTP/1.1" status down "referer" "user-agent"
 *   duration_ms up destination end
 * Everything that a peer supplied is escaped (log_escape).  "-" where there is
 * nothing.  Lines are buffered and written whole, at the latest after a second;
 * each worker has its own accesslog on the same file (O_APPEND).
 */
#ifndef PROXY_ACCESSLOG_H
#define PROXY_ACCESSLOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/attr.h"
#include "base/slice.h"
#include "net/addr.h"

struct accesslog;
struct event_base;

struct accesslog_entry {
	struct addr client;
	const char *user; /* NULL: none */
	time_t began;
	struct slice method, target; /* empty when there was no request that could be read */
	int minor;
	int status;        /* sent to the client; 0: none */
	uint64_t down, up; /* body bytes to the client, to the origin */
	struct slice referer, agent;
	uint64_t duration_ms;
	struct addr destination; /* family 0: none */
	const char *end;         /* "ok", or the token of a failure */
};

/* path: a file, "-" for standard output, "" for nowhere.  NULL with errno set. */
struct accesslog *accesslog_new(struct event_base *base, const char *path);
void accesslog_free(struct accesslog *log); /* writes what is left */

void accesslog_write(struct accesslog *log, const struct accesslog_entry *entry);

/* Write what is left to the old file, then open the path anew.  -1 with errno: the old one is kept.
 */
MUST_USE int accesslog_reopen(struct accesslog *log);

/* Likewise, and go on at another path. */
MUST_USE int accesslog_move(struct accesslog *log, const char *path);

/*
 * Whether it could be opened.  create: a file that is not there is made; else that is only
 * thought through.  -1 with errno.
 */
MUST_USE int accesslog_try(const char *path, bool create);

#endif
