#include "proxy/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/zone.h"
#include "policy/acl.h"
#include "policy/htpasswd.h"
#include "policy/nameset.h"
#include "proxy/condition.h"
#include "proxy/hostfile.h"
#include "proxy/notation.h"

#define BANDWIDTH_MAX 2000000000

/* One rule while it is read. */
struct reader {
	const struct load *l;
	struct rulebook *book;
	const struct clause *clause;
	unsigned number;
	const struct zone *zone;
	bool warned;                    /* of a name that nobody has; of the first only */
	char host[CONDITION_HOST_SIZE]; /* a value's */
};

/* part may be NULL: the rule as a whole. */
static void rule_part_name(
    const struct reader *r, const struct clause_part *part, char *out, size_t size)
{
	snprintf(out, size, "access.rules[%u]%s%.40s", r->number, part ? "." : "",
	    part ? part->name : "");
}

static int refuse(const struct reader *r, const struct clause_part *part, const char *must)
{
	char name[80];

	rule_part_name(r, part, name, sizeof(name));
	return load_refuse(r->l, part ? part->line : r->clause->line, name, "%s", must);
}

static int refuse_value(
    const struct reader *r, const struct clause_part *part, const char *expects, const char *found)
{
	char shown[80], must[256];

	if (found != NULL) {
		log_escape(shown, sizeof(shown), found, strlen(found));
		snprintf(must, sizeof(must), "must be %s, not \"%s\"", expects, shown);
	} else {
		snprintf(must, sizeof(must), "must be %s", expects);
	}
	return refuse(r, part, must);
}

/* ---- what a rule does ------------------------------------------------------------------- */

static const char *const others[] = {"zone", "action", "say", "source", "bandwidth", "log"};

static bool is_other(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strcmp(others[i], name) == 0)
			return true;
	}
	return false;
}

/* The one string of a part; *ret NULL: it has no such part. */
static int read_string(const struct reader *r, const char *name, const char *expects,
    const struct clause_part **ret_part, const char **ret)
{
	const struct clause_part *part = clause_find(r->clause, name);

	*ret_part = part;
	*ret = part != NULL && part->count == 1 ? part->values[0] : NULL;
	return part == NULL || *ret != NULL ? 0 : refuse_value(r, part, expects, NULL);
}

static int read_action(const struct reader *r, struct rule *rule)
{
	static const char expects[] = "\"allow\" or \"deny\"";
	const struct clause_part *part, *say_part;
	const char *action, *say;

	if (read_string(r, "action", expects, &part, &action) < 0 ||
	    read_string(r, "say", "a sentence", &say_part, &say) < 0)
		return -1;
	if (action != NULL && strcmp(action, "allow") == 0)
		rule->action = RULE_ALLOWS;
	else if (action != NULL && strcmp(action, "deny") == 0)
		rule->action = RULE_DENIES;
	else if (action != NULL)
		return refuse_value(r, part, expects, action);
	if (say != NULL && rule->action != RULE_DENIES)
		return refuse(r, say_part, "goes with action = \"deny\" only");
	if (say != NULL && (*say == '\0' || strlen(say) > RULEBOOK_TEXT_MAX))
		return refuse(r, say_part, "must be a sentence of at most 255 bytes");
	rule->say = say;
	return 0;
}

static int read_source(const struct reader *r, struct rule *rule)
{
	static const char expects[] = "an address or a network like \"192.0.2.7\" or "
				      "\"2001:db8:1::/64\", or one of each family: "
				      "\"192.0.2.7, 2001:db8:1::/64\"";
	const struct clause_part *part;
	const char *source;

	if (read_string(r, "source", expects, &part, &source) < 0)
		return -1;
	if (source != NULL && source_parse(slice_of(source), &rule->source) < 0)
		return refuse_value(r, part, expects, source);
	return 0;
}

static int read_log(const struct reader *r, struct rule *rule)
{
	static const char expects[] = "\"on\" or \"off\"";
	const struct clause_part *part;
	const char *log;

	if (read_string(r, "log", expects, &part, &log) < 0)
		return -1;
	rule->has_log = log != NULL;
	rule->log = log != NULL && strcmp(log, "on") == 0;
	if (log != NULL && !rule->log && strcmp(log, "off") != 0)
		return refuse_value(r, part, expects, log);
	return 0;
}

static int read_bandwidth(const struct reader *r, struct rule *rule)
{
	const struct clause_part *part = clause_find(r->clause, "bandwidth");

	if (part == NULL)
		return 0;
	if (!part->is_number || part->number < 1 || part->number > BANDWIDTH_MAX)
		return refuse(
		    r, part, "must be a whole number from 1 to 2000000000 (bytes a second)");
	rule->bandwidth = (uint32_t)part->number;
	return 0;
}

/* ---- time zones ------------------------------------------------------------------------- */

/* The zone of that name, "" for the local one; each is loaded once.  NULL with a sentence. */
static const struct zone *find_zone(struct config *config, const char *name, const char **ret_why)
{
	size_t i = 0;

	while (i < config->zone_count && strcmp(config->zones[i].name, name) != 0)
		i++;
	if (i < config->zone_count)
		return config->zones[i].zone;
	if (i == RULEBOOK_ZONES_MAX) {
		*ret_why = "there are more than 64 time zones in all";
		return NULL;
	}
	config->zones[i].zone = zone_load(*name != '\0' ? name : NULL, ret_why);
	if (config->zones[i].zone == NULL)
		return NULL;
	config->zones[i].name = strdup(name);
	config->zone_count++;
	return config->zones[i].name != NULL ? config->zones[i].zone : NULL;
}

static int read_zone(struct reader *r)
{
	const struct clause_part *time = clause_find(r->clause, "time"), *part;
	const char *name, *why = NULL;
	char shown[80], must[256];

	if (read_string(r, "zone", "the name of a time zone like \"Europe/Berlin\"", &part, &name) <
	    0)
		return -1;
	if (name != NULL && time == NULL)
		return refuse(r, part, "goes with a time only");
	if (time == NULL)
		return 0;
	if (name != NULL && *name == '\0')
		return refuse(r, part, "must be the name of a time zone like \"Europe/Berlin\"");
	r->zone = find_zone(r->l->config, name != NULL ? name : "", &why);
	if (r->zone != NULL)
		return 0;
	log_escape(shown, sizeof(shown), name != NULL ? name : "", name != NULL ? strlen(name) : 0);
	snprintf(must, sizeof(must), "\"%s\": %s", shown, why != NULL ? why : "out of memory");
	return refuse(r, part != NULL ? part : time, must);
}

/* ---- lists of hosts --------------------------------------------------------------------- */

static bool list_has(const void *list, struct slice host)
{
	return nameset_has(list, host);
}

static int read_list(const struct reader *r, const struct clause_part *part, const char *path,
    struct rule_value *ret)
{
	const char *why = NULL;
	char shown[160], must[256];

	ret->list_has = list_has;
	ret->list = hostfile_get(r->l, path, &why);
	if (ret->list != NULL)
		return 0;
	log_escape(shown, sizeof(shown), path, strlen(path));
	snprintf(must, sizeof(must), "cannot read \"%s\": %s", shown, why);
	return refuse(r, part, must);
}

/* ---- rules ------------------------------------------------------------------------------ */

/* Where nobody is asked who he is, such a rule would match nobody: a denial, too, denies nothing.
 */
static int check_users(const struct reader *r, const struct clause_part *part, unsigned condition)
{
	const struct config *config = r->l->config;

	if (condition != RULE_USER && condition != RULE_GROUP)
		return 0;
	if (config->auth.users[0] == '\0')
		return refuse(r, part,
		    "matches nobody without auth.users, a file of users: set it, or take the "
		    "condition out");
	if (condition == RULE_GROUP && config->auth.groups[0] == '\0')
		return refuse(r, part,
		    "matches nobody without auth.groups, a file of groups: set it, or take the "
		    "condition out");
	return 0;
}

static bool is_listener(const struct config *config, struct slice name)
{
	for (size_t i = 0; i < config->listen_count; i++) {
		if (slice_is(name, config->listen[i].name))
			return true;
	}
	return false;
}

/* What is to be said of a name that is not among those of its kind; NULL: it is. */
static const char *find_strange(const struct config *config, const struct rule_value *value)
{
	const struct htpasswd *users = config->auth.table;

	switch (value->condition) {
	case RULE_USER:
		return !users || htpasswd_find(users, value->text) ? NULL : "there is no user";
	case RULE_GROUP:
		return !users || htpasswd_has_group(users, value->text.ptr)
			   ? NULL
			   : "nobody is in a group";
	case RULE_LISTENER:
		return is_listener(config, value->text) ? NULL : "there is no listener";
	default:
		return NULL;
	}
}

/* A name that was mistyped, or is of somebody who has gone. */
static void note_stranger(
    struct reader *r, const struct clause_part *part, const struct rule_value *value)
{
	const char *strange = r->warned ? NULL : find_strange(r->l->config, value);
	char name[80], shown[80];

	if (!strange)
		return;
	r->warned = true;
	rule_part_name(r, part, name, sizeof(name));
	log_escape(shown, sizeof(shown), value->text.ptr, value->text.len);
	log_warning("%s:%u: %s: %s \"%s\": that matches nobody%s", r->l->file, part->line, name,
	    strange, shown,
	    value->condition == RULE_LISTENER ? ", unless the service manager names a socket so"
					      : "");
}

static int read_condition(
    struct reader *r, const struct clause_part *part, const struct condition *condition)
{
	if (part->is_number)
		return refuse_value(r, part, condition->expects, NULL);
	if (check_users(r, part, condition->kind) < 0)
		return -1;
	for (size_t i = 0; i < part->count; i++) {
		struct rule_value value = {.condition = condition->kind, .zone = r->zone};

		if (condition->kind == RULE_HOST && part->values[i][0] == '@') {
			if (read_list(r, part, part->values[i] + 1, &value) < 0)
				return -1;
		} else if (condition->value(part->values[i], r->host, &value) < 0) {
			return refuse_value(r, part, condition->expects, part->values[i]);
		}
		note_stranger(r, part, &value);
		if (rulebook_add_value(r->book, &value) < 0)
			return load_refuse_memory(r->l);
	}
	return 0;
}

static int check_names(const struct reader *r)
{
	for (size_t i = 0; i < r->clause->count; i++) {
		const struct clause_part *part = &r->clause->parts[i];

		if (condition_find(part->name) == NULL && !is_other(part->name))
			return refuse(r, part,
			    "there is no such condition: client, user, group, host, address, port, "
			    "method, scheme, listener, time with zone; nor such an effect: action "
			    "with say, source, bandwidth, log");
	}
	return 0;
}

static int read_rule(struct reader *r)
{
	struct rule rule = {.line = r->clause->line,
	    .action = RULE_SETS,
	    .bucket = &r->l->config->buckets[r->number - 1]};

	if (check_names(r) < 0 || read_action(r, &rule) < 0 || read_source(r, &rule) < 0 ||
	    read_bandwidth(r, &rule) < 0 || read_log(r, &rule) < 0 || read_zone(r) < 0)
		return -1;
	if (rule.action == RULE_SETS && clause_find(r->clause, "source") == NULL && !rule.has_log &&
	    rule.bandwidth == 0)
		return refuse(
		    r, NULL, "does nothing: it needs an action, source, bandwidth or log");
	if (rulebook_add(r->book, &rule) < 0)
		return load_refuse_memory(r->l);
	for (size_t i = 0; i < r->clause->count; i++) {
		const struct clause_part *part = &r->clause->parts[i];
		const struct condition *condition = condition_find(part->name);

		if (condition != NULL && read_condition(r, part, condition) < 0)
			return -1;
	}
	return 0;
}

int rules_build(const struct load *l)
{
	struct config *config = l->config;
	struct reader r = {.l = l};

	if (config->written.rule_count == 0)
		return 0;
	r.book = rulebook_new();
	config->buckets = calloc(config->written.rule_count, sizeof(*config->buckets));
	if (r.book == NULL || config->buckets == NULL) {
		rulebook_free(r.book);
		return load_refuse_memory(l);
	}
	acl_set_rules(config->acl, r.book);
	for (size_t i = 0; i < config->written.rule_count; i++) {
		r.clause = &config->written.rules[i];
		r.number = (unsigned)i + 1;
		r.zone = NULL;
		if (read_rule(&r) < 0)
			return -1;
	}
	return rulebook_seal(r.book) < 0 ? load_refuse_memory(l) : 0;
}
