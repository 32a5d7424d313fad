#include "proxy/accesslog.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

/* Lines are written when so much has gathered, or after a second. */
#define ACCESSLOG_BUFFER 65536

/* What a peer supplied is cut to this much, so that a line has a bound. */
#define ACCESSLOG_FIELD_MAX 8192

/* While writing fails, one complaint in so many seconds. */
#define ACCESSLOG_QUIET_S 60

struct accesslog {
	char *path;
	int fd; /* -1: nowhere */
	struct text lines;
	struct event timer;
	bool waiting;   /* the timer is set */
	time_t stamped; /* the second that stamp is of */
	char stamp[40];
	time_t complained;
	uint64_t lost;
};

static int accesslog_open(const char *path)
{
	if (strcmp(path, "-") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static void accesslog_complain(struct accesslog *log, int error)
{
	time_t now = time(NULL);

	log->lost++;
	if (log->complained != 0 && now - log->complained < ACCESSLOG_QUIET_S)
		return;
	log->complained = now;
	log_warning("cannot write to the access log: %s, %llu pieces lost so far, ignoring",
	    strerror(error), (unsigned long long)log->lost);
}

static void accesslog_flush(struct accesslog *log)
{
	size_t done = 0;

	while (done < log->lines.len) {
		ssize_t n = write(log->fd, log->lines.ptr + done, log->lines.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			accesslog_complain(log, errno);
			break;
		}
		done += (size_t)n;
	}
	/* A burst does not hold its memory for ever, and a failed text starts anew. */
	if (log->lines.size > 2 * ACCESSLOG_BUFFER || log->lines.failed)
		text_done(&log->lines);
	text_clear(&log->lines);
}

static void accesslog_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct accesslog *log = arg;

	(void)fd;
	(void)what;
	log->waiting = false;
	accesslog_flush(log);
}

struct accesslog *accesslog_new(struct event_base *base, const char *path)
{
	struct accesslog *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	log->fd = -1;
	log->path = strdup(path);
	evtimer_assign(&log->timer, base, accesslog_on_timer, log);
	if (log->path && path[0] != '\0')
		log->fd = accesslog_open(path);
	if (log->path && (path[0] == '\0' || log->fd >= 0))
		return log;
	free(log->path);
	free(log);
	return NULL;
}

void accesslog_free(struct accesslog *log)
{
	if (!log)
		return;
	event_del(&log->timer);
	accesslog_flush(log);
	if (log->fd >= 0)
		close(log->fd);
	text_done(&log->lines);
	free(log->path);
	free(log);
}

int accesslog_reopen(struct accesslog *log)
{
	int fd;

	if (log->fd < 0)
		return 0;
	fd = accesslog_open(log->path);
	if (fd < 0)
		return -1;
	accesslog_flush(log);
	close(log->fd);
	log->fd = fd;
	return 0;
}

/* ---- one line --------------------------------------------------------------------------- */

static void add_escaped(struct text *out, struct slice s)
{
	char piece[1024];

	if (s.len > ACCESSLOG_FIELD_MAX)
		s.len = ACCESSLOG_FIELD_MAX;
	while (s.len > 0) {
		/* An escape takes four bytes at most. */
		size_t n = s.len < sizeof(piece) / 4 - 1 ? s.len : sizeof(piece) / 4 - 1;

		text_add(out, piece, log_escape(piece, sizeof(piece), s.ptr, n));
		s.ptr += n;
		s.len -= n;
	}
}

static void add_quoted(struct text *out, struct slice s)
{
	text_add_slice(out, SLICE(" \""));
	if (s.len > 0)
		add_escaped(out, s);
	else
		text_add_slice(out, SLICE("-"));
	text_add_slice(out, SLICE("\""));
}

static void add_time(struct accesslog *log, time_t when)
{
	static const char months[12][4] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct text stamp = {0};
	struct tm tm;
	long zone;

	if (when != log->stamped && localtime_r(&when, &tm)) {
		zone = tm.tm_gmtoff / 60;
		text_add_format(&stamp, "[%02d/%s/%04d:%02d:%02d:%02d %c%02ld%02ld]", tm.tm_mday,
		    months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
		    zone < 0 ? '-' : '+', labs(zone) / 60, labs(zone) % 60);
		if (!stamp.failed && stamp.len < sizeof(log->stamp)) {
			memcpy(log->stamp, stamp.ptr, stamp.len + 1);
			log->stamped = when;
		}
		text_done(&stamp);
	}
	text_add_string(&log->lines, log->stamp);
}

static void add_request(struct text *out, const struct accesslog_entry *entry)
{
	if (entry->method.len == 0) {
		text_add_slice(out, SLICE(" \"-\""));
		return;
	}
	text_add_slice(out, SLICE(" \""));
	add_escaped(out, entry->method);
	text_add_slice(out, SLICE(" "));
	add_escaped(out, entry->target);
	text_add_slice(out, entry->minor == 0 ? SLICE(" HTTP/1.0\"") : SLICE(" HTTP/1.1\""));
}

/* A number, or "-" for what there is not. */
static void add_number(struct text *out, bool there, uint64_t number)
{
	text_add_slice(out, SLICE(" "));
	if (there)
		text_add_number(out, number);
	else
		text_add_slice(out, SLICE("-"));
}

void accesslog_write(struct accesslog *log, const struct accesslog_entry *entry)
{
	struct timeval second = {1, 0};
	struct text *out = &log->lines;
	char address[ADDR_TEXT_MAX];

	if (log->fd < 0)
		return;
	addr_format_ip(&entry->client, address);
	text_add_string(out, address);
	text_add_slice(out, SLICE(" - "));
	if (entry->user)
		add_escaped(out, (struct slice){entry->user, strlen(entry->user)});
	else
		text_add_slice(out, SLICE("-"));
	text_add_slice(out, SLICE(" "));
	add_time(log, entry->began);
	add_request(out, entry);
	add_number(out, entry->status != 0, (uint64_t)entry->status);
	add_number(out, true, entry->down);
	add_quoted(out, entry->referer);
	add_quoted(out, entry->agent);
	add_number(out, true, entry->duration_ms);
	add_number(out, true, entry->up);
	text_add_slice(out, SLICE(" "));
	if (entry->destination.family != 0) {
		addr_format(&entry->destination, address);
		text_add_string(out, address);
	} else {
		text_add_slice(out, SLICE("-"));
	}
	text_add_slice(out, SLICE(" "));
	text_add_string(out, entry->end);
	text_add_slice(out, SLICE("\n"));
	if (out->failed || out->len >= ACCESSLOG_BUFFER)
		accesslog_flush(log);
	else if (!log->waiting)
		log->waiting = event_add(&log->timer, &second) == 0;
}
