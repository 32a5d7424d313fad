#include "proxy/entrance.h"

#include <stdlib.h>
#include <string.h>

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

void entrance_succeed(struct entrance *old, struct entrance *next)
{
	old->next = entrance_ref(next);
}

struct entrance *entrance_latest(struct entrance *e)
{
	while (e->next) {
		struct entrance *next = entrance_ref(e->next);

		entrance_unref(e);
		e = next;
	}
	return e;
}
