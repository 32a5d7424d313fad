#include "base/seal.h"

#include <errno.h>
#include <sha2.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

_Static_assert(SEAL_SIZE == SHA256_DIGEST_LENGTH, "a seal is a digest");
_Static_assert(SEAL_KEY_SIZE <= SHA256_BLOCK_LENGTH, "longer keys would be hashed first");

int seal_key_pick(struct seal_key *ret_key)
{
	ssize_t n;

	do
		n = getrandom(ret_key->bytes, sizeof(ret_key->bytes), 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(ret_key->bytes) ? 0 : -1;
}

/* Begin one of the two hashes: with the key, each byte of it and of what fills the block xor pad.
 */
static void seal_begin(SHA2_CTX *hash, const struct seal_key *key, uint8_t pad)
{
	uint8_t block[SHA256_BLOCK_LENGTH];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = pad ^ (i < sizeof(key->bytes) ? key->bytes[i] : 0);
	SHA256Init(hash);
	SHA256Update(hash, block, sizeof(block));
	explicit_bzero(block, sizeof(block));
}

static struct seal seal_end(SHA2_CTX *inner, const struct seal_key *key)
{
	SHA2_CTX outer;
	struct seal seal;

	SHA256Final(seal.bytes, inner);
	seal_begin(&outer, key, 0x5c);
	SHA256Update(&outer, seal.bytes, sizeof(seal.bytes));
	SHA256Final(seal.bytes, &outer);
	explicit_bzero(inner, sizeof(*inner));
	explicit_bzero(&outer, sizeof(outer));
	return seal;
}

static void seal_add(SHA2_CTX *hash, const void *bytes, size_t len)
{
	if (len > 0)
		SHA256Update(hash, bytes, len);
}

struct seal seal_parts(const struct seal_key *key, const struct slice *parts, size_t count)
{
	SHA2_CTX hash;

	seal_begin(&hash, key, 0x36);
	for (size_t i = 0; i < count; i++) {
		const uint64_t len = parts[i].len;

		seal_add(&hash, &len, sizeof(len));
		seal_add(&hash, parts[i].ptr, parts[i].len);
	}
	return seal_end(&hash, key);
}

struct seal seal_bytes(const struct seal_key *key, struct slice bytes)
{
	SHA2_CTX hash;

	seal_begin(&hash, key, 0x36);
	seal_add(&hash, bytes.ptr, bytes.len);
	return seal_end(&hash, key);
}

bool seal_same_bytes(const void *a, const void *b, size_t len)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char differ = 0;

	for (size_t i = 0; i < len; i++)
		differ |= (unsigned char)(x[i] ^ y[i]);
	return differ == 0;
}
