#include "net/connector.h"

#include <errno.h>
#include <stdlib.h>

#include "base/recycle.h"
#include "net/addr.h"
#include "net/dial.h"
#include "net/race.h"
#include "net/source.h"

/* The Connection Attempt Delay that RFC 8305 8 recommends. */
#define CONNECTOR_STAGGER_US 250000

struct connector {
	struct event_base *base;
	struct source source;
	struct race *race;
	connector_done_fn *done;
	void *arg;
};

/* One attempt, and once it has won, the bearer of its socket. */
struct attempt {
	struct race *race;
	struct dial *dial;
	int fd;
};

static void attempt_on_dialled(int fd, int error, void *arg)
{
	struct attempt *attempt = arg;
	struct race *race = attempt->race;

	attempt->dial = NULL;
	attempt->fd = fd;
	if (fd >= 0) {
		race_won(race, attempt);
		return;
	}
	race_lost(race, attempt, error);
	recycle_free(attempt);
}

static void *attempt_start(struct race *race, const struct addr *to, void *arg)
{
	struct connector *c = arg;
	struct attempt *attempt = recycle_zero(sizeof(*attempt));
	int error = ENOMEM;

	if (attempt) {
		attempt->race = race;
		attempt->dial = dial_start(c->base, to, &c->source, attempt_on_dialled, attempt);
		if (attempt->dial)
			return attempt;
		error = errno;
	}
	recycle_free(attempt);
	errno = error;
	return NULL;
}

static void attempt_cancel(void *handle, void *arg)
{
	struct attempt *attempt = handle;

	(void)arg;
	dial_cancel(attempt->dial);
	recycle_free(attempt);
}

static const struct race_attempt attempts = {.start = attempt_start, .cancel = attempt_cancel};

static void connector_on_raced(void *winner, const struct addr *address, int error, void *arg)
{
	struct connector *c = arg;
	struct attempt *attempt = winner;
	int fd = attempt ? attempt->fd : -1;
	connector_done_fn *done = c->done;
	void *done_arg = c->arg;

	recycle_free(attempt);
	recycle_free(c);
	done(fd, address, error, done_arg);
}

struct connector *connector_start(struct event_base *base, const struct source *source,
    const struct addr *addrs, size_t count, struct timeval total, connector_done_fn *done,
    void *arg)
{
	struct race_times times = {.stagger = {0, CONNECTOR_STAGGER_US}, .total = total};
	struct connector *c = recycle_zero(sizeof(*c));

	if (!c)
		return NULL;
	c->base = base;
	c->source = *source;
	c->done = done;
	c->arg = arg;
	c->race = race_start(base, addrs, count, &times, &attempts, connector_on_raced, c);
	if (!c->race) {
		recycle_free(c);
		return NULL;
	}
	return c;
}

void connector_add(struct connector *c, const struct addr *addrs, size_t count)
{
	race_add(c->race, addrs, count);
}

void connector_hurry(struct connector *c, const struct addr *to)
{
	race_hurry(c->race, to);
}

void connector_expect(struct connector *c, bool more)
{
	race_expect(c->race, more);
}

void connector_cancel(struct connector *c)
{
	race_cancel(c->race);
	recycle_free(c);
}
