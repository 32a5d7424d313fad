/*
 * siphash -- a hash under a secret key (SipHash-1-3): who does not know it cannot choose what
 * collides.
 *
 * Words are taken in the machine's byte order: a value means nothing outside the process.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct siphash_key {
	uint64_t words[2];
};

/* A random key.  Returns 0, or -1 when the system has no random numbers. */
MUST_USE int siphash_pick(struct siphash_key *ret_key);

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len);

#endif
