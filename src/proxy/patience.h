/*
 * patience -- who holds up the bodies of an exchange, and for how long that is borne.
 *
 * Keeps a policy/tempo for each of the four ends.  What an end takes counts when it has reached
 * its kernel, not when it lies in a buffer of ours.
 */
#ifndef PROXY_PATIENCE_H
#define PROXY_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/tempo.h"

struct config;
struct relay;

struct patience {
	struct tempo client_sends, origin_takes, origin_sends, client_takes; /* zero at first */
	uint64_t noted_ms;
};

/* Where a direction stands. */
struct patience_flow {
	const struct relay *relay;
	bool open; /* the sink is there */
	bool owed; /* the source is known to have more for us */
};

enum patience_end {
	PATIENCE_LASTS,
	PATIENCE_CLIENT_SENDS, /* the request's body, too slowly */
	PATIENCE_ORIGIN_TAKES,
	PATIENCE_ORIGIN_SENDS,
	PATIENCE_CLIENT_TAKES
};

/* Something has moved, and all that could be written has been. */
enum patience_end patience_note(struct patience *p, const struct config *config,
    const struct patience_flow *up, const struct patience_flow *down);

/*
 * A sink that is waited for takes bytes out of the kernel's buffer, which has to drain by a
 * third before we may write again: nothing tells meanwhile, so it has to be looked at every
 * so many seconds.  Returns `seconds` where there is no such sink.
 */
int patience_step(const struct patience *p, const struct config *config, int seconds);

/* Nothing could be read or written for some time: has such a sink taken bytes all the same? */
bool patience_sees_progress(
    const struct patience *p, const struct patience_flow *up, const struct patience_flow *down);

#endif
