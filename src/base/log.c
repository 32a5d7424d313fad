#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* A longer message is cut and ends in "...". */
#define LOG_MESSAGE_MAX 2048
/* Time stamp, level and line end around the message. */
#define LOG_LINE_MAX (LOG_MESSAGE_MAX + 64)

enum log_sink { LOG_SINK_STDERR, LOG_SINK_JOURNAL, LOG_SINK_SYSLOG };

static _Atomic int current_level = LOG_LEVEL_INFO;
static _Atomic int current_sink = LOG_SINK_STDERR;

static _Atomic time_t told_at[LOG_TOPIC_COUNT];

static const struct {
	const char *name;
	int priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
    [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
    [LOG_LEVEL_INFO] = {"info", LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

/*
 * Does our stderr go to the journal?  systemd.exec(5): JOURNAL_STREAM is
 * "device:inode" of the stream.  The variable is inherited by children whose
 * stderr was sent elsewhere, so the numbers have to match.
 */
static bool log_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char expected[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(expected, sizeof(expected), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, expected) == 0;
}

void log_open(enum log_target target, enum log_level level)
{
	enum log_sink sink = LOG_SINK_SYSLOG;

	if (target == LOG_TARGET_STDERR)
		sink = log_stderr_is_journal() ? LOG_SINK_JOURNAL : LOG_SINK_STDERR;
	else /* at once: privileges may be gone when the first message comes */
		openlog("penstock", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&current_sink, (int)sink, memory_order_relaxed);
}

static bool log_is_on(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* "2026-11-23T12:00:00.123Z info: " or "<6>".  Returns its length. */
static size_t log_prefix(char *out, size_t size, enum log_sink sink, enum log_level level)
{
	struct timespec now;
	struct tm utc;
	size_t len;

	if (sink == LOG_SINK_JOURNAL)
		return (size_t)snprintf(out, size, "<%d>", levels[level].priority);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
	return len + (size_t)snprintf(out + len, size - len,
			 ".%03dZ %s: ", (int)(now.tv_nsec / 1000000), levels[level].name);
}

/* One write, so that lines of several threads do not mix.  What fails is lost: nowhere to say so.
 */
static void log_write_line(const char *line, size_t len)
{
	ssize_t n;

	do
		n = write(STDERR_FILENO, line, len);
	while (n < 0 && errno == EINTR);
}

static void log_message(enum log_level level, const char *format, va_list args) PRINTF_LIKE(2, 0);

static void log_message(enum log_level level, const char *format, va_list args)
{
	enum log_sink sink =
	    (enum log_sink)atomic_load_explicit(&current_sink, memory_order_relaxed);
	int saved_errno = errno;
	char line[LOG_LINE_MAX];
	char *message;
	size_t at = 0, len;
	int wanted;

	if (!log_is_on(level))
		return;
	if (sink != LOG_SINK_SYSLOG)
		at = log_prefix(line, sizeof(line), sink, level);
	message = line + at;
	errno = saved_errno; /* for %m */
	wanted = vsnprintf(message, LOG_MESSAGE_MAX, format, args);
	len = wanted < 0 ? 0 : (size_t)wanted;
	if (len >= LOG_MESSAGE_MAX) {
		len = LOG_MESSAGE_MAX - 1;
		memset(message + len - 3, '.', 3);
	}
	/* A caller that forgot to escape must not let a peer write lines of its own. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)message[i] < ' ' || message[i] == 0x7f)
			message[i] = '?';
	if (sink == LOG_SINK_SYSLOG) {
		syslog(levels[level].priority, "%.*s", (int)len, message);
	} else {
		message[len] = '\n';
		log_write_line(line, at + len + 1);
	}
	errno = saved_errno;
}

bool log_is_due(enum log_topic topic)
{
	time_t last = atomic_load_explicit(&told_at[topic], memory_order_relaxed);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec > last && atomic_compare_exchange_strong_explicit(&told_at[topic], &last,
					now.tv_sec, memory_order_relaxed, memory_order_relaxed);
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_ERROR, format, args);
	va_end(args);
}

void log_warning(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_WARNING, format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_INFO, format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_message(LOG_LEVEL_DEBUG, format, args);
	va_end(args);
}

/* How one byte is written: 1, 2 or 4 characters into out. */
static size_t log_escape_byte(char out[4], unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c >= ' ' && c <= '~') {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[c >> 4];
	out[3] = hex[c & 15];
	return 4;
}

size_t log_escape(char *out, size_t size, const char *text, size_t len)
{
	size_t at = 0;

	if (size == 0)
		return 0;
	for (size_t i = 0; i < len; i++) {
		char piece[4];
		size_t n = log_escape_byte(piece, (unsigned char)text[i]);

		if (n >= size - at)
			break;
		memcpy(out + at, piece, n);
		at += n;
	}
	out[at] = '\0';
	return at;
}
