#include "proxy/lists.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "policy/blocklist.h"
#include "proxy/load.h"
#include "proxy/snapshot.h"

#define KEY "access.blocklists"

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
		why = "it is larger than 2 GiB, or grows while it is read";
	return load_refuse(l, line, KEY, "cannot read %s: %s", shown, why);
}

int lists_load(const struct load *l)
{
	const struct strings *paths = &l->config->written.blocklists;
	const struct load_help *help = l->help;

	if (paths->count == 0)
		return 0;
	if (help->before_long != NULL)
		help->before_long();
	l->config->blocklist = blocklist_new();
	if (l->config->blocklist == NULL)
		return load_refuse_memory(l);
	for (size_t i = 0; i < paths->count; i++) {
		const char *path = paths->items[i];

		if (blocklist_add(l->config->blocklist, path,
			help->old != NULL ? help->old->blocklist : NULL, help->stop) != 0)
			return refuse(l, path);
	}
	return 0;
}
