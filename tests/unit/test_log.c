#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define STAMP "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

/* stderr goes to a pipe while the test runs. */
struct capture {
	int read_fd, saved_fd;
	char bytes[16384];
};

static struct capture capture_start(void)
{
	struct capture c = {0};
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	fflush(stderr);
	c.saved_fd = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	c.read_fd = fds[0];
	return c;
}

/* The bytes that came, as a string; stderr is what it was. */
static const char *capture_end(struct capture *c)
{
	size_t len = 0;
	ssize_t n;

	dup2(c->saved_fd, STDERR_FILENO);
	close(c->saved_fd);
	while ((n = read(c->read_fd, c->bytes + len, sizeof(c->bytes) - 1 - len)) > 0)
		len += (size_t)n;
	close(c->read_fd);
	c->bytes[len] = '\0';
	return c->bytes;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t re;
	int result;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	result = regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	if (result != 0)
		fail_msg("\"%s\" does not match \"%s\"", text, pattern);
}

static void log_one(enum log_level level, const char *text)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		log_error("%s", text);
		break;
	case LOG_LEVEL_WARNING:
		log_warning("%s", text);
		break;
	case LOG_LEVEL_INFO:
		log_info("%s", text);
		break;
	case LOG_LEVEL_DEBUG:
		log_debug("%s", text);
		break;
	}
}

static void test_levels(void **state)
{
	static const char *const lines[] = {STAMP "error: hello\n$", STAMP "warning: hello\n$",
	    STAMP "info: hello\n$", STAMP "debug: hello\n$"};

	(void)state;
	unsetenv("JOURNAL_STREAM");
	for (int set = LOG_LEVEL_ERROR; set <= LOG_LEVEL_DEBUG; set++) {
		log_open(LOG_TARGET_STDERR, (enum log_level)set);
		for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
			struct capture c = capture_start();

			log_one((enum log_level)level, "hello");
			assert_matches(capture_end(&c), level <= set ? lines[level] : "^$");
		}
	}
}

static void test_journal(void **state)
{
	static const char *const lines[] = {"<3>hello\n", "<4>hello\n", "<6>hello\n", "<7>hello\n"};
	char stream[64];
	struct stat st;

	(void)state;
	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		struct capture c = capture_start();

		fstat(STDERR_FILENO, &st);
		snprintf(
		    stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
		setenv("JOURNAL_STREAM", stream, 1);
		log_open(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
		log_one((enum log_level)level, "hello");
		assert_string_equal(capture_end(&c), lines[level]);
	}
}

/* The variable is inherited, but stderr is another file by now. */
static void test_journal_of_somebody_else(void **state)
{
	static const char *const streams[] = {"", "1:1", "x", "8:999999999999999999999"};

	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		struct capture c = capture_start();

		setenv("JOURNAL_STREAM", streams[i], 1);
		log_open(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
		log_info("hello");
		assert_matches(capture_end(&c), STAMP "info: hello\n$");
	}
	unsetenv("JOURNAL_STREAM");
}

static void test_syslog_writes_nothing_to_stderr(void **state)
{
	struct capture c = capture_start();

	(void)state;
	log_open(LOG_TARGET_SYSLOG, LOG_LEVEL_ERROR);
	log_error("hello");
	log_open(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	assert_string_equal(capture_end(&c), "");
}

static void test_line_is_bounded_and_one(void **state)
{
	static const struct {
		size_t len;
		const char *end;
	} cases[] = {{2046, "xx\n"}, {2047, "xx\n"}, {2048, "x...\n"}, {9999, "x...\n"}};
	struct capture c = capture_start();
	char text[10000];
	const char *line;

	(void)state;
	log_open(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	log_info("a\nb\rc\td\x1b[0me\x7f");
	assert_matches(capture_end(&c), "info: a\\?b\\?c\\?d\\?\\[0me\\?\n$");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(text, 'x', cases[i].len);
		text[cases[i].len] = '\0';
		c = capture_start();
		log_info("%s", text);
		line = capture_end(&c);
		assert_true(strlen(line) < 2048 + 64);
		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		assert_string_equal(line + strlen(line) - strlen(cases[i].end), cases[i].end);
	}
}

static void test_errno_is_kept(void **state)
{
	struct capture c = capture_start();
	int seen;

	(void)state;
	log_open(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	close(STDERR_FILENO); /* the write fails with EBADF */
	errno = ENOENT;
	log_error("hello");
	seen = errno;
	assert_string_equal(capture_end(&c), "");
	assert_int_equal(seen, ENOENT);
}

static void test_escape(void **state)
{
	static const struct {
		const char *in;
		size_t in_len, size;
		const char *out;
	} cases[] = {
	    {"", 0, 8, ""},
	    {"plain ~text", 11, 32, "plain ~text"},
	    {"a\"b\\c", 5, 32, "a\\\"b\\\\c"},
	    {"\0\n\x1f\x7f\x80\xff", 6, 32, "\\x00\\x0a\\x1f\\x7f\\x80\\xff"},
	    {"abc", 3, 4, "abc"},
	    {"abc", 3, 3, "ab"},
	    {"abc", 3, 1, ""},
	    /* an escape fits as a whole or not at all, and nothing follows the cut */
	    {"a\nb", 3, 6, "a\\x0a"},
	    {"a\nb", 3, 5, "a"},
	    {"a\"b", 3, 4, "a\\\""},
	    {"a\"b", 3, 3, "a"},
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(out, '#', sizeof(out));
		assert_int_equal(log_escape(out, cases[i].size, cases[i].in, cases[i].in_len),
		    strlen(cases[i].out));
		assert_string_equal(out, cases[i].out);
	}
	out[0] = '#';
	assert_int_equal(log_escape(out, 0, "x", 1), 0);
	assert_int_equal(out[0], '#');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_journal),
	    cmocka_unit_test(test_journal_of_somebody_else),
	    cmocka_unit_test(test_syslog_writes_nothing_to_stderr),
	    cmocka_unit_test(test_line_is_bounded_and_one),
	    cmocka_unit_test(test_errno_is_kept),
	    cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
