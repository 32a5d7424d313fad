#include "net/race.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/recycle.h"

#define RACE_SHARE_MIN_US 2000000

struct race {
	struct event attempt_timer; /* also made active when nothing could be started */
	struct event total_timer;
	struct timeval attempt;
	const struct race_attempt *how;
	race_done_fn *done;
	void *arg;
	void *handle; /* the running attempt, to addrs[next - 1]; NULL: none */
	int error;    /* of the last attempt that failed */
	size_t next, count;
	struct addr addrs[];
};

static void race_free(struct race *race)
{
	event_del(&race->attempt_timer);
	event_del(&race->total_timer);
	recycle_free(race);
}

static void race_lose(struct race *race, int error)
{
	race_done_fn *done = race->done;
	void *arg = race->arg;

	race_free(race);
	done(NULL, NULL, error, arg);
}

/* Start on the next address that lets itself be started on.  False when none is left. */
static bool race_try_next(struct race *race)
{
	while (race->next < race->count) {
		const struct addr *to = &race->addrs[race->next++];

		race->handle = race->how->start(race, to, race->arg);
		if (race->handle) {
			/* Without memory for the timer the total one still ends the race. */
			(void)event_add(&race->attempt_timer, &race->attempt);
			return true;
		}
		race->error = errno;
	}
	return false;
}

static void race_drop_attempt(struct race *race)
{
	void *handle = race->handle;

	race->handle = NULL;
	if (handle)
		race->how->cancel(handle, race->arg);
}

static void race_on_attempt_timer(evutil_socket_t fd, short what, void *arg)
{
	struct race *race = arg;

	(void)fd;
	(void)what;
	if (race->handle) {
		race_drop_attempt(race);
		race->error = ETIMEDOUT;
	}
	if (!race_try_next(race))
		race_lose(race, race->error);
}

static void race_on_total_timer(evutil_socket_t fd, short what, void *arg)
{
	struct race *race = arg;

	(void)fd;
	(void)what;
	race_drop_attempt(race);
	race_lose(race, ETIMEDOUT);
}

struct race *race_start(struct event_base *base, const struct addr *addrs, size_t count,
    struct timeval attempt, struct timeval total, const struct race_attempt *how,
    race_done_fn *done, void *arg)
{
	struct race *race = NULL;

	assert(count > 0);
	if (count <= (SIZE_MAX - sizeof(*race)) / sizeof(*addrs))
		race = recycle_zero(sizeof(*race) + count * sizeof(*addrs));
	if (!race)
		return NULL;
	race->attempt = attempt;
	race->how = how;
	race->done = done;
	race->arg = arg;
	race->count = count;
	memcpy(race->addrs, addrs, count * sizeof(*addrs));
	event_assign(&race->attempt_timer, base, -1, 0, race_on_attempt_timer, race);
	event_assign(&race->total_timer, base, -1, 0, race_on_total_timer, race);
	if (event_add(&race->total_timer, &total) < 0) {
		recycle_free(race);
		return NULL;
	}
	/* done may not be called from here: the loop finds that no attempt is left. */
	if (!race_try_next(race))
		event_active(&race->attempt_timer, EV_TIMEOUT, 1);
	return race;
}

struct timeval race_share(struct timeval total, size_t count)
{
	uint64_t us = ((uint64_t)total.tv_sec * 1000000 + (uint64_t)total.tv_usec) / count;

	if (us < RACE_SHARE_MIN_US)
		us = RACE_SHARE_MIN_US;
	return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

void race_cancel(struct race *race)
{
	if (!race)
		return;
	race_drop_attempt(race);
	race_free(race);
}

void race_won(struct race *race, void *handle)
{
	struct addr address = race->addrs[race->next - 1];
	race_done_fn *done = race->done;
	void *arg = race->arg;

	assert(handle == race->handle);
	race_free(race);
	done(handle, &address, 0, arg);
}

void race_lost(struct race *race, void *handle, int error)
{
	assert(handle == race->handle);
	race->handle = NULL;
	race->error = error;
	event_del(&race->attempt_timer);
	if (!race_try_next(race))
		race_lose(race, race->error);
}
