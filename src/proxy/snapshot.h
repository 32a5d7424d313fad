/*
 * snapshot -- every value of a configuration, counted.
 *
 * struct config is the snapshot.  It is written while it is loaded, by the one who made
 * it, and never again; the counts are atomic, so that every worker may hold one.
 *
 * Who may go where can take a lot of memory, and who has been let through asks for it no more.  So
 * there are two counts: of those who may judge, and of those who need but the rest of it, perhaps
 * for days.  What is only for judging goes with the last judge.
 */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/log.h"
#include "net/family.h"
#include "policy/limit.h"
#include "policy/rulebook.h"
#include "proxy/clause.h"
#include "proxy/listen.h"

struct acl;
struct blocklist;
struct bucket;
struct htpasswd;
struct nameset;
struct zone;

#define CONFIG_LISTEN_MAX 64
#define CONFIG_SERVERS_MAX 8
#define CONFIG_EXEMPT_MAX 1024
#define CONFIG_BLOCKLISTS_MAX 64

/* Strings that the list owns. */
struct strings {
	char **items;
	size_t count;
};

struct config {
	struct listen listen[CONFIG_LISTEN_MAX];
	size_t listen_count;
	int workers; /* 0: one per CPU */
	char *user;  /* to become when started as root; "": stay */
	int sandbox; /* bool */
	char *name;  /* our pseudonym in Via and Proxy-Status; a token */
	enum family family;
	struct acl *acl;             /* for judging only */
	struct blocklist *blocklist; /* likewise; NULL: there is no list */
	struct bucket *buckets;      /* one for each rule, which borrows it */
	int recheck_tunnels;         /* bool */
	struct {
		char *users, *groups;   /* files; "": none */
		struct htpasswd *table; /* what is in them; NULL: nobody has to say who he is */
		char *realm;            /* fit to stand between quotes */
		struct network *exempt; /* clients that need not */
		size_t exempt_count;
		int keep, failures, delay; /* seconds, a minute (0: no limit), seconds */
	} auth;
	struct {
		int head, idle, connect, first_byte, body, body_grace, tunnel, tunnel_lifetime;
		int resolve, linger, drain;
	} timeouts; /* seconds, keys timeouts.head and so on */
	struct {
		int request_line, head, fields;       /* bytes, bytes, lines */
		int in_flight;                        /* bytes a direction */
		int body_rate_min;                    /* bytes a second; 0: none */
		struct limit_rules rules;             /* the keys of the same names */
		int pool, pool_per_origin, pool_idle; /* connections, connections, seconds */
	} limits;
	struct {
		char *servers[CONFIG_SERVERS_MAX]; /* borrowed from written.servers */
		size_t server_count;
		int cache, lookups;                 /* entries, names */
		int ttl_min, ttl_max, ttl_negative; /* seconds */
	} resolver;
	struct {
		enum log_target target; /* log.target = "stderr" | "syslog" */
		enum log_level level;   /* log.level = "error" | "warning" | "info" | "debug" */
		char *access; /* log.access: a file, "-" for standard output, "" for none */
	} log;
	/* For judging only: time zones that rules name, "" is the local one; the acl borrows them.
	 */
	struct {
		char *name;
		struct zone *zone;
	} zones[RULEBOOK_ZONES_MAX];
	size_t zone_count;
	/* Likewise, lists of hosts. */
	struct {
		char *path;
		struct nameset *names;
	} lists[RULEBOOK_LISTS_MAX];
	size_t list_count;
	/* The lists as in the file, to be printed; the acl and others are made of them. */
	struct {
		struct strings clients, connect_ports, allow_addresses, servers, exempt, blocklists;
		struct clause *rules; /* for judging only: a verdict has its texts from them */
		size_t rule_count;
	} written;
	atomic_size_t judges, keepers; /* all judges together are one keeper */
};

/* Returns new (counted once), all zero, or NULL when out of memory. */
struct config *config_new(void);

/* Counts one who may judge, and so keeps all of it; returns its argument. */
struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* NULL and half-built are fine */

/* Counts one who keeps it all but for what is only for judging.  By a judge. */
void config_keep(struct config *config);
void config_unkeep(struct config *config);

#endif
