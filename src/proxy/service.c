#include "proxy/service.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/metrics.h"

#define SERVICE_STATUS_US 5000000

/* Beats and words come so much oftener than the watchdog wants. */
#define SERVICE_BEATS 8
#define SERVICE_WORDS 4

uint64_t service_now_us(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void service_init(struct service *s)
{
	uint64_t now_us = service_now_us();

	memset(s, 0, sizeof(*s));
	s->watched = supervisor_is_there();
	if (s->watched)
		s->watchdog_us = supervisor_watchdog_us();
	s->alive_due_us = now_us + s->watchdog_us / SERVICE_WORDS;
	s->status_due_us = now_us + SERVICE_STATUS_US;
}

uint64_t service_beat_us(const struct service *s)
{
	return s->watchdog_us > 0 ? s->watchdog_us / SERVICE_BEATS + 1 : 0;
}

static void service_send(enum supervisor_news news, const char *status)
{
	if (supervisor_tell(news, status) != 0)
		log_warning("cannot tell the service manager: %s, ignoring", strerror(errno));
}

/* ---- how much there is to do ---- */

static uint64_t sum(const struct metrics *const *sets, size_t count, enum metric which)
{
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += sets[i] ? metrics_sum(&sets[i], 1, which) : 0;
	return total;
}

static void format_status(
    char out[SERVICE_STATUS_MAX], const struct metrics *const *sets, size_t count)
{
	unsigned long long clients = sum(sets, count, METRIC_CLIENTS);
	unsigned long long tunnels = sum(sets, count, METRIC_TUNNELS);

	snprintf(out, SERVICE_STATUS_MAX, "%llu connection%s, %llu tunnel%s", clients,
	    clients == 1 ? "" : "s", tunnels, tunnels == 1 ? "" : "s");
}

void service_tell(
    struct service *s, enum supervisor_news news, const struct metrics *const *sets, size_t count)
{
	if (!s->watched)
		return;
	format_status(s->status, sets, count);
	service_send(news, s->status);
}

/* Each word is read by the service manager and passed on: only news are sent. */
static void turn_status(struct service *s, const struct metrics *const *sets, size_t count)
{
	char status[SERVICE_STATUS_MAX];

	format_status(status, sets, count);
	if (strcmp(status, s->status) != 0)
		service_tell(s, SUPERVISOR_STATUS, sets, count);
}

/* ---- the watchdog ---- */

/* The first worker that has not moved since all had; count when there is none. */
static size_t find_stuck(const struct service *s, const struct metrics *const *sets, size_t count)
{
	size_t i = 0;

	while (i < count && (!sets[i] || metrics_sum(&sets[i], 1, METRIC_BEATS) != s->beats[i]))
		i++;
	return i;
}

static void turn_watchdog(struct service *s, const struct metrics *const *sets, size_t count)
{
	size_t stuck = find_stuck(s, sets, count);

	if (stuck < count) {
		if (!s->silent)
			log_warning(
			    "worker %zu is stuck; the watchdog is not told that all is well",
			    stuck);
		s->silent = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		s->beats[i] = sets[i] ? metrics_sum(&sets[i], 1, METRIC_BEATS) : 0;
	s->silent = false;
	service_send(SUPERVISOR_ALIVE, NULL);
}

/* ---- turns ---- */

void service_turn(
    struct service *s, uint64_t now_us, const struct metrics *const *sets, size_t count)
{
	assert(count <= SERVICE_WORKERS_MAX);
	if (!s->watched)
		return;
	if (s->watchdog_us > 0 && now_us >= s->alive_due_us) {
		turn_watchdog(s, sets, count);
		s->alive_due_us = now_us + s->watchdog_us / SERVICE_WORDS;
	}
	if (now_us >= s->status_due_us) {
		turn_status(s, sets, count);
		s->status_due_us = now_us + SERVICE_STATUS_US;
	}
}

int service_wait_ms(const struct service *s, uint64_t now_us)
{
	uint64_t due = s->status_due_us;

	if (!s->watched)
		return -1;
	if (s->watchdog_us > 0 && s->alive_due_us < due)
		due = s->alive_due_us;
	return due <= now_us ? 0 : (int)((due - now_us) / 1000 + 1);
}
