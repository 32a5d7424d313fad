#include "proxy/snapshot.h"

#include <stdlib.h>

#include "base/zone.h"
#include "policy/acl.h"
#include "policy/blocklist.h"
#include "policy/htpasswd.h"
#include "policy/nameset.h"

struct config *config_new(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config != NULL)
		atomic_init(&config->refs, 1);
	return config;
}

struct config *config_ref(struct config *config)
{
	atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
	return config;
}

static void strings_done(struct strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

void config_unref(struct config *config)
{
	if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) > 1)
		return;
	log_debug("a configuration is not used any more");
	acl_free(config->acl);
	blocklist_free(config->blocklist);
	for (size_t i = 0; i < config->zone_count; i++) {
		free(config->zones[i].name);
		zone_free(config->zones[i].zone);
	}
	for (size_t i = 0; i < config->list_count; i++) {
		free(config->lists[i].path);
		nameset_unref(config->lists[i].names);
	}
	for (size_t i = 0; i < config->written.rule_count; i++)
		clause_done(&config->written.rules[i]);
	free(config->written.rules);
	strings_done(&config->written.clients);
	strings_done(&config->written.connect_ports);
	strings_done(&config->written.allow_addresses);
	strings_done(&config->written.servers);
	strings_done(&config->written.exempt);
	htpasswd_free(config->auth.table);
	free(config->auth.users);
	free(config->auth.groups);
	free(config->auth.realm);
	free(config->auth.exempt);
	strings_done(&config->written.blocklists);
	free(config->name);
	free(config->user);
	free(config->log.access);
	free(config);
}
