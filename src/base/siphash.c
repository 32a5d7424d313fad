#include "base/siphash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

int siphash_pick(struct siphash_key *ret_key)
{
	ssize_t n;

	do
		n = getrandom(ret_key, sizeof(*ret_key), 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*ret_key) ? 0 : -1;
}

static uint64_t siphash_rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline ALWAYS_INLINE void siphash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = siphash_rotate(v[1], 13) ^ v[0];
	v[0] = siphash_rotate(v[0], 32);
	v[2] += v[3];
	v[3] = siphash_rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = siphash_rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = siphash_rotate(v[1], 17) ^ v[2];
	v[2] = siphash_rotate(v[2], 32);
}

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len)
{
	const uint64_t *secret = key->words;
	uint64_t v[4] = {secret[0] ^ UINT64_C(0x736f6d6570736575),
	    secret[1] ^ UINT64_C(0x646f72616e646f6d), secret[0] ^ UINT64_C(0x6c7967656e657261),
	    secret[1] ^ UINT64_C(0x7465646279746573)};
	const char *at = bytes;
	uint64_t last = (uint64_t)len << 56;
	uint64_t word;
	size_t left;

	for (left = len; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		v[3] ^= word;
		siphash_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)(unsigned char)at[i] << 8 * i;
	v[3] ^= last;
	siphash_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	siphash_round(v);
	siphash_round(v);
	siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
