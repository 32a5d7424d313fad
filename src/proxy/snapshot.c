#include "proxy/snapshot.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/zone.h"
#include "policy/acl.h"
#include "policy/blocklist.h"
#include "policy/htpasswd.h"
#include "policy/nameset.h"

struct config *config_new(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config != NULL) {
		atomic_init(&config->judges, 1);
		atomic_init(&config->keepers, 1);
	}
	return config;
}

static void count(atomic_size_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Returns whether that was the last. */
static bool uncount(atomic_size_t *counter)
{
	return atomic_fetch_sub_explicit(counter, 1, memory_order_acq_rel) == 1;
}

static void strings_done(struct strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

/* What is only for judging. */
static void judgement_done(struct config *config)
{
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
	config->acl = NULL;
	config->blocklist = NULL;
	config->zone_count = config->list_count = 0;
	config->written.rules = NULL;
	config->written.rule_count = 0;
}

struct config *config_ref(struct config *config)
{
	count(&config->judges);
	return config;
}

void config_unref(struct config *config)
{
	if (config == NULL || !uncount(&config->judges))
		return;
	log_debug("a configuration is not judged by any more");
	judgement_done(config);
	config_unkeep(config);
}

void config_keep(struct config *config)
{
	count(&config->keepers);
}

void config_unkeep(struct config *config)
{
	if (!uncount(&config->keepers))
		return;
	log_debug("a configuration is not used any more");
	strings_done(&config->written.clients);
	strings_done(&config->written.connect_ports);
	strings_done(&config->written.allow_addresses);
	strings_done(&config->written.servers);
	strings_done(&config->written.exempt);
	strings_done(&config->written.blocklists);
	htpasswd_free(config->auth.table);
	free(config->auth.users);
	free(config->auth.groups);
	free(config->auth.realm);
	free(config->auth.exempt);
	free(config->buckets);
	free(config->name);
	free(config->user);
	free(config->log.access);
	free(config);
}
