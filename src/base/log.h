/*
 * log -- writes the daemon's own messages.
 *
 * One line a message, one write(2) a line, safe from any thread.  The target and
 * level are process-wide and set before threads start, or while they run (the
 * level is atomic).  Whatever a peer or a file supplied is passed through
 * log_escape by the caller; a control that slips through becomes '?'.  A message
 * is cut at 2 KiB.  errno is left as it was.  Before log_open: stderr, info.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* STDERR prefixes a time stamp, or "<N>" priorities when JOURNAL_STREAM names our stderr. */
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

void log_open(enum log_target target, enum log_level level);

void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *format, ...) PRINTF_LIKE(1, 2);

/*
 * What comes in swarms is told once a second, by one thread: whether that is now.  Say what it is
 * by the topic.
 */
enum log_topic { LOG_TOPIC_ACCEPT, LOG_TOPIC_COUNT };
bool log_is_due(enum log_topic topic);

/*
 * Write text to out so that it fits one line and one field: controls, DEL, bytes
 * over 0x7e, the double quote and the backslash become \xhh (\" and \\ for the
 * last two).  Always terminates; what does not fit is cut, never in the middle
 * of an escape.  Returns the length written.
 */
size_t log_escape(char *out, size_t size, const char *text, size_t len);

#endif
