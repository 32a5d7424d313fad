/*
 * farewell -- the last stage of a client connection: all has been said, not yet heard (RFC
 * 9112 9.6).
 *
 * A socket that is closed while the peer still sends answers with a reset, which takes away what
 * the peer has not read.  So we only shut our side down, drop what comes, and wait: first until
 * the peer's kernel has taken everything, as long as that goes on as a body has to; then a while
 * more for it to close.  Nothing is kept of what is dropped.  The owner looks every
 * FAREWELL_STEP_S.
 */
#ifndef PROXY_FAREWELL_H
#define PROXY_FAREWELL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/tempo.h"

struct config;
struct wire;

#define FAREWELL_STEP_S 1

struct farewell {
	struct tempo takes;    /* the peer's */
	size_t unheard;        /* when last looked: what the peer's kernel had not taken */
	uint32_t dropped;      /* bytes, since then */
	uint16_t still, heard; /* steps without progress, and since all was taken */
};

enum farewell_end { FAREWELL_LASTS, FAREWELL_OVER, FAREWELL_IN_VAIN };

void farewell_begin(struct farewell *f, struct wire *wire);

/* Bytes can be read.  As wire_read; reading may be off behind it, until the next look. */
ssize_t farewell_drop(struct farewell *f, struct wire *wire);

/* A step has passed.  IN_VAIN: the peer does not take what we said, or too slowly. */
enum farewell_end farewell_look(struct farewell *f, struct wire *wire, const struct config *config);

#endif
