/*
 * catalog -- from keys to the rules that name them.
 *
 * A rule is a number, filed under any number of keys; asked for a key, the catalog sets the bits of
 * the rules under it.  Few rules are kept as numbers, many as bits, so that asking never takes
 * longer than going through all bits once.  Ranges of numbers are filed as the aligned blocks that
 * make them up.  Networks are sorted when all are known, and each has the next larger one that it
 * is in: one search finds the smallest around an address, and the others from there.
 *
 * Written by one, then sealed; then read by any thread.  Keys are the operator's: the hash has no
 * secret.
 */
#ifndef POLICY_CATALOG_H
#define POLICY_CATALOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct catalog;

#define CATALOG_KINDS 128     /* kinds of keys, from 0 on */
#define CATALOG_KEY_MAX 512   /* bytes */
#define CATALOG_RANGE_BITS 16 /* of numbers in ranges */
#define CATALOG_PLACE_LEN 17  /* bytes of an address in networks: its family, and itself */

/* Returns new, or NULL when out of memory. */
struct catalog *catalog_new(void);
void catalog_free(struct catalog *catalog);

/* File the rule, the same as before or a higher one, under a copy of the key.  0, or -1 (memory).
 */
MUST_USE int catalog_add(struct catalog *catalog, uint8_t kind, struct slice key, uint32_t rule);

/* Numbers from first to last, both included. */
MUST_USE int catalog_add_range(
    struct catalog *catalog, uint8_t kind, uint16_t first, uint16_t last, uint32_t rule);

/* What begins with so many bits of the place, the others of which are zero. */
MUST_USE int catalog_add_network(struct catalog *catalog, uint8_t kind,
    const uint8_t place[CATALOG_PLACE_LEN], uint8_t length, uint32_t rule);

/* There will be so many rules, and no more keys.  0, or -1 (memory). */
MUST_USE int catalog_seal(struct catalog *catalog, size_t rules);

/* Set the bits of the rules under this key. */
void catalog_mark(const struct catalog *catalog, uint8_t kind, struct slice key, uint64_t *bits);

/* Of those under the name and under each domain that it is in: a.b.c, b.c and c. */
void catalog_mark_domains(
    const struct catalog *catalog, uint8_t kind, struct slice name, uint64_t *bits);

/* Of those under a range that has the number. */
void catalog_mark_number(
    const struct catalog *catalog, uint8_t kind, uint16_t number, uint64_t *bits);

/* Of those under a network that has the place. */
void catalog_mark_networks(const struct catalog *catalog, uint8_t kind,
    const uint8_t place[CATALOG_PLACE_LEN], uint64_t *bits);

#endif
