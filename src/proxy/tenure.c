#include "proxy/tenure.h"

#include <stdlib.h>

#include "proxy/snapshot.h"

struct tenure *tenure_new(struct config *config)
{
	struct tenure *t = malloc(sizeof(*t));

	if (!t) {
		config_unref(config);
		return NULL;
	}
	config_keep(config);
	*t = (struct tenure){.config = config, .members = 1, .judges = 1};
	return t;
}

void tenure_settled(struct tenure *t)
{
	config_unref(t->config);
}

void tenure_end(struct tenure *t)
{
	config_unkeep(t->config);
	free(t);
}
