#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/supervisor.h"

#define FIRST_FD 3

/* ---- telling ---- */

/* A socket for messages; NOTIFY_SOCKET names it. */
static int manager_open(char prefix, const char *rest)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char path[sizeof(at.sun_path)];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int len = snprintf(path, sizeof(path), "%c%s%d", prefix, rest, (int)getpid());

	memcpy(at.sun_path, path, (size_t)len);
	if (prefix == '@')
		at.sun_path[0] = '\0';
	else
		unlink(path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
	    0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static const char *manager_hears(int fd)
{
	static char message[4096];
	ssize_t n = recv(fd, message, sizeof(message) - 1, MSG_DONTWAIT);

	message[n < 0 ? 0 : n] = '\0';
	return message;
}

static void manager_close(int fd)
{
	if (getenv("NOTIFY_SOCKET")[0] == '/')
		unlink(getenv("NOTIFY_SOCKET"));
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}

static void test_without_a_manager_nothing_is_said(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_false(supervisor_is_there());
	assert_int_equal(supervisor_tell(SUPERVISOR_READY, "x"), 0);
}

static void test_messages(void **state)
{
	static const struct {
		enum supervisor_news news;
		const char *status, *message;
	} cases[] = {
	    {SUPERVISOR_READY, "2 connections", "READY=1\nSTATUS=2 connections\n"},
	    {SUPERVISOR_READY, NULL, "READY=1\n"},
	    {SUPERVISOR_STATUS, "busy", "STATUS=busy\n"},
	    {SUPERVISOR_STOPPING, "ending", "STOPPING=1\nSTATUS=ending\n"},
	    {SUPERVISOR_ALIVE, NULL, "WATCHDOG=1\n"},
	};
	static const char prefixes[] = {'/', '@'};

	(void)state;
	for (size_t p = 0; p < sizeof(prefixes); p++) {
		int fd = manager_open(prefixes[p], "tmp/penstock-test-");

		assert_true(supervisor_is_there());
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			assert_int_equal(supervisor_tell(cases[i].news, cases[i].status), 0);
			assert_string_equal(manager_hears(fd), cases[i].message);
		}
		manager_close(fd);
	}
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void test_reloading_says_when(void **state)
{
	int fd = manager_open('@', "penstock-test-");
	uint64_t before = now_us(), said;
	const char *message;
	char rest[64];

	(void)state;
	assert_int_equal(supervisor_tell(SUPERVISOR_RELOADING, "again"), 0);
	message = manager_hears(fd);
	assert_int_equal(
	    sscanf(message, "RELOADING=1\nMONOTONIC_USEC=%" SCNu64 "\n%63s", &said, rest), 2);
	assert_true(said >= before && said <= now_us());
	assert_string_equal(rest, "STATUS=again");
	manager_close(fd);
}

static void test_a_manager_that_is_gone(void **state)
{
	(void)state;
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	assert_int_equal(supervisor_tell(SUPERVISOR_READY, NULL), -1);
	assert_int_equal(errno, ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(supervisor_tell(SUPERVISOR_READY, NULL), -1);
	unsetenv("NOTIFY_SOCKET");
}

/* ---- the watchdog ---- */

static void test_watchdog(void **state)
{
	char us[16], other[16];
	const struct {
		const char *usec, *pid;
		uint64_t expect;
	} cases[] = {
	    {NULL, NULL, 0},
	    {"30000000", NULL, 30000000},
	    {"30000000", us, 30000000},
	    {"30000000", other, 0},
	    {"30000000", "x", 0},
	    {"0", us, 0},
	    {"-1", us, 0},
	    {"3s", us, 0},
	    {"", us, 0},
	    {"18446744073709551615", us, 0},
	    {"99999999999999999999", us, 0},
	};

	(void)state;
	snprintf(us, sizeof(us), "%d", (int)getpid());
	snprintf(other, sizeof(other), "%d", (int)getppid());
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (cases[i].usec)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		assert_int_equal(supervisor_watchdog_us(), cases[i].expect);
	}
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

/* ---- sockets ---- */

struct handed {
	const char *pid; /* "us": of the process that looks */
	const char *fds, *names;
	int open;            /* descriptors that are there */
	const char *expect;  /* the names that are found, each followed by ";" */
	const char *or_else; /* when it is not "" that is found: "refused" */
};

/* In a process of its own: descriptors from 3 on are what the case says. */
static void look(const struct handed *c)
{
	struct supervisor_sockets found = {0};
	char pid[16], names[64] = "";

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	close_range(FIRST_FD, ~0U, 0);
	for (int i = 0; i < c->open; i++)
		if (dup(STDIN_FILENO) != FIRST_FD + i)
			_exit(10);
	if (c->pid)
		setenv("LISTEN_PID", strcmp(c->pid, "us") == 0 ? pid : c->pid, 1);
	if (c->fds)
		setenv("LISTEN_FDS", c->fds, 1);
	if (c->names)
		setenv("LISTEN_FDNAMES", c->names, 1);
	if (supervisor_take_sockets(&found) != 0)
		_exit(c->or_else != NULL ? 0 : 11);
	if (c->or_else != NULL)
		_exit(12);
	for (size_t i = 0; i < found.count; i++) {
		strcat(names, found.names[i]);
		strcat(names, ";");
		if (fcntl(found.first_fd + (int)i, F_GETFD) != FD_CLOEXEC)
			_exit(13);
	}
	supervisor_sockets_done(&found);
	if (strcmp(names, c->expect) != 0 || getenv("LISTEN_PID") || getenv("LISTEN_FDS") ||
	    getenv("LISTEN_FDNAMES"))
		_exit(14);
	_exit(supervisor_take_sockets(&found) != 0 || found.count != 0 ? 15 : 0);
}

static void test_sockets(void **state)
{
	static const struct handed cases[] = {
	    {NULL, NULL, NULL, 0, "", NULL},
	    {"us", NULL, NULL, 1, "", NULL},
	    {"1", "1", NULL, 1, "", NULL}, /* meant for another */
	    {"us", "1", NULL, 1, "unknown;", NULL},
	    {"us", "2", "one:two", 2, "one;two;", NULL},
	    {"us", "3", "a::c", 3, "a;;c;", NULL},
	    {"us", "2", "one", 2, NULL, "refused"},
	    {"us", "1", "one:two", 1, NULL, "refused"},
	    {"us", "2", NULL, 1, NULL, "refused"}, /* the second is not open */
	    {"us", "0", NULL, 0, NULL, "refused"},
	    {"us", "-1", NULL, 1, NULL, "refused"},
	    {"us", "many", NULL, 1, NULL, "refused"},
	    {"us", "2147483647", NULL, 1, NULL, "refused"},
	    {"me", "1", NULL, 1, NULL, "refused"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			look(&cases[i]);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (status != 0)
			fail_msg("case %zu: status %d", i,
			    WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_without_a_manager_nothing_is_said),
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_reloading_says_when),
	    cmocka_unit_test(test_a_manager_that_is_gone),
	    cmocka_unit_test(test_watchdog),
	    cmocka_unit_test(test_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
