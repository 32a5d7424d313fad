#include "proxy/rehearsal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/identity.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/holder.h"
#include "net/listener.h"
#include "proxy/accesslog.h"
#include "proxy/config.h"
#include "proxy/confinement.h"
#include "proxy/descriptors.h"
#include "proxy/lists.h"
#include "proxy/worker.h"

#define OUR_NAME "penstock"
#define INIT_NAME "systemd"

struct rehearsal {
	const struct config *config;
	FILE *notes, *wrong;
};

/* ---- places ---- */

/*
 * A place in use is fine when it is a penstock that holds it (a reload, or its end, lets this
 * configuration have it) or systemd, for us.  Where we cannot see who it is: SO_REUSEPORT is
 * shared only among sockets of one user who all asked for it, as ours do.
 */
static int judge_holder(const struct rehearsal *r, const struct addr *at, const char *where)
{
	struct holder holder;
	char name[4 * sizeof(holder.name) + 1];

	if (!holder_find(at, OUR_NAME, &holder)) {
		if (listener_may_share(at)) {
			fprintf(r->notes, "%s is held by a process of this user\n", where);
			return 0;
		}
		fprintf(
		    r->wrong, "penstock: cannot listen on %s: in use by another process\n", where);
		return -1;
	}
	log_escape(name, sizeof(name), holder.name, strlen(holder.name));
	if (strcmp(holder.name, OUR_NAME) == 0 || strcmp(holder.name, INIT_NAME) == 0) {
		fprintf(
		    r->notes, "%s is held by %s (process %ld)\n", where, name, (long)holder.pid);
		return 0;
	}
	fprintf(r->wrong, "penstock: cannot listen on %s: in use by %s (process %ld)\n", where,
	    name, (long)holder.pid);
	return -1;
}

static int check_place(const struct rehearsal *r, const struct addr *at)
{
	char where[ADDR_TEXT_MAX];

	addr_format(at, where);
	if (listener_is_free(at))
		return 0;
	if (errno == EADDRINUSE)
		return judge_holder(r, at, where);
	fprintf(r->wrong, "penstock: cannot listen on %s: %s\n", where, strerror(errno));
	return -1;
}

static int check_places(const struct rehearsal *r)
{
	int result = 0;

	for (size_t i = 0; i < r->config->listen_count; i++) {
		if (check_place(r, &r->config->listen[i].addr) != 0)
			result = -1;
	}
	return result;
}

/* ---- files ---- */

static int check_access_log(const struct rehearsal *r)
{
	if (accesslog_try(r->config->log.access, false) == 0)
		return 0;
	fprintf(r->wrong, "penstock: cannot open the access log %s: %s\n", r->config->log.access,
	    strerror(errno));
	return -1;
}

/* From here on we are who the daemon would be: this process does nothing but try. */
static int check_user(const struct rehearsal *r)
{
	struct identity identity;
	bool change;
	const char *why = confinement_user(r->config, &identity, &change), *step;

	if (why) {
		fprintf(r->wrong, "penstock: user %s: %s\n", r->config->user, why);
		return -1;
	}
	if (change && identity_assume(&identity, &step) != 0) {
		fprintf(r->wrong, "penstock: cannot %s to be %s: %s\n", step, identity.name,
		    strerror(errno));
		return -1;
	}
	return 0;
}

/* One that is there is opened by the user; root would only have made it. */
static int check_old_access_log(const struct rehearsal *r)
{
	if (r->config->user[0] == '\0' || access(r->config->log.access, F_OK) != 0)
		return 0;
	return check_access_log(r);
}

/* Root has read it; what the user cannot read makes a reload fail, which a start only warns of. */
static void note_unreadable(const struct rehearsal *r, const char *path)
{
	if (path[0] != '\0' && access(path, R_OK) != 0)
		fprintf(r->notes, "user %s cannot read %s: %s; a reload will fail\n",
		    r->config->user, path, strerror(errno));
}

static int check_user_files(const struct rehearsal *r)
{
	if (r->config->user[0] != '\0') {
		note_unreadable(r, r->config->auth.users);
		note_unreadable(r, r->config->auth.groups);
		for (size_t i = 0; i < r->config->written.blocklists.count; i++)
			note_unreadable(r, r->config->written.blocklists.items[i]);
		for (size_t i = 0; i < r->config->list_count; i++)
			note_unreadable(r, r->config->lists[i].path);
	}
	return 0;
}

static int note_lists(const struct rehearsal *r)
{
	const struct blocklist_list *list;
	char line[LISTS_LINE_MAX];

	for (size_t i = 0; (list = lists_at(r->config, i)) != NULL; i++) {
		(void)lists_describe(list, line, sizeof(line));
		fprintf(r->notes, "%s\n", line);
	}
	return 0;
}

/* A start only warns of it. */
static int check_descriptors(const struct rehearsal *r)
{
	struct descriptors d = descriptors_of(r->config, worker_wanted(r->config->workers));
	uint64_t allowed = descriptors_allowed();

	if (allowed < d.needed)
		fprintf(r->notes,
		    "the limits may need %" PRIu64 " open files, and %" PRIu64
		    " are allowed here\n",
		    d.needed, allowed);
	return 0;
}

/* In the order in which a start comes to them. */
static int (*const checks[])(const struct rehearsal *r) = {
    note_lists,
    check_descriptors,
    check_places,
    check_access_log,
    check_user,
    check_old_access_log,
    check_user_files,
};

int rehearsal_run(const struct config *config, FILE *notes, FILE *wrong)
{
	struct rehearsal r = {.config = config, .notes = notes, .wrong = wrong};
	int result = 0;

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if (checks[i](&r) != 0)
			result = -1;
	}
	return result;
}
