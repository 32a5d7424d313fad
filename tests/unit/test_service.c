#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "proxy/service.h"

#define WATCHDOG_US 8000000ULL
#define WORKERS 3

/* A service manager that listens, workers that do what the test says, and a clock. */
struct stage {
	int fd;
	struct service service;
	struct metrics metrics[WORKERS];
	const struct metrics *sets[WORKERS];
	uint64_t now_us;
};

/* What was said last, "" when nothing was. */
static const char *hear(const struct stage *s)
{
	static char said[1024];
	ssize_t n = recv(s->fd, said, sizeof(said) - 1, 0);

	said[n < 0 ? 0 : n] = '\0';
	return said;
}

/* Up to READY=1, which has been heard. */
static void setup(struct stage *s, const char *watchdog_usec)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char name[64];
	int len = snprintf(name, sizeof(name), "@penstock-service-%d", (int)getpid());

	memset(s, 0, sizeof(*s));
	memcpy(at.sun_path + 1, name + 1, (size_t)len - 1);
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (const struct sockaddr *)&at,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
	    0);
	setenv("NOTIFY_SOCKET", name, 1);
	unsetenv("WATCHDOG_PID");
	if (watchdog_usec)
		setenv("WATCHDOG_USEC", watchdog_usec, 1);
	service_init(&s->service);
	for (size_t i = 0; i < WORKERS; i++)
		s->sets[i] = &s->metrics[i];
	s->now_us = service_now_us();
	service_tell(&s->service, SUPERVISOR_READY, s->sets, WORKERS);
	assert_string_equal(hear(s), "READY=1\nSTATUS=0 connections, 0 tunnels\n");
}

static void teardown(struct stage *s)
{
	close(s->fd);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
}

static void beat(struct stage *s, size_t worker)
{
	metrics_add(&s->metrics[worker], METRIC_BEATS, 1);
}

static void beat_all(struct stage *s)
{
	for (size_t i = 0; i < WORKERS; i++)
		beat(s, i);
}

/* The turn that is due next; what was said in it, "" when nothing was. */
static const char *turn(struct stage *s)
{
	s->now_us += (uint64_t)service_wait_ms(&s->service, s->now_us) * 1000;
	service_turn(&s->service, s->now_us, s->sets, WORKERS);
	return hear(s);
}

static void test_alive_while_all_move(void **state)
{
	struct stage s;
	uint64_t began;

	(void)state;
	setup(&s, "8000000");
	assert_true(service_beat_us(&s.service) > 0);
	assert_true(service_beat_us(&s.service) <= WATCHDOG_US / 4);
	beat_all(&s);
	assert_string_equal(turn(&s), "WATCHDOG=1\n");
	began = s.now_us;
	for (int i = 0; i < 3; i++) {
		beat_all(&s);
		while (strcmp(turn(&s), "") == 0)
			;
	}
	/* At least twice as often as it must be. */
	assert_true(s.now_us - began <= 3 * WATCHDOG_US / 2);
	teardown(&s);
}

static void test_a_stuck_worker_is_not_answered_for(void **state)
{
	(void)state;
	for (size_t stuck = 0; stuck < WORKERS; stuck++) {
		struct stage s;
		uint64_t until;

		setup(&s, "8000000");
		beat_all(&s);
		assert_string_equal(turn(&s), "WATCHDOG=1\n");
		until = s.now_us + 4 * WATCHDOG_US;
		while (s.now_us < until) {
			for (size_t i = 0; i < WORKERS; i++)
				if (i != stuck)
					beat(&s, i);
			assert_string_equal(turn(&s), "");
		}
		/* It comes to again, and that is enough. */
		beat(&s, stuck);
		while (strcmp(turn(&s), "WATCHDOG=1\n") != 0)
			assert_true(s.now_us < until + WATCHDOG_US);
		teardown(&s);
	}
}

static void test_a_worker_that_has_ended_need_not_move(void **state)
{
	struct stage s;

	(void)state;
	setup(&s, "8000000");
	beat_all(&s);
	assert_string_equal(turn(&s), "WATCHDOG=1\n");
	s.sets[1] = NULL;
	for (int i = 0; i < 3; i++) {
		beat(&s, 0);
		beat(&s, 2);
		while (strcmp(turn(&s), "WATCHDOG=1\n") != 0)
			;
	}
	teardown(&s);
}

static void test_status_when_it_has_changed(void **state)
{
	struct stage s;

	(void)state;
	setup(&s, NULL);
	assert_int_equal(service_beat_us(&s.service), 0);
	assert_string_equal(turn(&s), "");
	metrics_add(&s.metrics[0], METRIC_CLIENTS, 1);
	metrics_add(&s.metrics[2], METRIC_TUNNELS, 1);
	assert_string_equal(turn(&s), "STATUS=1 connection, 1 tunnel\n");
	assert_string_equal(turn(&s), "");
	metrics_add(&s.metrics[1], METRIC_CLIENTS, 11);
	metrics_add(&s.metrics[1], METRIC_TUNNELS, 2);
	assert_string_equal(turn(&s), "STATUS=12 connections, 3 tunnels\n");
	s.sets[1] = NULL;
	assert_string_equal(turn(&s), "STATUS=1 connection, 1 tunnel\n");
	teardown(&s);
}

static void test_without_a_manager(void **state)
{
	struct service service;
	const struct metrics *sets[1] = {NULL};

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "1000000", 1);
	service_init(&service);
	service_tell(&service, SUPERVISOR_READY, sets, 1);
	service_turn(&service, service_now_us(), sets, 1);
	assert_int_equal(service_wait_ms(&service, service_now_us()), -1);
	assert_int_equal(service_beat_us(&service), 0);
	unsetenv("WATCHDOG_USEC");
}

static void test_waits_are_bounded(void **state)
{
	struct stage s;

	(void)state;
	/* A watchdog that wants no word for ages. */
	setup(&s, "18446744073709551614");
	beat_all(&s);
	for (int i = 0; i < 3; i++) {
		assert_true(service_wait_ms(&s.service, s.now_us) > 0);
		assert_true(service_wait_ms(&s.service, s.now_us) <= 5001);
		assert_string_equal(turn(&s), "");
	}
	assert_int_equal(service_wait_ms(&s.service, UINT64_MAX), 0);
	teardown(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alive_while_all_move),
	    cmocka_unit_test(test_a_stuck_worker_is_not_answered_for),
	    cmocka_unit_test(test_a_worker_that_has_ended_need_not_move),
	    cmocka_unit_test(test_status_when_it_has_changed),
	    cmocka_unit_test(test_without_a_manager),
	    cmocka_unit_test(test_waits_are_bounded),
	};

	log_open(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
