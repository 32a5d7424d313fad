#include "proxy/confinement.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/identity.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "proxy/config.h"

static bool is_file(const char *path)
{
	return path[0] != '\0' && strcmp(path, "-") != 0;
}

/* What root could open and the user cannot would only be found when it is needed. */
static void check_reload(const struct identity *identity, const char *path)
{
	if (path && path[0] != '\0' && access(path, R_OK) != 0)
		log_warning("user %s cannot read %s: %s; a reload will fail", identity->name, path,
		    strerror(errno));
}

static int become(const struct config *config, const struct identity *identity)
{
	const char *log = config->log.access, *step;

	if (is_file(log) && identity_make_file(identity, log) != 0) {
		log_error("cannot make the access log %s: %s", log, strerror(errno));
		return -1;
	}
	if (identity_assume(identity, &step) != 0) {
		log_error("cannot %s to be %s: %s", step, identity->name, strerror(errno));
		return -1;
	}
	log_info("running as user %s", identity->name);
	return 0;
}

const char *confinement_user(
    const struct config *config, struct identity *ret_identity, bool *ret_change)
{
	*ret_change = false;
	if (config->user[0] == '\0')
		return NULL;
	if (identity_find(config->user, ret_identity) != 0)
		return errno == ENOENT ? "there is no such user" : strerror(errno);
	if (ret_identity->uid == geteuid())
		return NULL;
	*ret_change = true;
	return geteuid() == 0 ? NULL : "only root can become another user";
}

static int drop_root(const struct config *config, const char *path)
{
	struct identity identity;
	bool change;
	const char *why = confinement_user(config, &identity, &change);

	if (why) {
		log_error("user %s: %s", config->user, why);
		return -1;
	}
	if (change && become(config, &identity) != 0)
		return -1;
	if (geteuid() == 0)
		log_warning("running as root; the key user says who else to be");
	if (geteuid() == 0 || !change)
		return 0;
	check_reload(&identity, path);
	check_reload(&identity, config->auth.users);
	check_reload(&identity, config->auth.groups);
	for (size_t i = 0; i < config->written.blocklists.count; i++)
		check_reload(&identity, config->written.blocklists.items[i]);
	for (size_t i = 0; i < config->list_count; i++)
		check_reload(&identity, config->lists[i].path);
	return 0;
}

static int enter_sandbox(const struct config *config)
{
	if (sandbox_keep_privileges() != 0) {
		log_error("cannot do without new privileges: %s", strerror(errno));
		return -1;
	}
	if (!config->sandbox) {
		log_info("the sandbox is off");
		return 0;
	}
	if (!sandbox_is_built()) {
		log_info("this build has no sandbox");
		return 0;
	}
	if (sandbox_enter() != 0) {
		log_error("cannot enter the sandbox: %s; sandbox = \"off\" does without",
		    strerror(errno));
		return -1;
	}
	return 0;
}

int confinement_enter(const struct config *config, const char *path)
{
	return drop_root(config, path) != 0 ? -1 : enter_sandbox(config);
}
