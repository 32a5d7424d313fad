#include "proxy/lists.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "policy/blocklist.h"
#include "policy/nameset.h"
#include "proxy/load.h"
#include "proxy/snapshot.h"

#define KEY "access.blocklists"
#define PATH_SHOWN 512

/* ---- loading ---- */

static int refuse(const struct load *l, const char *path)
{
	unsigned line = load_line(l, KEY);
	char shown[160], name[BLOCKLIST_NAME_MAX + 1];
	const char *why = strerror(errno);

	log_escape(shown, sizeof(shown), path, strlen(path));
	if (errno == EEXIST)
		return load_refuse(l, line, KEY,
		    "%s: there is a list of that name already; files need different names", shown);
	if (!blocklist_name(path, name))
		return load_refuse(l, line, KEY,
		    "%s: a list is called by its file's name, which must be letters, digits, "
		    "\"-\", "
		    "\"_\" and \".\", and at most %d of them",
		    shown, BLOCKLIST_NAME_MAX);
	if (errno == EINVAL)
		why = "it is no file";
	if (errno == EFBIG)
		why = "it is larger than 2 GiB";
	if (errno == ESTALE)
		why = "its size changes while it is read";
	return load_refuse(l, line, KEY, "cannot read %s: %s", shown, why);
}

int lists_load(const struct load *l)
{
	const struct strings *paths = &l->config->written.blocklists;
	const struct load_help *help = l->help;

	if (paths->count == 0)
		return 0;
	l->config->blocklist = blocklist_new();
	if (l->config->blocklist == NULL)
		return load_refuse_memory(l);
	for (size_t i = 0; i < paths->count; i++) {
		const char *path = paths->items[i];

		if (blocklist_add(l->config->blocklist, path,
			help->old != NULL ? help->old->blocklist : NULL, help->leisure) != 0)
			return refuse(l, path);
	}
	return 0;
}

/* ---- what is said of them ---- */

const struct blocklist_list *lists_at(const struct config *config, size_t index)
{
	return config->blocklist != NULL ? blocklist_at(config->blocklist, index) : NULL;
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

bool lists_describe(const struct blocklist_list *list, char *out, size_t size)
{
	const struct nameset_facts *facts = nameset_facts(list->names);
	size_t names = facts->names - facts->exceptions;
	char path[PATH_SHOWN], unknown[96] = "";

	log_escape(path, sizeof(path), list->path, strlen(list->path));
	if (facts->unknown > 0)
		snprintf(unknown, sizeof(unknown),
		    "; %" PRIu64 " line%s in no format known, the first is line %" PRIu64,
		    facts->unknown, plural(facts->unknown), facts->first_unknown);
	snprintf(out, size, "list %s (%s): %zu name%s, %zu exception%s%s", list->name, path, names,
	    plural(names), facts->exceptions, plural(facts->exceptions), unknown);
	return facts->unknown == 0 && facts->names > 0;
}

void lists_log(const struct config *config)
{
	const struct blocklist_list *list;

	for (size_t i = 0; (list = lists_at(config, i)) != NULL; i++) {
		char line[LISTS_LINE_MAX];

		if (list->shared)
			continue;
		if (lists_describe(list, line, sizeof(line)))
			log_info("%s", line);
		else
			log_warning("%s", line);
	}
}

void lists_log_totals(const struct config *config)
{
	const struct blocklist_list *list;

	for (size_t i = 0; (list = lists_at(config, i)) != NULL; i++)
		log_debug("%s{list=\"%s\"} %" PRIu64, metrics_name(METRIC_BLOCKLIST_DENIED),
		    list->name, blocklist_denied(list));
}
