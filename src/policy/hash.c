#include "policy/hash.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/seal.h"

#define BCRYPT_COST_MIN 4
#define BCRYPT_COST_MAX 14
#define SHA_ROUNDS_MIN 1000
#define SHA_ROUNDS_MAX 1000000

#define TOO_COSTLY                                                                                 \
	"costs too much to check (more than bcrypt 14, 1000000 rounds, 64 MiB of yescrypt)"
#define MALFORMED "is cut short or not well formed"

struct hash_bench {
	struct crypt_data data;
};

static const char alphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool starts_with(struct slice s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && memcmp(s.ptr, prefix, len) == 0;
}

static struct slice behind(struct slice s, size_t len)
{
	return (struct slice){s.ptr + len, s.len - len};
}

/* Take what is before the next '$' off, and the '$'.  False when there is none. */
static bool take_part(struct slice *rest, struct slice *ret_part)
{
	const char *end = rest->len > 0 ? memchr(rest->ptr, '$', rest->len) : NULL;

	if (!end)
		return false;
	*ret_part = (struct slice){rest->ptr, (size_t)(end - rest->ptr)};
	*rest = behind(*rest, ret_part->len + 1);
	return true;
}

static bool is_encoded(struct slice s, size_t least, size_t most)
{
	if (s.len < least || s.len > most)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == '\0' || !strchr(alphabet, s.ptr[i]))
			return false;
	return true;
}

/* Digits only, without zeros in front; -1: it is none, or far too large. */
static long number_of(struct slice s)
{
	long number = 0;

	if (s.len < 1 || s.len > 9 || s.ptr[0] == '0')
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return -1;
		number = number * 10 + (s.ptr[i] - '0');
	}
	return number;
}

/* "$y$j9T$SALT$HASH": of the costs that crypt_gensalt(3) makes, 1 to 7.  8 takes 128 MiB. */
static const char *complain_of_yescrypt(struct slice rest)
{
	static const char *const costs[] = {"j75", "j85", "j7T", "j8T", "j9T", "jAT", "jBT"};
	struct slice cost, salt;
	size_t i = 0;

	if (!take_part(&rest, &cost) || !take_part(&rest, &salt) || !is_encoded(salt, 1, 86) ||
	    !is_encoded(rest, 43, 43))
		return MALFORMED;
	while (i < ARRAY_LEN(costs) && !slice_is(cost, costs[i]))
		i++;
	return i < ARRAY_LEN(costs) ? NULL : TOO_COSTLY;
}

/* "$2b$12$" and 53 characters. */
static const char *complain_of_bcrypt(struct slice rest)
{
	int cost;

	if (rest.len != 56 || rest.ptr[0] < '0' || rest.ptr[0] > '9' || rest.ptr[1] < '0' ||
	    rest.ptr[1] > '9' || rest.ptr[2] != '$' || !is_encoded(behind(rest, 3), 53, 53))
		return MALFORMED;
	cost = (rest.ptr[0] - '0') * 10 + (rest.ptr[1] - '0');
	if (cost < BCRYPT_COST_MIN)
		return MALFORMED;
	return cost > BCRYPT_COST_MAX ? TOO_COSTLY : NULL;
}

/* "$6$rounds=N$SALT$HASH"; without rounds they are 5000. */
static const char *complain_of_sha(struct slice rest, size_t len)
{
	static const char prefix[] = "rounds=";
	struct slice part;
	long rounds;

	if (!take_part(&rest, &part))
		return MALFORMED;
	if (starts_with(part, prefix)) {
		rounds = number_of(behind(part, sizeof(prefix) - 1));
		if (rounds < SHA_ROUNDS_MIN)
			return MALFORMED;
		if (rounds > SHA_ROUNDS_MAX)
			return TOO_COSTLY;
		if (!take_part(&rest, &part))
			return MALFORMED;
	}
	return is_encoded(part, 1, 16) && is_encoded(rest, len, len) ? NULL : MALFORMED;
}

static const char *complain_of_sha512(struct slice rest)
{
	return complain_of_sha(rest, 86);
}

static const char *complain_of_sha256(struct slice rest)
{
	return complain_of_sha(rest, 43);
}

/* The first that a hash starts with. */
static const struct {
	const char *prefix;
	const char *(*complain)(struct slice rest); /* NULL: not accepted, and */
	const char *complaint;
} kinds[] = {
    {"$y$", complain_of_yescrypt, NULL},
    {"$2a$", complain_of_bcrypt, NULL},
    {"$2b$", complain_of_bcrypt, NULL},
    {"$2y$", complain_of_bcrypt, NULL},
    {"$6$", complain_of_sha512, NULL},
    {"$5$", complain_of_sha256, NULL},
    {"$1$", NULL, "is MD5, which is guessed too fast"},
    {"$apr1$", NULL, "is MD5 ($apr1$), which is guessed too fast"},
    {"{SHA}", NULL, "is SHA-1 without salt, which is guessed too fast"},
    {"{", NULL, "is of a scheme in braces, which crypt(3) does not know"},
    {"$", NULL, "is of a kind that is not accepted"},
    {"!", NULL, "is locked: take the line out instead"},
    {"*", NULL, "is locked: take the line out instead"},
    {"", NULL, "is no hash: a password as it is, or DES, which is guessed too fast"},
};

static const char *complain_of_kind(struct slice hash)
{
	size_t i = 0;

	if (hash.len == 0)
		return "is empty";
	if (hash.len >= HASH_MAX)
		return "is longer than any hash";
	while (!starts_with(hash, kinds[i].prefix))
		i++;
	if (!kinds[i].complain)
		return kinds[i].complaint;
	return kinds[i].complain(behind(hash, strlen(kinds[i].prefix)));
}

const char *hash_complaint(struct slice hash)
{
	const char *complaint = complain_of_kind(hash);
	char text[HASH_MAX];
	int known;

	if (complaint)
		return complaint;
	memcpy(text, hash.ptr, hash.len);
	text[hash.len] = '\0';
	known = crypt_checksalt(text);
	explicit_bzero(text, sizeof(text));
	return known == CRYPT_SALT_INVALID || known == CRYPT_SALT_METHOD_DISABLED
		   ? "is of a kind that this machine's libcrypt does not know"
		   : NULL;
}

struct hash_bench *hash_bench_new(void)
{
	return calloc(1, sizeof(struct hash_bench));
}

void hash_bench_free(struct hash_bench *bench)
{
	free(bench);
}

enum hash_verdict hash_check(struct hash_bench *bench, const char *hash, const char *password)
{
	enum hash_verdict verdict = HASH_DIFFERS;
	const char *made = crypt_rn(password, hash, &bench->data, (int)sizeof(bench->data));
	size_t len = strlen(hash);

	/* The hash is one that crypt(3) knows, so nothing else is left; errno does not always say
	 * it. */
	if (!made)
		verdict = HASH_NO_MEMORY;
	else if (strlen(made) == len && seal_same_bytes(made, hash, len))
		verdict = HASH_FITS;
	explicit_bzero(&bench->data, sizeof(bench->data));
	return verdict;
}

int hash_make(struct hash_bench *bench, const char *password, char out[HASH_MAX])
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *made = NULL;

	if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, (int)sizeof(setting)))
		made = crypt_rn(password, setting, &bench->data, (int)sizeof(bench->data));
	if (made && (size_t)snprintf(out, HASH_MAX, "%s", made) >= HASH_MAX) {
		errno = ERANGE;
		made = NULL;
	}
	explicit_bzero(&bench->data, sizeof(bench->data));
	return made ? 0 : -1;
}
