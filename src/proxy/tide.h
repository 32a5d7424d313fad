/*
 * tide -- gives memory back to the kernel when a crowd of clients has left.
 *
 * malloc keeps what is freed below anything that is still in use, and something always is: without
 * this a proxy would for months be as large as it was in its busiest minute.  Looking through
 * all that is free takes a while, so it is done once when half of a crowd has been gone for
 * some seconds, and again when half of the rest has.
 */
#ifndef PROXY_TIDE_H
#define PROXY_TIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "net/deadline.h"

struct event_base;

struct tide {
	struct deadline ebb;
	size_t count, high; /* clients now, and at most since memory was given back */
	bool ebbing;        /* the deadline is set */
};

void tide_init(struct tide *t, struct event_base *base);
void tide_done(struct tide *t);

/* So many clients are there now. */
void tide_set(struct tide *t, size_t count);

#endif
