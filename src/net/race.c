#include "net/race.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/recycle.h"
#include "net/deadline.h"

#define RACE_ATTEMPTS_MAX 6
#define RACE_AT_ONCE 2

/* An attempt has at least so many staggers before it gives way: time for a lost packet. */
#define RACE_SHARE_MIN 4

/* Those of one family that wait, at most as many as could be tried. */
struct race_queue {
	size_t next, count;
	struct addr addrs[RACE_ATTEMPTS_MAX];
};

struct race_runner {
	void *handle;
	struct addr to;
};

struct race {
	struct event timer; /* the next may begin; also made active when the race is over */
	struct event total_timer;
	struct race_times times; /* total: what is left, since since_ms or while it stands still */
	uint64_t since_ms;
	const struct race_attempt *how;
	race_done_fn *done;
	void *arg;
	struct race_runner running[RACE_AT_ONCE]; /* the oldest first */
	size_t running_count;
	size_t tried;                /* attempts so far */
	size_t turn;                 /* of this queue */
	bool expecting;              /* more addresses may come */
	bool due;                    /* nothing waited when the next could have begun */
	int error;                   /* of the attempts that failed; 0: none */
	int lacks;                   /* errno: why the next could not be started; 0: it could */
	struct race_queue queues[2]; /* IPv4, IPv6 */
};

static bool race_has_waiting(const struct race *race)
{
	return race->tried < RACE_ATTEMPTS_MAX && (race->queues[0].next < race->queues[0].count ||
						      race->queues[1].next < race->queues[1].count);
}

static bool race_is_over(const struct race *race)
{
	if (race->running_count > 0)
		return false;
	return race->lacks ||
	       (!race_has_waiting(race) && (!race->expecting || race->tried == RACE_ATTEMPTS_MAX));
}

static void race_free(struct race *race)
{
	event_del(&race->timer);
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

/* That this machine has no way to a family says less than what an address answered. */
static void race_note(struct race *race, int error)
{
	if (race->error == 0 ||
	    (error != ENETUNREACH && error != EADDRNOTAVAIL && error != EAFNOSUPPORT))
		race->error = error;
}

static void race_forget(struct race *race, size_t i)
{
	race->running_count--;
	for (; i < race->running_count; i++)
		race->running[i] = race->running[i + 1];
}

static void race_drop(struct race *race, size_t i)
{
	void *handle = race->running[i].handle;

	race_forget(race, i);
	race->how->cancel(handle, race->arg);
}

static void race_drop_all(struct race *race)
{
	while (race->running_count > 0)
		race_drop(race, race->running_count - 1);
}

/* ---- time ------------------------------------------------------------------------------- */

static uint64_t race_us(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static struct timeval race_time(uint64_t us)
{
	return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

/* How often the oldest gives way when nothing answers: so that the last has its time, too. */
static struct timeval race_share(const struct race *race)
{
	size_t attempts = race->tried;
	uint64_t us, least = RACE_SHARE_MIN * race_us(&race->times.stagger);

	for (size_t i = 0; i < 2; i++)
		attempts += race->queues[i].count - race->queues[i].next;
	if (attempts > RACE_ATTEMPTS_MAX)
		attempts = RACE_ATTEMPTS_MAX;
	us = race_us(&race->times.total) / (attempts - 1);
	if (us < least)
		us = least;
	return race_time(us);
}

/* From now on, until the next may begin.  Without memory for it the total one ends the race. */
static void race_arm(struct race *race)
{
	bool full = race->running_count == RACE_AT_ONCE;
	struct timeval share;

	if (!race_has_waiting(race) && (full || !race->expecting)) {
		event_del(&race->timer);
	} else if (full) {
		share = race_share(race);
		(void)event_add(&race->timer, &share);
	} else {
		(void)event_add(&race->timer, &race->times.stagger);
	}
}

static int race_start_clock(struct race *race)
{
	race->since_ms = deadline_now_ms();
	return event_add(&race->total_timer, &race->times.total);
}

/* ---- attempts --------------------------------------------------------------------------- */

static struct addr race_take(struct race *race)
{
	struct race_queue *queue = &race->queues[race->turn];

	if (queue->next == queue->count)
		queue = &race->queues[!race->turn];
	race->turn = queue == &race->queues[0];
	return queue->addrs[queue->next++];
}

/* In front of its family, whose turn it is; the last gives up its place. */
static void race_queue_first(struct race *race, const struct addr *to)
{
	struct race_queue *queue = &race->queues[to->family == AF_INET6];
	size_t waiting;

	if (queue->next > 0) {
		queue->next--;
	} else {
		waiting = queue->count < RACE_ATTEMPTS_MAX ? queue->count : RACE_ATTEMPTS_MAX - 1;
		memmove(&queue->addrs[1], &queue->addrs[0], waiting * sizeof(*to));
		queue->count = waiting + 1;
	}
	queue->addrs[queue->next] = *to;
	race->turn = to->family == AF_INET6;
}

/* Start on the next address.  False when none waits, or when it cannot be: then it waits on. */
static bool race_try_next(struct race *race)
{
	struct addr to;
	void *handle;

	race->lacks = 0;
	if (!race_has_waiting(race))
		return false;
	to = race_take(race);
	handle = race->how->start(race, &to, race->arg);
	if (!handle) {
		race->lacks = errno;
		race_queue_first(race, &to);
		return false;
	}
	race->tried++;
	race->running[race->running_count++] = (struct race_runner){handle, to};
	race->due = false;
	race_arm(race);
	if (!event_pending(&race->total_timer, EV_TIMEOUT, NULL))
		(void)race_start_clock(race);
	return true;
}

/* Where nothing is under way, and more addresses are expected, that is not our time. */
static void race_rest(struct race *race)
{
	uint64_t left, spent;

	if (race->lacks) {
		race_arm(race);
		return;
	}
	race->due = true;
	if (race->running_count > 0 || !event_pending(&race->total_timer, EV_TIMEOUT, NULL))
		return;
	event_del(&race->total_timer);
	left = race_us(&race->times.total);
	spent = (deadline_now_ms() - race->since_ms) * 1000;
	race->times.total = race_time(left > spent ? left - spent : 0);
}

/* done may not be called from where we are: the loop finds out that it is over. */
static void race_try_soon(struct race *race)
{
	if (race_try_next(race))
		return;
	if (race_is_over(race))
		event_active(&race->timer, EV_TIMEOUT, 1);
	else
		race_rest(race);
}

/* From the loop: with the next, or with none. */
static void race_go_on(struct race *race)
{
	if (race_try_next(race))
		return;
	if (race_is_over(race))
		race_lose(race, race->lacks ? race->lacks : race->error);
	else
		race_rest(race);
}

/* Where one waits and two are under way, the older gives way. */
static void race_make_way(struct race *race)
{
	if (race->running_count < RACE_AT_ONCE || !race_has_waiting(race))
		return;
	race_drop(race, 0);
	race_note(race, ETIMEDOUT);
}

static void race_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct race *race = arg;

	(void)fd;
	(void)what;
	race_make_way(race);
	race_go_on(race);
}

static void race_on_total_timer(evutil_socket_t fd, short what, void *arg)
{
	struct race *race = arg;

	(void)fd;
	(void)what;
	race_drop_all(race);
	race_lose(race, ETIMEDOUT);
}

static void race_queue(struct race *race, const struct addr *addrs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct race_queue *queue = &race->queues[addrs[i].family == AF_INET6];

		if (queue->count < RACE_ATTEMPTS_MAX)
			queue->addrs[queue->count++] = addrs[i];
	}
}

/* ---- for the owner ---------------------------------------------------------------------- */

struct race *race_start(struct event_base *base, const struct addr *addrs, size_t count,
    const struct race_times *times, const struct race_attempt *how, race_done_fn *done, void *arg)
{
	struct race *race = recycle_zero(sizeof(*race));

	assert(count > 0);
	if (!race)
		return NULL;
	race->times = *times;
	race->how = how;
	race->done = done;
	race->arg = arg;
	race->turn = addrs[0].family == AF_INET6;
	race_queue(race, addrs, count);
	event_assign(&race->timer, base, -1, 0, race_on_timer, race);
	event_assign(&race->total_timer, base, -1, 0, race_on_total_timer, race);
	if (race_start_clock(race) < 0) {
		recycle_free(race);
		return NULL;
	}
	race_try_soon(race);
	return race;
}

void race_cancel(struct race *race)
{
	if (!race)
		return;
	race_drop_all(race);
	race_free(race);
}

void race_add(struct race *race, const struct addr *addrs, size_t count)
{
	race_queue(race, addrs, count);
	if (race->running_count == 0 || (race->due && race->running_count < RACE_AT_ONCE))
		race_try_soon(race);
	else if (!event_pending(&race->timer, EV_TIMEOUT, NULL))
		race_arm(race);
}

void race_hurry(struct race *race, const struct addr *to)
{
	race_queue_first(race, to);
	race_make_way(race);
	race_try_soon(race);
}

void race_expect(struct race *race, bool more)
{
	race->expecting = more;
	if (race_is_over(race))
		event_active(&race->timer, EV_TIMEOUT, 1);
	else if (more && !race->due && !event_pending(&race->timer, EV_TIMEOUT, NULL))
		race_arm(race);
}

/* ---- for the attempts ------------------------------------------------------------------- */

static size_t race_find(const struct race *race, const void *handle)
{
	size_t i = 0;

	while (i < race->running_count && race->running[i].handle != handle)
		i++;
	assert(i < race->running_count);
	return i;
}

void race_won(struct race *race, void *handle)
{
	size_t i = race_find(race, handle);
	struct addr address = race->running[i].to;
	race_done_fn *done = race->done;
	void *arg = race->arg;

	race_forget(race, i);
	race_drop_all(race);
	race_free(race);
	done(handle, &address, 0, arg);
}

void race_lost(struct race *race, void *handle, int error)
{
	race_forget(race, race_find(race, handle));
	race_note(race, error);
	race_go_on(race);
}
