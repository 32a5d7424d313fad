#include "proxy/users.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "net/addr.h"
#include "policy/htpasswd.h"
#include "proxy/load.h"

static int refuse_file(const struct load *l, const char *key, const char *path)
{
	return load_refuse(l, load_line(l, key), key, "cannot read %.256s: %s", path,
	    errno == EINVAL ? "it is no file" : strerror(errno));
}

static int refuse_line(
    const struct load *l, const char *key, const char *path, const struct htpasswd_note *wrong)
{
	if (wrong->line == 0)
		return load_refuse_memory(l);
	return load_refuse(
	    l, load_line(l, key), key, "%.256s:%u: %s", path, wrong->line, wrong->message);
}

/* The text of a file into the table, by one of its two readers. */
static int read_into(const struct load *l, const char *key, const char *path,
    int (*read)(struct htpasswd *table, struct slice text, struct htpasswd_note *ret_wrong,
	const char *path))
{
	struct htpasswd_note wrong = {0, ""};
	struct text text = {0};
	int result = -1;

	if (load_file(path, false, HTPASSWD_TEXT_MAX, &text) < 0)
		refuse_file(l, key, path);
	else if (text.failed)
		load_refuse_memory(l);
	else if (read(l->config->auth.table, text_slice(&text), &wrong, path) < 0)
		refuse_line(l, key, path, &wrong);
	else
		result = 0;
	if (text.ptr)
		explicit_bzero(text.ptr, text.len);
	text_done(&text);
	return result;
}

static int read_users(
    struct htpasswd *table, struct slice text, struct htpasswd_note *ret_wrong, const char *path)
{
	(void)path;
	return htpasswd_read_users(table, text, ret_wrong);
}

static int read_groups(
    struct htpasswd *table, struct slice text, struct htpasswd_note *ret_wrong, const char *path)
{
	struct htpasswd_note strange;

	if (htpasswd_read_groups(table, text, ret_wrong, &strange) < 0)
		return -1;
	if (strange.line > 0)
		log_warning("%s:%u: %s, ignoring", path, strange.line, strange.message);
	return 0;
}

int users_load(const struct load *l)
{
	struct config *config = l->config;
	const char *users = config->auth.users, *groups = config->auth.groups;

	if (users[0] == '\0' && groups[0] != '\0')
		return load_refuse(l, load_line(l, "auth.groups"), "auth.groups",
		    "there are no users to be in groups: auth.users names no file");
	if (users[0] == '\0')
		return 0;
	config->auth.table = htpasswd_new();
	if (!config->auth.table)
		return load_refuse_memory(l);
	if (read_into(l, "auth.users", users, read_users) < 0)
		return -1;
	return groups[0] == '\0' ? 0 : read_into(l, "auth.groups", groups, read_groups);
}

bool users_ask(const struct config *config, const struct addr *client)
{
	struct addr plain = addr_unmapped(client);

	if (!config->auth.table)
		return false;
	for (size_t i = 0; i < config->auth.exempt_count; i++)
		if (network_contains(&config->auth.exempt[i], &plain))
			return false;
	return true;
}
