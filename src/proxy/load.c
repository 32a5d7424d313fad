#include "proxy/load.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slice.h"
#include "net/addr.h"
#include "proxy/syntax.h"

int load_refuse(const struct load *l, unsigned line, const char *key, const char *format, ...)
{
	size_t len;
	va_list args;

	snprintf(l->message, l->message_size, "%.256s:%u: %.128s%s", l->file, line,
	    key == NULL ? "" : key, key == NULL ? "" : ": ");
	len = strlen(l->message);
	va_start(args, format);
	vsnprintf(l->message + len, l->message_size - len, format, args);
	va_end(args);
	return -1;
}

int load_refuse_memory(const struct load *l)
{
	snprintf(l->message, l->message_size, "%.256s: out of memory", l->file);
	return -1;
}

static int refuse_unknown(const struct load *l, const config_setting_t *at, const char *key)
{
	struct slice near = key_near(key);
	unsigned line = config_setting_source_line(at);

	if (near.len == 0)
		return load_refuse(l, line, key, "there is no such key");
	return load_refuse(
	    l, line, key, "there is no such key, did you mean %.*s?", (int)near.len, near.ptr);
}

static int refuse_value(const struct load *l, const struct key *key, const config_setting_t *at)
{
	const char *string = config_setting_get_string(at);
	unsigned line = config_setting_source_line(at);
	char shown[80];

	if (key->type == KEY_INT)
		return load_refuse(l, line, key->name, "must be a whole number from %d to %d (%s)",
		    key->min, key->max, key->expects);
	if (string == NULL)
		return load_refuse(l, line, key->name, "must be %s", key->expects);
	log_escape(shown, sizeof(shown), string, strlen(string));
	return load_refuse(l, line, key->name, "must be %s, not \"%s\"", key->expects, shown);
}

static size_t key_index(const struct key *key)
{
	return (size_t)(key - key_at(0));
}

static void *field(const struct load *l, const struct key *key)
{
	return (char *)l->config + key->offset;
}

static int set_int(struct load *l, const struct key *key, const config_setting_t *at)
{
	int type = config_setting_type(at);
	long long value = config_setting_get_int64(at);

	if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || value < key->min ||
	    value > key->max)
		return refuse_value(l, key, at);
	*(int *)field(l, key) = (int)value;
	return 0;
}

static int set_choice(struct load *l, const struct key *key, const config_setting_t *at)
{
	const char *string = config_setting_get_string(at);

	for (int i = 0; string != NULL && key->choices[i] != NULL; i++) {
		if (strcmp(key->choices[i], string) == 0) {
			*(int *)field(l, key) = i;
			return 0;
		}
	}
	return refuse_value(l, key, at);
}

static int set_string(struct load *l, const struct key *key, const config_setting_t *at)
{
	const char *string = config_setting_get_string(at);
	char **ret = field(l, key);

	if (string == NULL || strlen(string) < (size_t)key->min ||
	    strlen(string) > (size_t)key->max || (key->valid != NULL && !key->valid(string)))
		return refuse_value(l, key, at);
	*ret = strdup(string);
	return *ret == NULL ? load_refuse_memory(l) : 0;
}

/* libconfig sees an element's end too late for its line to be right: errors name the key's line. */
static int refuse_element(
    const struct load *l, const struct key *key, const config_setting_t *list, const char *string)
{
	char shown[80];

	if (string == NULL)
		return refuse_value(l, key, list);
	log_escape(shown, sizeof(shown), string, strlen(string));
	return load_refuse(l, config_setting_source_line(list), key->name,
	    "must be %s, but holds \"%s\"", key->expects, shown);
}

/* An array [ ] or a list ( ), within the count that the key allows. */
static bool is_sequence(const struct key *key, const config_setting_t *at)
{
	int count = config_setting_length(at);

	return (config_setting_is_array(at) || config_setting_is_list(at)) && count >= key->min &&
	       count <= key->max;
}

static int set_strings(struct load *l, const struct key *key, const config_setting_t *at)
{
	struct strings *ret = field(l, key);
	int count = config_setting_length(at);

	if (!is_sequence(key, at))
		return refuse_value(l, key, at);
	ret->items = calloc((size_t)count + 1, sizeof(*ret->items));
	if (ret->items == NULL)
		return load_refuse_memory(l);
	for (int i = 0; i < count; i++) {
		const char *string = config_setting_get_string_elem(at, i);

		if (string == NULL || !key->valid(string))
			return refuse_element(l, key, at, string);
		ret->items[i] = strdup(string);
		if (ret->items[i] == NULL)
			return load_refuse_memory(l);
		ret->count++;
	}
	return 0;
}

static int set_listen_group(struct load *l, const struct key *key, const config_setting_t *group)
{
	struct config *config = l->config;
	struct listen *listen = &config->listen[config->listen_count];
	struct listen_fault fault;
	char shown[ADDR_TEXT_MAX];

	if (!config_setting_is_group(group))
		return refuse_value(l, key, config_setting_parent(group));
	if (listen_read(group, listen, &fault) < 0)
		return load_refuse(l, fault.line, fault.key, "%s%.64s", fault.must, fault.found);
	for (size_t i = 0; listen->addr.port != 0 && i < config->listen_count; i++) {
		if (addr_equal(&listen->addr, &config->listen[i].addr)) {
			addr_format(&listen->addr, shown);
			return load_refuse(l, config_setting_source_line(group), key->name,
			    "%s is there twice", shown);
		}
	}
	config->listen_count++;
	return 0;
}

static int set_listen(struct load *l, const struct key *key, const config_setting_t *at)
{
	if (!is_sequence(key, at))
		return refuse_value(l, key, at);
	for (int i = 0; i < config_setting_length(at); i++)
		if (set_listen_group(l, key, config_setting_get_elem(at, (unsigned)i)) < 0)
			return -1;
	return 0;
}

/* Their shape: what they say is for rules.c, when all other keys are known. */
static int set_rules(struct load *l, const struct key *key, const config_setting_t *at)
{
	struct config *config = l->config;
	int count = config_setting_length(at);
	struct clause_fault fault;

	if (!is_sequence(key, at))
		return refuse_value(l, key, at);
	config->written.rules = calloc((size_t)count + 1, sizeof(*config->written.rules));
	if (config->written.rules == NULL)
		return load_refuse_memory(l);
	for (int i = 0; i < count; i++) {
		struct clause *clause = &config->written.rules[config->written.rule_count++];
		char name[KEY_NAME_MAX + 16];

		if (clause_read(config_setting_get_elem(at, (unsigned)i), clause, &fault) == 0)
			continue;
		if (fault.must == NULL)
			return load_refuse_memory(l);
		snprintf(name, sizeof(name), "%s[%d]%s%.32s", key->name, i + 1,
		    fault.part ? "." : "", fault.part ? fault.part : "");
		return load_refuse(l, fault.line, name, "%s", fault.must);
	}
	return 0;
}

static int set_key(struct load *l, const struct key *key, const config_setting_t *at)
{
	switch (key->type) {
	case KEY_INT:
		return set_int(l, key, at);
	case KEY_CHOICE:
		return set_choice(l, key, at);
	case KEY_STRING:
		return set_string(l, key, at);
	case KEY_STRINGS:
		return set_strings(l, key, at);
	case KEY_LISTEN:
		return set_listen(l, key, at);
	case KEY_RULES:
		return set_rules(l, key, at);
	}
	return -1;
}

/* The settings of the file's top level (prefix "") or of one group (prefix "limits."). */
static int read_settings(struct load *l, const config_setting_t *group, const char *prefix)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *at = config_setting_get_elem(group, (unsigned)i);
		const struct key *key;
		char name[2 * KEY_NAME_MAX], inner[sizeof(name) + 1];

		snprintf(name, sizeof(name), "%s%s", prefix, config_setting_name(at));
		key = key_find(name);
		if (key != NULL) {
			l->lines[key_index(key)] = config_setting_source_line(at);
			if (set_key(l, key, at) < 0)
				return -1;
			continue;
		}
		if (!key_is_group(name))
			return refuse_unknown(l, at, name);
		if (!config_setting_is_group(at))
			return load_refuse(
			    l, config_setting_source_line(at), name, "must be a group { }");
		snprintf(inner, sizeof(inner), "%s.", name);
		if (read_settings(l, at, inner) < 0)
			return -1;
	}
	return 0;
}

/* The defaults are read by the same code as the file. */
static int read_default(struct load *l, const struct key *key)
{
	config_t tree;
	char text[128];
	int result;

	snprintf(text, sizeof(text), "x = %s;\n", key->fallback);
	config_init(&tree);
	if (config_read_string(&tree, text) == CONFIG_TRUE)
		result = set_key(l, key, config_setting_get_elem(config_root_setting(&tree), 0));
	else
		result = load_refuse_memory(l);
	config_destroy(&tree);
	return result;
}

int load_defaults(struct load *l)
{
	const struct key *key;

	for (size_t i = 0; (key = key_at(i)) != NULL; i++)
		if (l->lines[i] == 0 && read_default(l, key) < 0)
			return -1;
	return 0;
}

static int check_text(const struct load *l, struct text *text)
{
	const char *why;
	unsigned line;

	/* A comment is one for libconfig only when a line feed ends it. */
	text_add(text, "\n", 1);
	if (text->failed)
		return load_refuse_memory(l);
	if (text->len > LOAD_SIZE_MAX)
		return load_refuse(l, 1, NULL, "more than %d bytes", LOAD_SIZE_MAX - 1);
	why = syntax_check(text, &line);
	return why == NULL ? 0 : load_refuse(l, line, NULL, "%s", why);
}

int load_text(struct load *l, struct text *text)
{
	config_t tree;
	int result;

	if (check_text(l, text) < 0)
		return -1;
	config_init(&tree);
	if (config_read_string(&tree, text->ptr) == CONFIG_TRUE)
		result = read_settings(l, config_root_setting(&tree), "");
	else
		result = load_refuse(
		    l, (unsigned)config_error_line(&tree), NULL, "%s", config_error_text(&tree));
	config_destroy(&tree);
	return result;
}

/* Opening does not wait; reading what is no file would.  Directories say so themselves. */
static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat info;

	if (fd < 0 || fstat(fd, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

int load_file(const char *path, bool pipe, size_t most, struct text *text)
{
	char block[4096];
	ssize_t n;
	int fd = pipe ? open(path, O_RDONLY | O_CLOEXEC) : open_file(path);
	int error;

	if (fd < 0)
		return -1;
	do {
		n = read(fd, block, sizeof(block));
		if (n > 0)
			text_add(text, block, (size_t)n);
	} while ((n > 0 && text->len <= most) || (n < 0 && errno == EINTR));
	error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

unsigned load_line(const struct load *l, const char *name)
{
	return l->lines[key_index(key_find(name))];
}
