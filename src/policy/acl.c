#include "policy/acl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

/*
 * Nothing that a client of a forward proxy has a reason to reach: the special-purpose
 * registries of RFC 6890, without private use (RFC 1918, RFC 4193), which is where
 * many a proxy's destinations are, and with the metadata services of cloud machines.
 */
static const char *const special_networks[] = {
    "0.0.0.0/8",          /* this network, RFC 1122 */
    "100.64.0.0/10",      /* shared by carriers, RFC 6598; metadata at 100.100.100.200 */
    "127.0.0.0/8",        /* loopback */
    "168.63.129.16/32",   /* metadata */
    "169.254.0.0/16",     /* link-local; metadata at 169.254.169.254 */
    "192.0.0.0/24",       /* protocol assignments, RFC 6890; metadata at 192.0.0.192 */
    "192.0.2.0/24",       /* documentation, RFC 5737 */
    "192.88.99.0/24",     /* 6to4 relays, RFC 7526 */
    "198.18.0.0/15",      /* benchmarks, RFC 2544 */
    "198.51.100.0/24",    /* documentation */
    "203.0.113.0/24",     /* documentation */
    "224.0.0.0/4",        /* multicast */
    "240.0.0.0/4",        /* reserved, and broadcast */
    "::/96",              /* unspecified, loopback, IPv4-compatible (RFC 4291 2.5.5.1) */
    "64:ff9b:1::/48",     /* local translation, RFC 8215: where the IPv4 address is, is local too */
    "100::/64",           /* discarded, RFC 6666 */
    "100:0:0:1::/64",     /* dummy, RFC 9780 */
    "2001:2::/48",        /* benchmarks, RFC 5180 */
    "2001:10::/28",       /* ORCHID, RFC 4843 */
    "2001:db8::/32",      /* documentation, RFC 3849 */
    "3fff::/20",          /* documentation, RFC 9637 */
    "5f00::/16",          /* segment routing, RFC 9602 */
    "fd00:42::42/128",    /* metadata */
    "fd00:c1::a9fe:a9fe", /* metadata */
    "fd00:ec2::254/128",  /* metadata */
    "fd20:ce::254/128",   /* metadata */
    "fe80::/10",          /* link-local */
    "fec0::/10",          /* site-local, RFC 3879 */
    "ff00::/8",           /* multicast */
};

/* IPv6 networks whose addresses lead to an IPv4 address that they carry. */
static const struct carrier {
	const char *network;
	size_t offset; /* of the IPv4 address */
	uint8_t mask;  /* each byte of it is written xor this */
} carriers[] = {
    {"64:ff9b::/96", 12, 0x00},    /* NAT64, RFC 6052 */
    {"::ffff:0:0:0/96", 12, 0x00}, /* IPv4-translated, RFC 2765 */
    {"2002::/16", 2, 0x00},        /* 6to4, RFC 3056 */
    {"2001::/32", 12, 0xff},       /* Teredo, RFC 4380 */
};

struct networks {
	struct network *items;
	size_t count;
};

struct port_range {
	uint16_t first, last;
};

struct acl {
	struct networks clients;
	struct networks addresses;
	struct port_range *ports;
	size_t port_count;
	struct network special[ARRAY_LEN(special_networks)];
	struct network carriers[ARRAY_LEN(carriers)];
};

static void network_from_table(const char *text, struct network *ret_network)
{
	int failed = network_parse((struct slice){text, strlen(text)}, ret_network);

	assert(failed == 0);
	(void)failed;
}

struct acl *acl_new(void)
{
	struct acl *acl = calloc(1, sizeof(*acl));

	if (acl == NULL)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(special_networks); i++)
		network_from_table(special_networks[i], &acl->special[i]);
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
		network_from_table(carriers[i].network, &acl->carriers[i]);
	return acl;
}

void acl_free(struct acl *acl)
{
	if (acl == NULL)
		return;
	free(acl->ports);
	free(acl->addresses.items);
	free(acl->clients.items);
	free(acl);
}

/* Addresses are judged unmapped, so a network of mapped ones is kept unmapped too. */
static struct network unmapped(const struct network *network)
{
	struct network plain = *network;

	plain.base = addr_unmapped(&network->base);
	if (plain.base.family != network->base.family && network->bits >= 96)
		plain.bits = (uint8_t)(network->bits - 96);
	else
		plain.base = network->base;
	return plain;
}

static int networks_add(struct networks *networks, const struct network *network)
{
	struct network *grown =
	    reallocarray(networks->items, networks->count + 1, sizeof(*networks->items));

	if (grown == NULL)
		return -1;
	networks->items = grown;
	networks->items[networks->count++] = unmapped(network);
	return 0;
}

static bool networks_contain(const struct networks *networks, const struct addr *a)
{
	for (size_t i = 0; i < networks->count; i++) {
		if (network_contains(&networks->items[i], a))
			return true;
	}
	return false;
}

int acl_add_client(struct acl *acl, const struct network *network)
{
	return networks_add(&acl->clients, network);
}

int acl_add_address(struct acl *acl, const struct network *network)
{
	return networks_add(&acl->addresses, network);
}

int acl_add_connect_ports(struct acl *acl, uint16_t first, uint16_t last)
{
	struct port_range *grown =
	    reallocarray(acl->ports, acl->port_count + 1, sizeof(*acl->ports));

	if (grown == NULL)
		return -1;
	acl->ports = grown;
	acl->ports[acl->port_count++] = (struct port_range){first, last};
	return 0;
}

bool acl_allows_client(const struct acl *acl, const struct addr *client)
{
	struct addr plain = addr_unmapped(client);

	return networks_contain(&acl->clients, &plain);
}

bool acl_allows_connect_port(const struct acl *acl, uint16_t port)
{
	for (size_t i = 0; i < acl->port_count; i++) {
		if (port >= acl->ports[i].first && port <= acl->ports[i].last)
			return true;
	}
	return false;
}

/* Whether reaching a means reaching an IPv4 address that it carries. */
static bool carried(const struct acl *acl, const struct addr *a, struct addr *ret_v4)
{
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
		struct addr v4 = {.family = AF_INET, .port = a->port};
		uint8_t *bytes = (uint8_t *)&v4.ip.v4;

		if (!network_contains(&acl->carriers[i], a))
			continue;
		for (size_t k = 0; k < 4; k++)
			bytes[k] = a->ip.v6.s6_addr[carriers[i].offset + k] ^ carriers[i].mask;
		*ret_v4 = v4;
		return true;
	}
	return false;
}

static bool is_special(const struct acl *acl, const struct addr *a)
{
	for (size_t i = 0; i < ARRAY_LEN(acl->special); i++) {
		if (network_contains(&acl->special[i], a))
			return true;
	}
	return false;
}

bool acl_allows_address(const struct acl *acl, const struct addr *destination)
{
	struct addr plain = addr_unmapped(destination);

	if (plain.family != AF_INET && plain.family != AF_INET6)
		return false;
	if (networks_contain(&acl->addresses, &plain))
		return true;
	if (!carried(acl, &plain, &plain))
		return !is_special(acl, &plain);
	return networks_contain(&acl->addresses, &plain) || !is_special(acl, &plain);
}
