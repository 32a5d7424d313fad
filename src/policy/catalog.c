#include "policy/catalog.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a, 64 bits */
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

#define NETWORK_LEN (CATALOG_PLACE_LEN + 1) /* bytes of a network's key */

struct entry {
	struct entry *next; /* of the same slot */
	/* Of a network: the smallest that it is in, or NULL; until all are known, any other. */
	struct entry *outer;
	uint64_t hash;
	uint32_t *rules; /* in rising order; NULL once they are bits */
	uint64_t *bits;
	uint32_t count, room;
	uint16_t len;
	uint8_t kind;
	char key[]; /* of a network: a place, and the length */
};

/* What keys of one kind there are: no other is looked for. */
struct extent {
	size_t longest;   /* bytes of a key */
	uint32_t lengths; /* of blocks; bit 16 is a single number */
	struct entry *last_network;
	struct entry **networks; /* by place, then by length */
	size_t network_count;
};

struct catalog {
	struct entry **slots;
	size_t slot_count; /* a power of two */
	size_t entry_count;
	size_t words; /* of bits */
	struct extent extents[CATALOG_KINDS];
};

struct catalog *catalog_new(void)
{
	struct catalog *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->slot_count = 64;
	c->slots = calloc(c->slot_count, sizeof(struct entry *));
	if (c->slots == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

static void entry_free(struct entry *e)
{
	free(e->rules);
	free(e->bits);
	free(e);
}

void catalog_free(struct catalog *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->slot_count; i++) {
		struct entry *next;

		for (struct entry *e = c->slots[i]; e != NULL; e = next) {
			next = e->next;
			entry_free(e);
		}
	}
	for (size_t i = 0; i < CATALOG_KINDS; i++)
		free(c->extents[i].networks);
	free(c->slots);
	free(c);
}

/* From the end on, so that the hash of a domain is known on the way to that of a name in it. */
static uint64_t hash_byte(uint64_t hash, char c)
{
	return (hash ^ (uint8_t)c) * HASH_PRIME;
}

static uint64_t hash_kind(uint64_t hash, uint8_t kind)
{
	hash = (hash ^ kind) * HASH_PRIME;
	return hash ^ hash >> 32;
}

static uint64_t hash_key(uint8_t kind, struct slice key)
{
	uint64_t hash = HASH_START;

	for (size_t i = key.len; i > 0; i--)
		hash = hash_byte(hash, key.ptr[i - 1]);
	return hash_kind(hash, kind);
}

static struct entry **slot_of(const struct catalog *c, uint64_t hash)
{
	return &c->slots[hash & (c->slot_count - 1)];
}

static struct entry *find(const struct catalog *c, uint64_t hash, uint8_t kind, struct slice key)
{
	struct entry *e = *slot_of(c, hash);

	while (e != NULL && (e->hash != hash || e->kind != kind || e->len != key.len ||
				memcmp(e->key, key.ptr, key.len) != 0))
		e = e->next;
	return e;
}

/* Whether the place begins with the bits of the network. */
static bool has_place(const struct entry *network, const char *place)
{
	unsigned length = (uint8_t)network->key[CATALOG_PLACE_LEN], whole = length / 8;

	return memcmp(network->key, place, whole) == 0 &&
	       (length % 8 == 0 ||
		   ((network->key[whole] ^ place[whole]) & 0xff << (8 - length % 8) & 0xff) == 0);
}

/* ---- writing ---------------------------------------------------------------------------- */

static int grow(struct catalog *c)
{
	size_t old_count = c->slot_count;
	struct entry **old = c->slots, *next;
	struct entry **slots = calloc(2 * old_count, sizeof(struct entry *));

	if (slots == NULL)
		return -1;
	c->slots = slots;
	c->slot_count = 2 * old_count;
	for (size_t i = 0; i < old_count; i++) {
		for (struct entry *e = old[i]; e != NULL; e = next) {
			struct entry **slot = slot_of(c, e->hash);

			next = e->next;
			e->next = *slot;
			*slot = e;
		}
	}
	free(old);
	return 0;
}

static struct entry *entry_new(struct catalog *c, uint64_t hash, uint8_t kind, struct slice key)
{
	struct entry *e;

	if (c->entry_count >= c->slot_count && grow(c) < 0)
		return NULL;
	e = calloc(1, sizeof(*e) + key.len);
	if (e == NULL)
		return NULL;
	e->hash = hash;
	e->kind = kind;
	e->len = (uint16_t)key.len;
	memcpy(e->key, key.ptr, key.len);
	e->next = *slot_of(c, hash);
	*slot_of(c, hash) = e;
	c->entry_count++;
	if (c->extents[kind].longest < key.len)
		c->extents[kind].longest = key.len;
	return e;
}

/* Returns where it is filed, or NULL when out of memory. */
static struct entry *file(struct catalog *c, uint8_t kind, struct slice key, uint32_t rule)
{
	uint64_t hash = hash_key(kind, key);
	struct entry *e = find(c, hash, kind, key);

	assert(kind < CATALOG_KINDS && key.len > 0 && key.len <= CATALOG_KEY_MAX);
	if (e == NULL)
		e = entry_new(c, hash, kind, key);
	if (e == NULL)
		return NULL;
	if (e->count > 0 && e->rules[e->count - 1] == rule)
		return e;
	if (e->count == e->room) {
		uint32_t room = e->room == 0 ? 1 : 2 * e->room;
		uint32_t *grown = reallocarray(e->rules, room, sizeof(*grown));

		if (grown == NULL)
			return NULL;
		e->rules = grown;
		e->room = room;
	}
	e->rules[e->count++] = rule;
	return e;
}

int catalog_add(struct catalog *c, uint8_t kind, struct slice key, uint32_t rule)
{
	return file(c, kind, key, rule) != NULL ? 0 : -1;
}

/* The block of a number: how long it is, and the bits that all of its numbers begin with. */
static void block_key(unsigned length, unsigned number, char out[3])
{
	unsigned head = number & ~(0xffffU >> length);

	out[0] = (char)length;
	out[1] = (char)(head >> 8);
	out[2] = (char)(head & 0xff);
}

int catalog_add_range(struct catalog *c, uint8_t kind, uint16_t first, uint16_t last, uint32_t rule)
{
	uint32_t at = first, end = (uint32_t)last + 1;
	char key[3];

	while (at < end) {
		unsigned length = CATALOG_RANGE_BITS;

		/* The largest block that begins here and does not go beyond. */
		while (length > 0 && at % (0x20000U >> length) == 0 &&
		       at + (0x20000U >> length) <= end)
			length--;
		block_key(length, at, key);
		if (catalog_add(c, kind, (struct slice){key, sizeof(key)}, rule) < 0)
			return -1;
		c->extents[kind].lengths |= 1U << length;
		at += 0x10000U >> length;
	}
	return 0;
}

int catalog_add_network(struct catalog *c, uint8_t kind, const uint8_t place[CATALOG_PLACE_LEN],
    uint8_t length, uint32_t rule)
{
	struct extent *extent = &c->extents[kind];
	size_t before = c->entry_count;
	char key[NETWORK_LEN];
	struct entry *e;

	memcpy(key, place, CATALOG_PLACE_LEN);
	key[CATALOG_PLACE_LEN] = (char)length;
	e = file(c, kind, (struct slice){key, sizeof(key)}, rule);
	if (e == NULL)
		return -1;
	if (c->entry_count > before) {
		e->outer = extent->last_network;
		extent->last_network = e;
		extent->network_count++;
	}
	return 0;
}

static int keep_as_bits(const struct catalog *c, struct entry *e)
{
	if (e->count <= c->words)
		return 0;
	e->bits = calloc(c->words, sizeof(*e->bits));
	if (e->bits == NULL)
		return -1;
	for (uint32_t k = 0; k < e->count; k++)
		e->bits[e->rules[k] / 64] |= UINT64_C(1) << e->rules[k] % 64;
	free(e->rules);
	e->rules = NULL;
	return 0;
}

static int compare_networks(const void *a, const void *b)
{
	const struct entry *const *one = a, *const *other = b;

	return memcmp((*one)->key, (*other)->key, NETWORK_LEN);
}

/* Sorted, a network comes behind all that it is in; and any between are in the same. */
static int sort_networks(struct extent *extent)
{
	struct entry *outer = NULL;
	size_t i = 0;

	if (extent->network_count == 0)
		return 0;
	extent->networks = calloc(extent->network_count, sizeof(struct entry *));
	if (extent->networks == NULL)
		return -1;
	for (struct entry *e = extent->last_network; e != NULL; e = e->outer)
		extent->networks[i++] = e;
	qsort(extent->networks, extent->network_count, sizeof(struct entry *), compare_networks);
	for (i = 0; i < extent->network_count; i++) {
		struct entry *e = extent->networks[i];

		while (outer != NULL && !has_place(outer, e->key))
			outer = outer->outer;
		e->outer = outer;
		outer = e;
	}
	return 0;
}

int catalog_seal(struct catalog *c, size_t rules)
{
	c->words = (rules + 63) / 64;
	for (size_t i = 0; i < c->slot_count; i++) {
		for (struct entry *e = c->slots[i]; e != NULL; e = e->next) {
			if (keep_as_bits(c, e) < 0)
				return -1;
		}
	}
	for (size_t kind = 0; kind < CATALOG_KINDS; kind++) {
		if (sort_networks(&c->extents[kind]) < 0)
			return -1;
	}
	return 0;
}

/* ---- reading ---------------------------------------------------------------------------- */

static void mark_entry(const struct catalog *c, const struct entry *e, uint64_t *bits)
{
	if (e->bits != NULL) {
		for (size_t i = 0; i < c->words; i++)
			bits[i] |= e->bits[i];
		return;
	}
	for (uint32_t i = 0; i < e->count; i++)
		bits[e->rules[i] / 64] |= UINT64_C(1) << e->rules[i] % 64;
}

static void mark(
    const struct catalog *c, uint64_t hash, uint8_t kind, struct slice key, uint64_t *bits)
{
	const struct entry *e = find(c, hash, kind, key);

	if (e != NULL)
		mark_entry(c, e, bits);
}

void catalog_mark(const struct catalog *c, uint8_t kind, struct slice key, uint64_t *bits)
{
	if (key.len <= c->extents[kind].longest)
		mark(c, hash_key(kind, key), kind, key, bits);
}

void catalog_mark_domains(const struct catalog *c, uint8_t kind, struct slice name, uint64_t *bits)
{
	size_t longest = c->extents[kind].longest;
	size_t end = name.len > longest ? name.len - longest : 0;
	uint64_t hash = HASH_START;

	for (size_t i = name.len; i > end; i--) {
		hash = hash_byte(hash, name.ptr[i - 1]);
		if (i == 1 || name.ptr[i - 2] == '.')
			mark(c, hash_kind(hash, kind), kind,
			    (struct slice){name.ptr + i - 1, name.len - i + 1}, bits);
	}
}

void catalog_mark_number(const struct catalog *c, uint8_t kind, uint16_t number, uint64_t *bits)
{
	char key[3];

	for (unsigned length = 0; length <= CATALOG_RANGE_BITS; length++) {
		if (!(c->extents[kind].lengths & 1U << length))
			continue;
		block_key(length, number, key);
		catalog_mark(c, kind, (struct slice){key, sizeof(key)}, bits);
	}
}

/* The last one that does not come behind the place: it, or one that it is in, has it. */
static const struct entry *find_network(const struct extent *extent, const char *place)
{
	size_t low = 0, high = extent->network_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(extent->networks[middle]->key, place, CATALOG_PLACE_LEN) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? extent->networks[low - 1] : NULL;
}

void catalog_mark_networks(
    const struct catalog *c, uint8_t kind, const uint8_t place[CATALOG_PLACE_LEN], uint64_t *bits)
{
	const struct entry *e = find_network(&c->extents[kind], (const char *)place);

	while (e != NULL && !has_place(e, (const char *)place))
		e = e->outer;
	for (; e != NULL; e = e->outer)
		mark_entry(c, e, bits);
}
