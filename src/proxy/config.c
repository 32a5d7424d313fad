#include "proxy/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "base/text.h"
#include "net/addr.h"
#include "policy/acl.h"
#include "policy/special.h"
#include "proxy/key.h"
#include "proxy/lists.h"
#include "proxy/load.h"
#include "proxy/notation.h"
#include "proxy/rules.h"
#include "proxy/users.h"

/* ---- loading ---- */

static int build_clients(const struct strings *list, struct acl *acl)
{
	struct network network;

	for (size_t i = 0; i < list->count; i++)
		if (notation_parse_network(list->items[i], &network) < 0 ||
		    acl_add_client(acl, &network) < 0)
			return -1;
	return 0;
}

static int build_addresses(const struct strings *list, struct acl *acl)
{
	struct network network;

	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i];
		unsigned kinds = special_parse(slice_of(text));

		acl_add_special(acl, kinds);
		if (kinds == 0 && (notation_parse_network(text, &network) < 0 ||
				      acl_add_address(acl, &network) < 0))
			return -1;
	}
	return 0;
}

static int build_exempt(struct config *config)
{
	const struct strings *list = &config->written.exempt;

	config->auth.exempt = calloc(list->count + 1, sizeof(*config->auth.exempt));
	if (config->auth.exempt == NULL)
		return -1;
	for (size_t i = 0; i < list->count; i++) {
		struct network network;

		if (notation_parse_network(list->items[i], &network) < 0)
			return -1;
		config->auth.exempt[i] = network_unmapped(&network);
	}
	config->auth.exempt_count = list->count;
	return 0;
}

static int build_acl(struct config *config)
{
	const struct strings *ports = &config->written.connect_ports;
	struct acl *acl = acl_new();
	uint16_t first, last;

	config->acl = acl;
	if (acl == NULL || build_clients(&config->written.clients, acl) < 0 ||
	    build_addresses(&config->written.allow_addresses, acl) < 0)
		return -1;
	for (size_t i = 0; i < ports->count; i++)
		if (notation_parse_ports(ports->items[i], &first, &last) < 0 ||
		    acl_add_connect_ports(acl, first, last) < 0)
			return -1;
	return 0;
}

/* What follows from several keys together. */
static int finish(const struct load *l)
{
	struct config *config = l->config;
	const struct strings *servers = &config->written.servers;

	if (config->limits.request_line >= config->limits.head) {
		unsigned line = load_line(l, "limits.request_line");

		if (line == 0)
			line = load_line(l, "limits.head");
		return load_refuse(l, line, "limits.request_line",
		    "must be less than limits.head (%d, %d)", config->limits.request_line,
		    config->limits.head);
	}
	for (size_t i = 0; i < servers->count; i++)
		config->resolver.servers[i] = servers->items[i];
	config->resolver.server_count = servers->count;
	if (build_acl(config) < 0 || build_exempt(config) < 0)
		return load_refuse_memory(l);
	return rules_build(l);
}

/* Without help, files that are named are not read. */
static struct config *parse(struct text *text, const char *name, const struct load_help *help,
    struct config_error *ret_error)
{
	struct load l = {.config = config_new(),
	    .file = name,
	    .message = ret_error->message,
	    .message_size = sizeof(ret_error->message),
	    .help = help};

	if (l.config == NULL) {
		load_refuse_memory(&l);
		return NULL;
	}
	if (load_text(&l, text) < 0 || load_defaults(&l) < 0 ||
	    (help != NULL && users_load(&l) < 0) || finish(&l) < 0 ||
	    (help != NULL && lists_load(&l) < 0)) {
		config_unref(l.config);
		return NULL;
	}
	return l.config;
}

struct config *config_parse(const char *text, const char *name, struct config_error *ret_error)
{
	struct text copy = {0};
	struct config *config;

	text_add_string(&copy, text);
	config = parse(&copy, name, NULL, ret_error);
	text_done(&copy);
	return config;
}

struct config *config_load_again(
    const char *path, const struct load_help *help, struct config_error *ret_error)
{
	struct text text = {0};
	struct config *config = NULL;

	if (path == NULL)
		return config_parse("", "defaults", ret_error);
	/* What comes out of a pipe comes once: nothing would be read the second time. */
	if (load_file(path, help->old == NULL, LOAD_SIZE_MAX, &text) < 0)
		snprintf(ret_error->message, sizeof(ret_error->message), "%.256s: %s", path,
		    errno == EINVAL ? "it is no file, and cannot be read again" : strerror(errno));
	else
		config = parse(&text, path, help, ret_error);
	text_done(&text);
	return config;
}

struct config *config_load(const char *path, struct config_error *ret_error)
{
	return config_load_again(path, &(struct load_help){0}, ret_error);
}

/* ---- printing ---- */

static void print_listen(const struct config *config, FILE *out)
{
	fputs("(", out);
	for (size_t i = 0; i < config->listen_count; i++) {
		fputs(i == 0 ? " " : ", ", out);
		listen_print(&config->listen[i], out);
	}
	fputs(" )", out);
}

/* Each on a line of its own: there may be many. */
static void print_rules(const struct config *config, FILE *out)
{
	fputs("(", out);
	for (size_t i = 0; i < config->written.rule_count; i++) {
		fputs(i == 0 ? "\n\t\t" : ",\n\t\t", out);
		clause_print(&config->written.rules[i], out);
	}
	fputs(config->written.rule_count == 0 ? " )" : "\n\t)", out);
}

static void print_value(const struct config *config, const struct key *key, FILE *out)
{
	const void *value = (const char *)config + key->offset;
	const struct strings *list = value;

	switch (key->type) {
	case KEY_INT:
		fprintf(out, "%d", *(const int *)value);
		break;
	case KEY_CHOICE:
		notation_print(key->choices[*(const int *)value], out);
		break;
	case KEY_STRING:
		notation_print(*(char *const *)value, out);
		break;
	case KEY_STRINGS:
		fputs("[", out);
		for (size_t i = 0; i < list->count; i++) {
			fputs(i == 0 ? " " : ", ", out);
			notation_print(list->items[i], out);
		}
		fputs(" ]", out);
		break;
	case KEY_LISTEN:
		print_listen(config, out);
		break;
	case KEY_RULES:
		print_rules(config, out);
		break;
	}
}

static void print_comment(const struct key *key, const char *indent, FILE *out)
{
	fprintf(out, "%s# %s\n%s# ", indent, key->about, indent);
	if (key->type == KEY_INT)
		fprintf(out, "%d to %d %s", key->min, key->max, key->expects);
	else
		fputs(key->expects, out);
	fprintf(out, "; default %s%s\n", key->fallback, key->fixed ? "; needs a restart" : "");
}

void config_print(const struct config *config, FILE *out)
{
	const struct key *key;
	struct slice open = {"", 0};

	for (size_t i = 0; (key = key_at(i)) != NULL; i++) {
		struct slice group = key_group(key);
		const char *indent = group.len > 0 ? "\t" : "";

		if (!slice_equal_nocase(group, open)) {
			fputs(open.len > 0 ? "};\n" : "", out);
			fprintf(out, "%.*s = {\n", (int)group.len, group.ptr);
			open = group;
		}
		print_comment(key, indent, out);
		fprintf(out, "%s%s = ", indent, key->name + group.len + (group.len > 0));
		print_value(config, key, out);
		fputs(";\n", out);
	}
	fputs(open.len > 0 ? "};\n" : "", out);
}

const char *config_key(size_t index)
{
	const struct key *key = key_at(index);

	return key != NULL ? key->name : NULL;
}

static char *value_text(const struct config *config, const struct key *key)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	print_value(config, key, out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

const char *config_fixed_change(const struct config *old, const struct config *fresh, size_t *index)
{
	const struct key *key;

	while ((key = key_at(*index)) != NULL) {
		char *before = key->fixed ? value_text(old, key) : NULL;
		char *after = key->fixed ? value_text(fresh, key) : NULL;
		bool differ = before && after && strcmp(before, after) != 0;

		++*index;
		free(before);
		free(after);
		if (differ)
			return key->name;
	}
	return NULL;
}
