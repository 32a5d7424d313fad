#include "proxy/accesslog.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "http/target.h"

#define BUFFER_SIZE (64 * 1024)
#define FLUSH_AFTER_S 1
#define WARN_EVERY_S 60

/* What one field may take in a line, escapes included; longer ones are cut. */
#define METHOD_SIZE 128
#define USER_SIZE 256
#define TARGET_SIZE 8192
#define REFERER_SIZE 2048
#define AGENT_SIZE 1024
/* With room for the numbers, addresses, marks and the line's end. */
#define LINE_SIZE (METHOD_SIZE + USER_SIZE + TARGET_SIZE + REFERER_SIZE + AGENT_SIZE + 512)

struct accesslog {
	char *path;
	int fd;       /* -1: nowhere */
	bool regular; /* a file, where a write of any size is one piece and does not wait */
	bool torn;    /* the last write ended within a line */
	struct event *timer;
	time_t stamp_of;
	char stamp[40]; /* "[23/Nov/2026:12:00:00 +0000]" for stamp_of */
	uint64_t lost;  /* lines, since the last warning */
	bool warned;
	time_t warned_at; /* monotonic */
	size_t used;
	char buffer[BUFFER_SIZE];
};

/* ---- writing out ------------------------------------------------------------------------ */

static size_t count_lines(const char *from, size_t len)
{
	const char *end = from + len;
	size_t lines = 0;

	while ((from = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		lines++;
		from++;
	}
	return lines;
}

/* Count lost lines; say so at most once in WARN_EVERY_S. */
static void lose(struct accesslog *log, size_t lines, int error)
{
	struct timespec now = {0};

	log->lost += lines;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (log->warned && now.tv_sec - log->warned_at < WARN_EVERY_S)
		return;
	log_warning("cannot write to the access log: %s, %llu lines lost, ignoring",
	    strerror(error), (unsigned long long)log->lost);
	log->warned = true;
	log->warned_at = now.tv_sec;
	log->lost = 0;
}

/*
 * How much goes into the next write.  A pipe or socket takes no more than PIPE_BUF
 * at once without waiting or mixing it with what other workers write, so there it is
 * as many whole lines as fit, or a piece of a line that is longer.
 */
static size_t piece_length(const struct accesslog *log, const char *from, size_t len)
{
	const char *end;

	if (log->regular || len <= PIPE_BUF)
		return len;
	end = memrchr(from, '\n', PIPE_BUF);
	return end ? (size_t)(end - from) + 1 : PIPE_BUF;
}

/* A full pipe is an error, not a reason to wait: the worker has others to serve. */
static ssize_t write_piece(const struct accesslog *log, const char *from, size_t len)
{
	struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
	ssize_t n;

	if (!log->regular && poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	do
		n = write(log->fd, from, len);
	while (n < 0 && errno == EINTR);
	return n;
}

static void flush(struct accesslog *log)
{
	size_t done = 0;

	event_del(log->timer);
	while (done < log->used) {
		size_t len = piece_length(log, log->buffer + done, log->used - done);
		ssize_t n = write_piece(log, log->buffer + done, len);
		int error = n < 0 ? errno : ENOSPC;

		done += n < 0 ? 0 : (size_t)n;
		if (n < 0 || (size_t)n < len) {
			lose(log,
			    count_lines(log->buffer + done, log->used - done) -
				(done == 0 && log->torn),
			    error);
			break;
		}
	}
	if (done > 0)
		log->torn = log->buffer[done - 1] != '\n';
	log->used = 0;
}

static void accesslog_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

/* ---- opening ---------------------------------------------------------------------------- */

/* Not blocking: neither opening nor writing may wait, whatever the path names. */
static int open_path(const char *path)
{
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	return strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
				      : open(path, flags, 0640);
}

/* Closes what was open.  An empty path is no file. */
static int open_target(struct accesslog *log, const char *path)
{
	struct stat info;
	int fd = path[0] == '\0' ? -1 : open_path(path);

	if (fd < 0 && path[0] != '\0')
		return -1;
	if (log->fd >= 0)
		close(log->fd);
	log->fd = fd;
	log->regular = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
	return 0;
}

/* Whether a file could be made there. */
static int try_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash          ? strdup(".")
		       : slash == path ? strdup("/")
				       : strndup(path, (size_t)(slash - path));
	int result;

	if (!folder)
		return -1;
	result = faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS);
	free(folder);
	return result;
}

int accesslog_try(const char *path, bool create)
{
	struct stat info;
	int fd;

	if (path[0] == '\0' || strcmp(path, "-") == 0)
		return 0;
	if (create) {
		fd = open_path(path);
		return fd < 0 ? -1 : close(fd);
	}
	/* Not opened: whoever reads from a pipe would see its end when it is closed again. */
	if (stat(path, &info) != 0)
		return errno == ENOENT ? try_folder(path) : -1;
	if (S_ISDIR(info.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS);
}

struct accesslog *accesslog_new(struct event_base *base, const char *path)
{
	struct accesslog *log = calloc(1, sizeof(*log));
	int error = ENOMEM;

	if (!log)
		return NULL;
	log->fd = -1;
	log->path = strdup(path);
	log->timer = event_new(base, -1, 0, accesslog_on_timer, log);
	if (log->path && log->timer) {
		if (open_target(log, path) == 0)
			return log;
		error = errno;
	}
	accesslog_free(log);
	errno = error;
	return NULL;
}

void accesslog_free(struct accesslog *log)
{
	if (!log)
		return;
	if (log->timer) {
		flush(log);
		event_free(log->timer);
	}
	if (log->fd >= 0)
		close(log->fd);
	free(log->path);
	free(log);
}

int accesslog_reopen(struct accesslog *log)
{
	if (log->fd < 0)
		return 0;
	flush(log);
	if (open_target(log, log->path) != 0)
		return -1;
	log->torn = false;
	return 0;
}

int accesslog_move(struct accesslog *log, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -1;
	flush(log);
	if (open_target(log, path) != 0) {
		free(copy);
		return -1;
	}
	log->torn = false;
	free(log->path);
	log->path = copy;
	return 0;
}

/* ---- one line --------------------------------------------------------------------------- */

static void put(struct accesslog *log, struct slice text)
{
	memcpy(log->buffer + log->used, text.ptr, text.len);
	log->used += text.len;
}

static void put_string(struct accesslog *log, const char *text)
{
	put(log, slice_of(text));
}

static void put_number(struct accesslog *log, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	put(log, (struct slice){digits + at, sizeof(digits) - at});
}

/* At most size - 1 bytes; "-" for an empty text. */
static void put_escaped(struct accesslog *log, struct slice text, size_t size)
{
	if (text.len == 0)
		put(log, SLICE("-"));
	else
		log->used += log_escape(log->buffer + log->used, size, text.ptr, text.len);
}

/* Stands without quotes, so its spaces are escaped too. */
static void put_user(struct accesslog *log, const char *user)
{
	size_t end = log->used + USER_SIZE;

	if (!user || user[0] == '\0') {
		put(log, SLICE("-"));
		return;
	}
	for (; *user != '\0' && end - log->used > sizeof("\\x20"); user++) {
		if (*user == ' ')
			put(log, SLICE("\\x20"));
		else
			put_escaped(log, (struct slice){user, 1}, end - log->used);
	}
}

static void put_time(struct accesslog *log, time_t when)
{
	struct tm local;

	if (log->stamp[0] == '\0' || when != log->stamp_of) {
		if (!localtime_r(&when, &local) ||
		    strftime(log->stamp, sizeof(log->stamp), "[%d/%b/%Y:%H:%M:%S %z]", &local) == 0)
			strcpy(log->stamp, "[-]");
		log->stamp_of = when;
	}
	put_string(log, log->stamp);
}

static void put_client(struct accesslog *log, const struct addr *client)
{
	char text[ADDR_TEXT_MAX] = "-";

	if (client->family != 0)
		addr_format_ip(client, text);
	put_string(log, text);
}

static void put_destination(struct accesslog *log, const struct addr *destination)
{
	char text[ADDR_TEXT_MAX] = "-";

	if (destination->family != 0)
		addr_format(destination, text);
	put_string(log, text);
}

/* Without a user name and password in front of the host. */
static void put_target(struct accesslog *log, struct slice target)
{
	struct slice secret = target_secret(target);
	const char *behind = secret.ptr + secret.len;
	size_t end = log->used + TARGET_SIZE;

	if (secret.len == 0) {
		put_escaped(log, target, TARGET_SIZE);
		return;
	}
	if (secret.ptr > target.ptr)
		put_escaped(log, (struct slice){target.ptr, (size_t)(secret.ptr - target.ptr)},
		    TARGET_SIZE);
	put_escaped(log, (struct slice){behind, (size_t)(target.ptr + target.len - behind)},
	    end - log->used);
}

static void put_request(struct accesslog *log, const struct accesslog_entry *entry)
{
	if (entry->method.len == 0) {
		put(log, SLICE("-"));
		return;
	}
	put_escaped(log, entry->method, METHOD_SIZE);
	put(log, SLICE(" "));
	put_target(log, entry->target);
	put(log, entry->minor == 0 ? SLICE(" HTTP/1.0") : SLICE(" HTTP/1.1"));
}

/* Needs LINE_SIZE of room. */
static void put_line(struct accesslog *log, const struct accesslog_entry *entry)
{
	put_client(log, &entry->client);
	put(log, SLICE(" - "));
	put_user(log, entry->user);
	put(log, SLICE(" "));
	put_time(log, entry->began);
	put(log, SLICE(" \""));
	put_request(log, entry);
	put(log, SLICE("\" "));
	if (entry->status == 0)
		put(log, SLICE("-"));
	else
		put_number(log, (uint64_t)entry->status);
	put(log, SLICE(" "));
	put_number(log, entry->down);
	put(log, SLICE(" \""));
	put_escaped(log, entry->referer, REFERER_SIZE);
	put(log, SLICE("\" \""));
	put_escaped(log, entry->agent, AGENT_SIZE);
	put(log, SLICE("\" "));
	put_number(log, entry->duration_ms);
	put(log, SLICE(" "));
	put_number(log, entry->up);
	put(log, SLICE(" "));
	put_destination(log, &entry->destination);
	put(log, SLICE(" "));
	put_string(log, entry->end);
	put(log, SLICE("\n"));
}

void accesslog_write(struct accesslog *log, const struct accesslog_entry *entry)
{
	static const struct timeval delay = {FLUSH_AFTER_S, 0};

	if (log->fd < 0)
		return;
	if (BUFFER_SIZE - log->used < LINE_SIZE)
		flush(log);
	if (log->used == 0 && log->torn)
		put(log, SLICE("\n"));
	put_line(log, entry);
	if (!event_pending(log->timer, EV_TIMEOUT, NULL) && event_add(log->timer, &delay) < 0)
		flush(log);
}
