#include "policy/rulebook.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/zone.h"
#include "policy/catalog.h"
#include "policy/special.h"

/* What a key of the catalog is. */
enum kind {
	KIND_CLIENT,
	KIND_USER,
	KIND_GROUP,
	KIND_HOST,
	KIND_DOMAIN,
	KIND_LIST,
	KIND_NETWORK,
	KIND_SPECIAL,
	KIND_PORT,
	KIND_METHOD,
	KIND_SCHEME,
	KIND_LISTENER,
	KIND_TIME, /* and one for each further zone */
};

struct list {
	rule_list_fn *has;
	const void *names;
};

struct rulebook {
	struct rule *rules;
	size_t count, room;
	struct catalog *catalog;
	const struct zone *zones[RULEBOOK_ZONES_MAX];
	size_t zone_count;
	struct list lists[RULEBOOK_LISTS_MAX];
	size_t list_count;
	/* For each condition the rules that do not have it, as bits; NULL: none has it. */
	uint64_t *without[RULE_CONDITIONS];
};

struct rulebook *rulebook_new(void)
{
	struct rulebook *book = calloc(1, sizeof(*book));

	if (book == NULL)
		return NULL;
	book->catalog = catalog_new();
	if (book->catalog != NULL)
		return book;
	rulebook_free(book);
	return NULL;
}

void rulebook_free(struct rulebook *book)
{
	if (book == NULL)
		return;
	for (size_t i = 0; i < RULE_CONDITIONS; i++)
		free(book->without[i]);
	free(book->rules);
	catalog_free(book->catalog);
	free(book);
}

/* ---- building --------------------------------------------------------------------------- */

int rulebook_add(struct rulebook *book, const struct rule *rule)
{
	struct rule *made;

	if (book->count == RULEBOOK_MAX)
		return -1;
	if (book->count == book->room) {
		size_t room = book->room == 0 ? 16 : 2 * book->room;
		struct rule *grown = reallocarray(book->rules, room, sizeof(*grown));

		if (grown == NULL)
			return -1;
		book->rules = grown;
		book->room = room;
	}
	made = &book->rules[book->count];
	*made = *rule;
	made->conditions = 0;
	made->number = (unsigned)++book->count;
	return 0;
}

/* So that no network of one family has a place of the other. */
static void place_of(const struct addr *a, uint8_t out[CATALOG_PLACE_LEN])
{
	size_t len = a->family == AF_INET ? sizeof(a->ip.v4) : sizeof(a->ip.v6);

	memset(out, 0, CATALOG_PLACE_LEN);
	out[0] = a->family == AF_INET ? 4 : 6;
	memcpy(out + 1, &a->ip, len);
}

static int add_network(struct rulebook *book, enum kind kind, const struct network *network)
{
	struct network plain = network_unmapped(network);
	uint8_t place[CATALOG_PLACE_LEN];

	place_of(&plain.base, place);
	return catalog_add_network(book->catalog, (uint8_t)kind, place, (uint8_t)(8 + plain.bits),
	    (uint32_t)(book->count - 1));
}

static int add_byte(struct rulebook *book, enum kind kind, unsigned byte)
{
	char key = (char)byte;

	return catalog_add(
	    book->catalog, (uint8_t)kind, (struct slice){&key, 1}, (uint32_t)(book->count - 1));
}

static int add_special(struct rulebook *book, unsigned kinds)
{
	for (unsigned bit = 1; bit <= SPECIAL_ALL; bit <<= 1) {
		if ((kinds & bit) && add_byte(book, KIND_SPECIAL, bit) < 0)
			return -1;
	}
	return 0;
}

static int add_text(struct rulebook *book, enum kind kind, struct slice text)
{
	assert(text.len > 0 && text.len <= RULEBOOK_TEXT_MAX);
	return catalog_add(book->catalog, (uint8_t)kind, text, (uint32_t)(book->count - 1));
}

static int add_list(struct rulebook *book, const struct rule_value *value)
{
	size_t i = 0;

	while (i < book->list_count && book->lists[i].names != value->list)
		i++;
	if (i == RULEBOOK_LISTS_MAX)
		return -1;
	book->lists[i] = (struct list){value->list_has, value->list};
	if (i == book->list_count)
		book->list_count++;
	return add_byte(book, KIND_LIST, (unsigned)i);
}

static int add_host(struct rulebook *book, const struct rule_value *value)
{
	if (value->list_has != NULL)
		return add_list(book, value);
	return add_text(book, value->domain ? KIND_DOMAIN : KIND_HOST, value->text);
}

static int add_address(struct rulebook *book, const struct rule_value *value)
{
	if (value->network.base.family == 0)
		return add_special(book, value->special);
	return add_network(book, KIND_NETWORK, &value->network);
}

static int add_time(struct rulebook *book, const struct rule_value *value)
{
	struct hours_span spans[HOURS_SPANS];
	size_t count = hours_spans(&value->hours, spans), zone = 0;

	while (zone < book->zone_count && book->zones[zone] != value->zone)
		zone++;
	if (zone == RULEBOOK_ZONES_MAX)
		return -1;
	book->zones[zone] = value->zone;
	if (zone == book->zone_count)
		book->zone_count++;
	for (size_t i = 0; i < count; i++) {
		if (catalog_add_range(book->catalog, (uint8_t)(KIND_TIME + zone), spans[i].first,
			spans[i].last, (uint32_t)(book->count - 1)) < 0)
			return -1;
	}
	return 0;
}

int rulebook_add_value(struct rulebook *book, const struct rule_value *value)
{
	book->rules[book->count - 1].conditions |= 1U << value->condition;
	switch (value->condition) {
	case RULE_CLIENT:
		return add_network(book, KIND_CLIENT, &value->network);
	case RULE_USER:
		return add_text(book, KIND_USER, value->text);
	case RULE_GROUP:
		return add_text(book, KIND_GROUP, value->text);
	case RULE_HOST:
		return add_host(book, value);
	case RULE_ADDRESS:
		return add_address(book, value);
	case RULE_PORT:
		return catalog_add_range(book->catalog, KIND_PORT, value->first, value->last,
		    (uint32_t)(book->count - 1));
	case RULE_METHOD:
		return add_text(book, KIND_METHOD, value->text);
	case RULE_SCHEME:
		return add_byte(book, KIND_SCHEME, value->tunnel);
	case RULE_LISTENER:
		return add_text(book, KIND_LISTENER, value->text);
	case RULE_TIME:
		return add_time(book, value);
	case RULE_CONDITIONS:
		break;
	}
	return -1;
}

static size_t words(const struct rulebook *book)
{
	return (book->count + 63) / 64;
}

int rulebook_seal(struct rulebook *book)
{
	unsigned used = 0;

	for (size_t i = 0; i < book->count; i++)
		used |= book->rules[i].conditions;
	for (size_t c = 0; c < RULE_CONDITIONS; c++) {
		uint64_t *bits;

		if (!(used & 1U << c))
			continue;
		bits = book->without[c] = calloc(words(book), sizeof(*bits));
		if (bits == NULL)
			return -1;
		for (size_t i = 0; i < book->count; i++) {
			if (!(book->rules[i].conditions & 1U << c))
				bits[i / 64] |= UINT64_C(1) << i % 64;
		}
	}
	return catalog_seal(book->catalog, book->count);
}

size_t rulebook_count(const struct rulebook *book)
{
	return book->count;
}

const struct rule *rulebook_rule(const struct rulebook *book, size_t index)
{
	return &book->rules[index];
}

/* ---- matching --------------------------------------------------------------------------- */

/* Set the bits of the rules of which a value of one condition holds. */
typedef void mark_fn(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits);

static void mark_text(const struct rulebook *book, enum kind kind, const char *text, uint64_t *bits)
{
	if (text != NULL)
		catalog_mark(book->catalog, (uint8_t)kind, slice_of(text), bits);
}

static void mark_byte(const struct rulebook *book, enum kind kind, unsigned byte, uint64_t *bits)
{
	char key = (char)byte;

	catalog_mark(book->catalog, (uint8_t)kind, (struct slice){&key, 1}, bits);
}

static void mark_networks(
    const struct rulebook *book, enum kind kind, const struct addr *a, uint64_t *bits)
{
	uint8_t place[CATALOG_PLACE_LEN];

	place_of(a, place);
	catalog_mark_networks(book->catalog, (uint8_t)kind, place, bits);
}

static void mark_client(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	struct addr plain = addr_unmapped(facts->client);

	mark_networks(book, KIND_CLIENT, &plain, bits);
}

static void mark_user(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	mark_text(book, KIND_USER, facts->user, bits);
}

static void mark_group(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	for (size_t i = 0; i < facts->group_count; i++)
		mark_text(book, KIND_GROUP, facts->groups[i], bits);
}

static void mark_host(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	struct addr literal;

	catalog_mark(book->catalog, KIND_HOST, facts->host, bits);
	/* An address is in no domain. */
	if (addr_parse(facts->host, &literal) == 0)
		return;
	catalog_mark_domains(book->catalog, KIND_DOMAIN, facts->host, bits);
	for (size_t i = 0; i < book->list_count; i++) {
		if (book->lists[i].has(book->lists[i].names, facts->host))
			mark_byte(book, KIND_LIST, (unsigned)i, bits);
	}
}

/* An address is also where it leads. */
static void mark_address(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	struct addr plain = addr_unmapped(facts->address), carried;

	mark_networks(book, KIND_NETWORK, &plain, bits);
	if (special_carries(&plain, &carried))
		mark_networks(book, KIND_NETWORK, &carried, bits);
	mark_byte(book, KIND_SPECIAL, special_of(&plain), bits);
}

static void mark_port(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	catalog_mark_number(book->catalog, KIND_PORT, facts->port, bits);
}

static void mark_method(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	catalog_mark(book->catalog, KIND_METHOD, facts->method, bits);
}

static void mark_scheme(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	mark_byte(book, KIND_SCHEME, facts->tunnel, bits);
}

static void mark_listener(
    const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	mark_text(book, KIND_LISTENER, facts->listener, bits);
}

static void mark_time(const struct rulebook *book, const struct acl_facts *facts, uint64_t *bits)
{
	for (size_t i = 0; i < book->zone_count; i++) {
		int64_t clock = facts->now + zone_offset(book->zones[i], facts->now);

		catalog_mark_number(
		    book->catalog, (uint8_t)(KIND_TIME + i), hours_minute(clock), bits);
	}
}

static mark_fn *const marks[] = {
    [RULE_CLIENT] = mark_client,
    [RULE_USER] = mark_user,
    [RULE_GROUP] = mark_group,
    [RULE_HOST] = mark_host,
    [RULE_ADDRESS] = mark_address,
    [RULE_PORT] = mark_port,
    [RULE_METHOD] = mark_method,
    [RULE_SCHEME] = mark_scheme,
    [RULE_LISTENER] = mark_listener,
    [RULE_TIME] = mark_time,
};

size_t rulebook_match(
    const struct rulebook *book, const struct acl_facts *facts, uint64_t ret_bits[RULEBOOK_WORDS])
{
	uint64_t holds[RULEBOOK_WORDS];
	size_t count = words(book);

	if (count == 0)
		return 0;
	memset(ret_bits, 0xff, count * sizeof(*ret_bits));
	if (book->count % 64 != 0)
		ret_bits[count - 1] = (UINT64_C(1) << book->count % 64) - 1;
	for (size_t c = 0; c < RULE_CONDITIONS; c++) {
		if (book->without[c] == NULL || (c == RULE_ADDRESS && facts->address == NULL))
			continue;
		memcpy(holds, book->without[c], count * sizeof(*holds));
		marks[c](book, facts, holds);
		for (size_t i = 0; i < count; i++)
			ret_bits[i] &= holds[i];
	}
	return count;
}
