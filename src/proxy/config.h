/*
 * config -- the libconfig file as one immutable, counted snapshot.
 *
 * Every key is a row of one table in config.c: name, type, range, default,
 * description.  A snapshot is never written after load; the reference count is
 * atomic, so that every worker may hold one.
 */
#ifndef PROXY_CONFIG_H
#define PROXY_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/log.h"
#include "net/addr.h"

struct acl;

#define CONFIG_LISTEN_MAX 64
#define CONFIG_SERVERS_MAX 8

struct config {
	struct addr listen[CONFIG_LISTEN_MAX];
	size_t listen_count;
	int workers; /* 0: one per CPU */
	char *name;  /* our pseudonym in Via and Proxy-Status; a token */
	struct acl *acl;
	struct {
		int head, idle, connect, first_byte, body, tunnel, resolve, linger, drain;
	} timeouts; /* seconds, keys timeouts.head and so on */
	struct {
		int request_line, head, fields;       /* bytes, bytes, lines */
		int in_flight;                        /* bytes a direction */
		int clients;                          /* connections a worker */
		int pool, pool_per_origin, pool_idle; /* connections, connections, seconds */
	} limits;
	struct {
		char *servers[CONFIG_SERVERS_MAX];
		size_t server_count;
		int cache, ttl_max, ttl_negative; /* entries, seconds, seconds */
	} resolver;
	struct {
		enum log_target target; /* log.target = "stderr" | "syslog" */
		enum log_level level;   /* log.level = "error" | "warning" | "info" | "debug" */
		char *access; /* log.access: a file, "-" for standard output, "" for none */
	} log;
};

/* Where and why a file was refused.  "conf/x.conf:12: limits.head: must be 1024 to 1048576". */
struct config_error {
	char message[512];
};

/* Returns new (counted once), or NULL with the error filled in.  path NULL: the defaults. */
struct config *config_load(const char *path, struct config_error *ret_error);
/* The same from a string, which is named in messages; for tests and fuzzing. */
struct config *config_parse(const char *text, const char *name, struct config_error *ret_error);

struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/*
 * The first key from *index on that only a start takes up and that differs; NULL when there is
 * none.  *index is moved behind it.
 */
const char *config_fixed_change(
    const struct config *old, const struct config *fresh, size_t *index);

/* The effective configuration as a file that loads to the same. */
void config_print(const struct config *config, FILE *out);

/* Every key's full name in turn ("timeouts.head"), NULL behind the last: for `make keys`. */
const char *config_key(size_t index);

#endif
