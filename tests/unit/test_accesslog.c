#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/accesslog.h"

struct place {
	struct event_base *base;
	char folder[64], path[80], aside[80];
};

static int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->folder, "/tmp/test_accesslog.XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof(p->path), "%s/log", p->folder);
	snprintf(p->aside, sizeof(p->aside), "%s/log.1", p->folder);
	p->base = event_base_new();
	assert_non_null(p->base);
	/* 2026-11-23 12:00:00 UTC is 17:45 there. */
	setenv("TZ", "<+0545>-5:45", 1);
	tzset();
	*state = p;
	return 0;
}

static int place_clear(void **state)
{
	struct place *p = *state;

	unlink(p->path);
	unlink(p->aside);
	rmdir(p->folder);
	event_base_free(p->base);
	free(p);
	return 0;
}

/* The whole file, terminated.  The caller frees it. */
static char *contents(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 2 * 1024 * 1024);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 2 * 1024 * 1024 - 1, file) < 2 * 1024 * 1024 - 1);
	fclose(file);
	return text;
}

static struct addr address(const char *text, uint16_t port)
{
	struct addr addr;

	assert_int_equal(addr_parse(slice_of(text), &addr), 0);
	addr.port = port;
	return addr;
}

static struct accesslog_entry plain_entry(void)
{
	return (struct accesslog_entry){.client = address("192.0.2.7", 40000),
	    .began = 1795435200,
	    .method = SLICE("GET"),
	    .target = SLICE("http://example.com/a?b"),
	    .minor = 1,
	    .status = 200,
	    .down = 1234,
	    .up = 0,
	    .agent = SLICE("curl/7.88.1"),
	    .duration_ms = 15,
	    .destination = address("2001:db8::1", 80),
	    .end = "ok"};
}

#define STAMP "[23/Nov/2026:17:45:00 +0545]"
#define PLAIN                                                                                      \
	"192.0.2.7 - - " STAMP " \"GET http://example.com/a?b HTTP/1.1\" 200 1234 "                \
	"\"-\" \"curl/7.88.1\" 15 0 [2001:db8::1]:80 ok\n"

static void test_lines(void **state)
{
	struct place *p = *state;
	const struct {
		struct accesslog_entry entry;
		const char *line;
	} cases[] = {
	    {plain_entry(), PLAIN},
	    /* nothing that could be read, and nothing was sent */
	    {{.client = address("::1", 1), .began = 1795435201, .end = "client_gone"},
		"::1 - - [23/Nov/2026:17:45:01 +0545] \"-\" - 0 \"-\" \"-\" 0 0 - client_gone\n"},
	    {{.began = 1795435200, .end = "shutdown"},
		"- - - " STAMP " \"-\" - 0 \"-\" \"-\" 0 0 - shutdown\n"},
	    /* what a peer supplies stays in its field and in its line */
	    {{.client = address("127.0.0.1", 1),
		 .user = "jo \"q\" \n",
		 .began = 1795435200,
		 .method = SLICE("CONNECT"),
		 .target = SLICE("a\" 200\nb\xff\\:443"),
		 .minor = 0,
		 .status = 403,
		 .up = UINT64_MAX,
		 .referer = SLICE("\r\n"),
		 .agent = SLICE("\""),
		 .duration_ms = 1000,
		 .end = "port_denied"},
		"127.0.0.1 - jo\\x20\\\"q\\\"\\x20\\x0a " STAMP
		" \"CONNECT a\\\" 200\\x0ab\\xff\\\\:443 HTTP/1.0\" 403 0 \"\\x0d\\x0a\" \"\\\"\" "
		"1000 18446744073709551615 - port_denied\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct accesslog *log = accesslog_new(p->base, p->path);
		char *text;

		assert_non_null(log);
		accesslog_write(log, &cases[i].entry);
		accesslog_free(log);
		text = contents(p->path);
		assert_string_equal(text, cases[i].line);
		free(text);
		unlink(p->path);
	}
}

static void test_file_is_appended_to_and_private(void **state)
{
	struct place *p = *state;
	struct accesslog_entry entry = plain_entry();
	struct stat info;
	char *text;

	umask(0);
	for (int i = 0; i < 2; i++) {
		struct accesslog *log = accesslog_new(p->base, p->path);

		assert_non_null(log);
		accesslog_write(log, &entry);
		accesslog_free(log);
	}
	text = contents(p->path);
	assert_string_equal(text, PLAIN PLAIN);
	free(text);
	assert_int_equal(stat(p->path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0640);
}

static void test_timer_writes(void **state)
{
	struct place *p = *state;
	struct accesslog *log = accesslog_new(p->base, p->path);
	struct accesslog_entry entry = plain_entry();
	char *text;

	assert_non_null(log);
	accesslog_write(log, &entry);
	text = contents(p->path);
	assert_string_equal(text, "");
	free(text);
	/* Nothing else is in the loop: it ends when the timer has fired. */
	assert_int_equal(event_base_dispatch(p->base), 1);
	text = contents(p->path);
	assert_string_equal(text, PLAIN);
	free(text);
	accesslog_free(log);
}

static void test_full_buffer_writes_whole_lines(void **state)
{
	struct place *p = *state;
	struct accesslog *log = accesslog_new(p->base, p->path);
	struct accesslog_entry entry = plain_entry();
	size_t line = strlen(PLAIN);
	size_t len = 0;
	size_t count = 0;
	char *text;

	assert_non_null(log);
	while (len == 0) {
		struct stat info;

		accesslog_write(log, &entry);
		count++;
		assert_true(count < 65536 / line + 2);
		assert_int_equal(stat(p->path, &info), 0);
		len = (size_t)info.st_size;
	}
	assert_int_equal(len % line, 0);
	accesslog_free(log);
	text = contents(p->path);
	assert_int_equal(strlen(text), count * line);
	free(text);
}

/* The longest that can come is cut, and the line keeps its fields. */
static void test_long_fields_are_cut(void **state)
{
	struct place *p = *state;
	struct accesslog *log = accesslog_new(p->base, p->path);
	struct accesslog_entry entry = plain_entry();
	size_t size = 100000;
	char *bytes = malloc(size);
	char *text;

	assert_non_null(log);
	assert_non_null(bytes);
	memset(bytes, '\xff', size);
	bytes[size - 1] = '\0';
	entry.user = bytes;
	entry.method = entry.target = entry.referer = entry.agent = (struct slice){bytes, size};
	for (int i = 0; i < 100; i++)
		accesslog_write(log, &entry);
	accesslog_free(log);
	text = contents(p->path);
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		size_t len = strcspn(line, "\n");

		assert_true(len > 8000 && len < 16384);
		assert_memory_equal(line + len - 25, " 15 0 [2001:db8::1]:80 ok", 25);
	}
	free(text);
	free(bytes);
}

static void test_reopen(void **state)
{
	struct place *p = *state;
	struct accesslog *log = accesslog_new(p->base, p->path);
	struct accesslog_entry entry = plain_entry();
	char *text;

	assert_non_null(log);
	accesslog_write(log, &entry);
	assert_int_equal(rename(p->path, p->aside), 0);
	assert_int_equal(accesslog_reopen(log), 0);
	text = contents(p->aside);
	assert_string_equal(text, PLAIN);
	free(text);
	text = contents(p->path);
	assert_string_equal(text, "");
	free(text);

	/* A place that cannot be opened: the old file is kept. */
	assert_int_equal(unlink(p->path), 0);
	assert_int_equal(mkdir(p->path, 0700), 0);
	assert_int_equal(accesslog_reopen(log), -1);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(rmdir(p->path), 0);
	accesslog_write(log, &entry);
	accesslog_free(log);
}

static void test_nowhere(void **state)
{
	struct place *p = *state;
	struct accesslog *log = accesslog_new(p->base, "");
	struct accesslog_entry entry = plain_entry();

	assert_non_null(log);
	accesslog_write(log, &entry);
	assert_int_equal(accesslog_reopen(log), 0);
	accesslog_free(log);
	assert_null(accesslog_new(p->base, "/nonexistent/folder/log"));
	assert_int_equal(errno, ENOENT);
}

static void test_full_disk_is_survived(void **state)
{
	struct place *p = *state;
	struct accesslog *log = accesslog_new(p->base, "/dev/full");
	struct accesslog_entry entry = plain_entry();

	assert_non_null(log);
	for (int i = 0; i < 2000; i++)
		accesslog_write(log, &entry);
	accesslog_free(log);
}

/* A disk that fills up within a line: what comes when there is room again begins a line. */
static void test_torn_line_is_ended(void **state)
{
	struct place *p = *state;
	struct accesslog *log = accesslog_new(p->base, p->path);
	struct accesslog_entry entry = plain_entry();
	struct rlimit before, small;
	char *text;

	assert_non_null(log);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 150;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 2000; i++)
		accesslog_write(log, &entry);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	accesslog_free(log);
	text = contents(p->path);
	assert_true(strlen(text) > 150);
	assert_int_equal(text[150], '\n');
	assert_int_equal(strlen(text + 151) % strlen(PLAIN), 0);
	assert_memory_equal(text + 151, PLAIN, strlen(PLAIN));
	free(text);
}

/* A pipe nobody reads: lines are lost, nothing waits, and later ones begin a line. */
static void test_full_pipe_does_not_wait(void **state)
{
	struct place *p = *state;
	struct accesslog_entry entry = plain_entry();
	struct accesslog *log;
	static char got[1024 * 1024];
	ssize_t len;
	int fd;

	assert_int_equal(mkfifo(p->path, 0600), 0);
	fd = open(p->path, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	log = accesslog_new(p->base, p->path);
	assert_non_null(log);
	for (int i = 0; i < 4000; i++)
		accesslog_write(log, &entry);
	len = read(fd, got, sizeof(got));
	assert_true(len > 4096);
	assert_int_equal((size_t)len % strlen(PLAIN), 0);
	accesslog_free(log);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_lines, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(
		test_file_is_appended_to_and_private, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(test_timer_writes, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(
		test_full_buffer_writes_whole_lines, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(test_long_fields_are_cut, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(test_reopen, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(test_nowhere, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(test_full_disk_is_survived, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(test_torn_line_is_ended, place_make, place_clear),
	    cmocka_unit_test_setup_teardown(test_full_pipe_does_not_wait, place_make, place_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
