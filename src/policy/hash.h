/*
 * hash -- a password's hash as crypt(3) writes it: which are accepted, whether a password fits.
 *
 * Accepted are yescrypt ($y$), bcrypt ($2a$, $2b$, $2y$), SHA-512 ($6$) and SHA-256 ($5$), well
 * formed and of a cost that a proxy can pay: no check takes more than 64 MiB, or, on a machine
 * of today, much more than a second.  All of libcrypt is here.
 */
#ifndef POLICY_HASH_H
#define POLICY_HASH_H

#include "base/attr.h"
#include "base/slice.h"

#define HASH_MAX 192 /* longer than any, its NUL included */

/* NULL when it is accepted; else what it is instead, a static piece of a sentence ("is ..."). */
const char *hash_complaint(struct slice hash);

struct hash_bench; /* what a check works on; for one thread at a time */

struct hash_bench *hash_bench_new(void); /* NULL when out of memory */
void hash_bench_free(struct hash_bench *bench);

enum hash_verdict { HASH_FITS, HASH_DIFFERS, HASH_NO_MEMORY };

/* Takes long.  The hash is one that is accepted. */
enum hash_verdict hash_check(struct hash_bench *bench, const char *hash, const char *password);

/* A new hash of the password: yescrypt, of the cost that libcrypt finds right.  0 or -1 with errno.
 */
MUST_USE int hash_make(struct hash_bench *bench, const char *password, char out[HASH_MAX]);

#endif
