/*
 * seal -- a keyed hash over several strings: HMAC-SHA-256 (RFC 2104) under a key of this process.
 *
 * Who does not know the key, which is random and never leaves the process, can neither make
 * a seal nor learn from one what is under it.  SHA-256 is libmd's.  Any thread.
 */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define SEAL_SIZE 32
#define SEAL_KEY_SIZE 32

struct seal_key {
	uint8_t bytes[SEAL_KEY_SIZE];
};

struct seal {
	uint8_t bytes[SEAL_SIZE];
};

/* A random key.  Returns 0, or -1 when there are no random numbers. */
MUST_USE int seal_key_pick(struct seal_key *ret_key);

/* Other parts, or the same bytes cut otherwise, give another seal. */
struct seal seal_parts(const struct seal_key *key, const struct slice *parts, size_t count);

/* HMAC-SHA-256 of the bytes as they are. */
struct seal seal_bytes(const struct seal_key *key, struct slice bytes);

/* Takes the same time wherever they differ. */
bool seal_same_bytes(const void *a, const void *b, size_t len);

#endif
