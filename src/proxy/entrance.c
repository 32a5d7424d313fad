#include "proxy/entrance.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/locality.h"

struct entrance *entrance_new(const struct listen *listen, const struct addr *at, bool both)
{
	struct entrance *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->refs = 1;
	e->at = *at;
	e->both = both;
	memcpy(e->name, listen->name, sizeof(e->name));
	e->source = listen->source;
	return e;
}

struct entrance *entrance_ref(struct entrance *e)
{
	assert(e->refs > 0);
	e->refs++;
	return e;
}

void entrance_unref(struct entrance *e)
{
	while (e && --e->refs == 0) {
		struct entrance *next = e->next;

		free(e);
		e = next;
	}
}

/* What the kernel makes of it: mapped is IPv4, and who connects to 0.0.0.0 connects to himself. */
static struct addr addressed(const struct addr *to)
{
	struct addr a = addr_unmapped(to);

	if (!addr_is_unspecified(&a))
		return a;
	if (a.family == AF_INET)
		a.ip.v4.s_addr = htonl(INADDR_LOOPBACK);
	else
		a.ip.v6 = in6addr_loopback;
	return a;
}

bool entrance_is_at(const struct entrance *e, const struct addr *to, struct locality *locality)
{
	struct addr at, there;

	if (e->at.port != to->port)
		return false;
	at = addr_unmapped(&e->at);
	there = addressed(to);
	if (!addr_is_unspecified(&at))
		return addr_same_ip(&at, &there);
	return (at.family == there.family || e->both) && locality_has(locality, &there);
}

void entrance_succeed(struct entrance *old, struct entrance *next)
{
	old->next = entrance_ref(next);
}

struct entrance *entrance_latest(struct entrance *e)
{
	struct entrance *last = e;

	while (last->next)
		last = last->next;
	if (last != e) {
		entrance_ref(last);
		entrance_unref(e);
	}
	return last;
}
