#include "proxy/farewell.h"

#include <sys/socket.h>

#include "net/wire.h"
#include "proxy/config.h"

/* One read; and what a peer may send in a step before it has to wait for the next. */
#define FAREWELL_READ_MAX (64 * 1024)
#define FAREWELL_STEP_MAX (4 * 1024 * 1024)

void farewell_begin(struct farewell *f, struct wire *wire)
{
	*f = (struct farewell){.takes.waited_for = true};
	shutdown(wire->fd, SHUT_WR);
	wire_unpace(wire); /* it is not long, and nobody gets it */
	wire_read_on(wire);
}

ssize_t farewell_drop(struct farewell *f, struct wire *wire)
{
	char bytes[FAREWELL_READ_MAX];
	ssize_t got = wire_read_bytes(wire, bytes, sizeof(bytes));

	if (got > 0)
		f->dropped += (uint32_t)got;
	/* Not watched: who has sent its end behind all that may still be reading. */
	if (f->dropped >= FAREWELL_STEP_MAX)
		wire_read_off(wire, false);
	return got;
}

enum farewell_end farewell_look(struct farewell *f, struct wire *wire, const struct config *config)
{
	struct tempo_rate rate = {
	    (uint64_t)config->limits.body_rate_min, (uint64_t)config->timeouts.body_grace * 1000};
	size_t unheard = wire_unacked(wire); /* our end counts for one */
	uint64_t taken = f->unheard > unheard ? f->unheard - unheard : 0;

	if (unheard == 0 && ++f->heard * FAREWELL_STEP_S >= config->timeouts.linger)
		return FAREWELL_OVER;
	f->still = taken > 0 ? 0 : f->still + 1;
	if (unheard > 0 &&
	    (f->still * FAREWELL_STEP_S > config->timeouts.body ||
		!tempo_note(&f->takes, &rate, f->takes.moved + taken, FAREWELL_STEP_S * 1000)))
		return FAREWELL_IN_VAIN;
	f->unheard = unheard;
	f->dropped = 0;
	wire_read_on(wire);
	return FAREWELL_LASTS;
}
