#include "proxy/hostfile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "policy/nameset.h"
#include "proxy/load.h"
#include "proxy/snapshot.h"

#define SHOWN 256 /* bytes of a path */

static struct nameset *find(const struct config *config, const char *path)
{
	for (size_t i = 0; config != NULL && i < config->list_count; i++) {
		if (strcmp(config->lists[i].path, path) == 0)
			return config->lists[i].names;
	}
	return NULL;
}

static const char *why_not(void)
{
	if (errno == EINVAL)
		return "it is no file";
	if (errno == EFBIG)
		return "it is larger than 2 GiB";
	if (errno == ESTALE)
		return "its size changes while it is read";
	return strerror(errno);
}

static void tell(const char *path, const struct nameset *names)
{
	const struct nameset_facts *facts = nameset_facts(names);
	char shown[SHOWN];

	if (facts->unknown == 0)
		return;
	log_escape(shown, sizeof(shown), path, strlen(path));
	log_warning("%s: %" PRIu64 " lines in no format known, the first is line %" PRIu64, shown,
	    facts->unknown, facts->first_unknown);
}

struct nameset *hostfile_get(const struct load *l, const char *path, const char **ret_why)
{
	struct config *config = l->config;
	struct nameset *names = find(config, path), *before;
	size_t i = config->list_count;

	if (names != NULL)
		return names;
	if (*path != '/') {
		*ret_why = "files are named from the root on, like \"@/FILE\"";
		return NULL;
	}
	if (i == RULEBOOK_LISTS_MAX) {
		*ret_why = "there are more than 64 files in all";
		return NULL;
	}
	if (l->help == NULL) {
		*ret_why = "files are not read here";
		return NULL;
	}
	before = find(l->help->old, path);
	names = nameset_load(path, before, l->help->leisure);
	if (names == NULL) {
		*ret_why = why_not();
		return NULL;
	}
	config->lists[i].path = strdup(path);
	if (config->lists[i].path == NULL) {
		nameset_unref(names);
		*ret_why = "out of memory";
		return NULL;
	}
	config->lists[i].names = names;
	config->list_count++;
	if (names != before)
		tell(path, names);
	return names;
}
