#include "proxy/config.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/text.h"
#include "http/head.h"
#include "net/addr.h"
#include "policy/acl.h"

#define FILE_SIZE_MAX (1024 * 1024)
#define DEPTH_MAX 8
#define SETTINGS_MAX 1000 /* libconfig looks for duplicates in quadratic time */
#define KEY_NAME_MAX 64
#define STRING_MAX 4095
#define STRINGS_MAX 65536

struct strings {
	char **items;
	size_t count;
};

/* What is behind a struct config: the lists as written, so that they can be printed. */
struct snapshot {
	struct config config; /* first: the pointers are converted */
	atomic_size_t refs;
	struct strings clients, connect_ports, allow_addresses, servers;
};

/* ---- what a string may be ---- */

static struct slice slice_of(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static bool name_valid(const char *text)
{
	return head_is_token(slice_of(text));
}

static bool network_valid(const char *text)
{
	struct network network;

	return network_parse(slice_of(text), &network) == 0;
}

/* Digits only, 1 to 65535. */
static int port_parse(const char *text, size_t len, uint16_t *ret_port)
{
	unsigned value = 0;

	if (len < 1 || len > 5)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value < 1 || value > UINT16_MAX)
		return -1;
	*ret_port = (uint16_t)value;
	return 0;
}

/* "N" or "A-B". */
static int ports_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
	const char *dash = strchr(text, '-');
	uint16_t first, last;

	if (dash == NULL) {
		if (port_parse(text, strlen(text), &first) < 0)
			return -1;
		last = first;
	} else if (port_parse(text, (size_t)(dash - text), &first) < 0 ||
		   port_parse(dash + 1, strlen(dash + 1), &last) < 0 || first > last) {
		return -1;
	}
	*ret_first = first;
	*ret_last = last;
	return 0;
}

static bool ports_valid(const char *text)
{
	uint16_t first, last;

	return ports_parse(text, &first, &last) == 0;
}

/* "IP", "IPv4:port" or "[IPv6]:port". */
static bool server_valid(const char *text)
{
	struct slice ip = slice_of(text);
	const char *colon = strrchr(text, ':');
	struct addr addr;
	uint16_t port;

	if (addr_parse(ip, &addr) == 0)
		return true;
	if (colon == NULL || port_parse(colon + 1, strlen(colon + 1), &port) < 0)
		return false;
	ip.len = (size_t)(colon - text);
	if (ip.len < 2 || text[0] != '[')
		return addr_parse(ip, &addr) == 0 && addr.family == AF_INET;
	if (text[ip.len - 1] != ']')
		return false;
	ip.ptr++;
	ip.len -= 2;
	return addr_parse(ip, &addr) == 0 && addr.family == AF_INET6;
}

/* ---- the table ---- */

enum key_type { KEY_INT, KEY_CHOICE, KEY_STRING, KEY_STRINGS, KEY_LISTEN };

struct key {
	const char *name; /* "group.key", or "key" at the top */
	enum key_type type;
	bool fixed;           /* read when the daemon starts: a reload does not change it */
	size_t offset;        /* of the value in struct snapshot */
	int min, max;         /* of the number, the string's length, the list's length */
	const char *fallback; /* the default, as a file would say it */
	const char *expects;  /* what follows "must be"; with numbers, the unit */
	bool (*valid)(const char *text); /* each string; NULL: all are */
	const char *const *choices;      /* KEY_CHOICE: names of the values from 0 on */
	const char *about;
};

static const char *const log_targets[] = {"stderr", "syslog", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

_Static_assert(sizeof(enum log_target) == sizeof(int), "choices are stored as int");
_Static_assert(sizeof(enum log_level) == sizeof(int), "choices are stored as int");

#define AT(field) .offset = offsetof(struct snapshot, field)
#define INT(field, low, high, value, unit)                                                         \
	.type = KEY_INT, AT(config.field), .min = (low), .max = (high), .fallback = (value),       \
	.expects = (unit)
#define STRINGS(field, high, value)                                                                \
	.type = KEY_STRINGS, AT(field), .max = (high), .fallback = (value)
#define NETWORKS "a list of networks and addresses like [ \"192.0.2.0/24\", \"2001:db8::1\" ]"

static const struct key keys[] = {
    {"listen", .type = KEY_LISTEN, .fixed = true, .min = 1, .max = CONFIG_LISTEN_MAX,
	.fallback = "( { address = \"127.0.0.1\"; port = 3128; } )",
	.expects = "a list of groups like ( { address = \"127.0.0.1\"; port = 3128; } )",
	.about = "Where clients connect to; port 0 lets the system choose one."},
    {"workers", INT(workers, 0, 256, "0", "threads"), .fixed = true,
	.about = "Threads that serve clients; 0: one for each CPU."},
    {"name", .type = KEY_STRING, AT(config.name), .min = 1, .max = 64, .fallback = "\"penstock\"",
	.valid = name_valid, .expects = "a token of 1 to 64 letters, digits or !#$%&'*+-.^_`|~",
	.about = "What the proxy calls itself in Via and Proxy-Status; must differ along a chain."},

    {"access.clients", STRINGS(clients, STRINGS_MAX, "[ \"127.0.0.0/8\", \"::1\" ]"),
	.valid = network_valid, .expects = NETWORKS,
	.about = "Who may use the proxy; an empty list: nobody."},
    {"access.connect_ports", STRINGS(connect_ports, STRINGS_MAX, "[ \"443\", \"8443\" ]"),
	.valid = ports_valid,
	.expects = "a list of ports and ranges like [ \"443\", \"8000-8999\" ]",
	.about = "Ports that CONNECT may reach; an empty list: none."},
    {"access.allow_addresses", STRINGS(allow_addresses, STRINGS_MAX, "[ ]"), .valid = network_valid,
	.expects = NETWORKS,
	.about = "Destinations exempt from the denial of loopback, link-local and reserved ones."},

    {"timeouts.head", INT(timeouts.head, 1, 3600, "10", "seconds"),
	.about = "For a request head to be complete, from its first byte."},
    {"timeouts.idle", INT(timeouts.idle, 1, 3600, "60", "seconds"),
	.about = "A client connection may wait for its next request."},
    {"timeouts.connect", INT(timeouts.connect, 1, 3600, "10", "seconds"),
	.about = "For a connection to the origin, over all of its addresses."},
    {"timeouts.first_byte", INT(timeouts.first_byte, 1, 3600, "120", "seconds"),
	.about = "For the response to begin once the request was sent."},
    {"timeouts.body", INT(timeouts.body, 1, 3600, "120", "seconds"),
	.about = "A body may stand still, either way."},
    {"timeouts.tunnel", INT(timeouts.tunnel, 1, 604800, "600", "seconds"),
	.about = "A tunnel (CONNECT, Upgrade) may stand still."},
    {"timeouts.resolve", INT(timeouts.resolve, 1, 3600, "10", "seconds"), .fixed = true,
	.about = "For the whole lookup of a name."},
    {"timeouts.linger", INT(timeouts.linger, 1, 3600, "5", "seconds"),
	.about = "What a client still sends is read after an early answer, before closing."},
    {"timeouts.drain", INT(timeouts.drain, 0, 86400, "30", "seconds"),
	.about = "Requests under way may go on after SIGTERM."},

    {"limits.request_line", INT(limits.request_line, 256, 65536, "8192", "bytes"),
	.about = "Longest request line (414 above); less than limits.head."},
    {"limits.head", INT(limits.head, 1024, 1048576, "65536", "bytes"),
	.about = "Largest head of a request (431 above) or response (502)."},
    {"limits.fields", INT(limits.fields, 10, 10000, "200", "lines"),
	.about = "Header lines in a head (431 above, 502 for a response)."},
    {"limits.in_flight", INT(limits.in_flight, 16384, 16777216, "262144", "bytes"),
	.about = "Held in memory for each direction of an exchange before reading pauses."},
    {"limits.clients", INT(limits.clients, 1, 1000000, "10000", "connections"),
	.about = "Client connections of one worker."},
    {"limits.pool", INT(limits.pool, 0, 100000, "1024", "connections"),
	.about = "Idle origin connections that one worker keeps."},
    {"limits.pool_per_origin", INT(limits.pool_per_origin, 0, 10000, "256", "connections"),
	.about = "The same for one origin."},
    {"limits.pool_idle", INT(limits.pool_idle, 1, 3600, "30", "seconds"),
	.about = "An idle origin connection is kept so long."},

    {"resolver.servers", STRINGS(servers, CONFIG_SERVERS_MAX, "[ ]"), .fixed = true,
	.valid = server_valid,
	.expects = "a list of at most 8 servers like [ \"192.0.2.53\", \"[2001:db8::53]:5353\" ]",
	.about = "DNS servers to ask; an empty list: those of /etc/resolv.conf."},
    {"resolver.cache", INT(resolver.cache, 0, 1000000, "10000", "entries"), .fixed = true,
	.about = "Names that one worker remembers."},
    {"resolver.ttl_max", INT(resolver.ttl_max, 0, 86400, "3600", "seconds"), .fixed = true,
	.about = "An answer is remembered no longer than this."},
    {"resolver.ttl_negative", INT(resolver.ttl_negative, 0, 3600, "30", "seconds"), .fixed = true,
	.about = "That a name does not exist is remembered so long."},

    {"log.target", .type = KEY_CHOICE, AT(config.log.target), .fallback = "\"stderr\"",
	.choices = log_targets, .expects = "\"stderr\" or \"syslog\"",
	.about = "Where the daemon's own messages go."},
    {"log.level", .type = KEY_CHOICE, AT(config.log.level), .fallback = "\"info\"",
	.choices = log_levels, .expects = "\"error\", \"warning\", \"info\" or \"debug\"",
	.about = "The least important message that is written."},
    {"log.access", .type = KEY_STRING, AT(config.log.access), .max = STRING_MAX, .fallback = "\"\"",
	.expects = "a file name of at most 4095 bytes, \"-\" (standard output) or \"\" (none)",
	.fixed = true,
	.about = "The access log: a file, \"-\" for standard output, \"\" for none."},
};

/* "limits" for "limits.head", empty for "name". */
static struct slice key_group(const struct key *key)
{
	const char *dot = strchr(key->name, '.');

	return (struct slice){key->name, dot == NULL ? 0 : (size_t)(dot - key->name)};
}

static const struct key *key_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static bool key_is_group(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (slice_is(key_group(&keys[i]), name))
			return true;
	return false;
}

/* Edits that make b of a (Levenshtein); more than any limit when one is too long. */
static size_t edit_distance(struct slice a, struct slice b)
{
	size_t row[KEY_NAME_MAX];

	if (a.len >= KEY_NAME_MAX || b.len >= KEY_NAME_MAX)
		return KEY_NAME_MAX;
	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t change = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
			size_t insert = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = change < insert ? change : insert;
		}
	}
	return row[b.len];
}

/* The key or group that an unknown name was probably meant to be; empty when none is near. */
static struct slice key_near(const char *name)
{
	struct slice best = {"", 0};
	size_t best_distance = 3;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct slice candidates[] = {slice_of(keys[i].name), key_group(&keys[i])};

		for (size_t j = 0; j < ARRAY_LEN(candidates); j++) {
			size_t distance = edit_distance(slice_of(name), candidates[j]);

			if (candidates[j].len > 0 && distance < best_distance) {
				best_distance = distance;
				best = candidates[j];
			}
		}
	}
	return best;
}

/* ---- before libconfig: what its scanner passes over or trips on ---- */

struct scan {
	char *pos;
	unsigned line;
	int depth, settings;
};

/* Behind the end mark; the scanner of libconfig 1.5 takes a missing one for the end of the file. */
static const char *scan_string(struct scan *s)
{
	unsigned start = s->line;

	for (s->pos++; *s->pos != '"'; s->pos++) {
		if (*s->pos == '\\' && (s->pos[1] == '"' || s->pos[1] == '\\'))
			s->pos++;
		else if (*s->pos == '\n')
			s->line++;
		else if (*s->pos == '\0') {
			s->line = start;
			return "this string has no end";
		}
	}
	s->pos++;
	return NULL;
}

static const char *scan_comment(struct scan *s)
{
	unsigned start = s->line;

	for (s->pos += 2; s->pos[0] != '*' || s->pos[1] != '/'; s->pos++) {
		if (*s->pos == '\n')
			s->line++;
		if (*s->pos == '\0') {
			s->line = start;
			return "this comment has no end";
		}
	}
	s->pos += 2;
	return NULL;
}

/*
 * libconfig 1.5 wraps integers around: 4294967297 would be 1.  Nothing here goes
 * above eight digits, so a larger one becomes nine nines, out of range.
 */
static void scan_number(struct scan *s)
{
	bool hex = s->pos[0] == '0' && (s->pos[1] == 'x' || s->pos[1] == 'X');
	char *start = s->pos + (hex ? 2 : 0);
	size_t len = strspn(start, hex ? "0123456789abcdefABCDEF" : "0123456789");
	char *end = start + len;

	if (len > (hex ? 7 : 9) && *end != '.' && *end != 'e' && *end != 'E') {
		memset(s->pos, '0', (size_t)(end - s->pos));
		memset(end - 9, '9', 9);
	}
	s->pos = end;
}

/* One step; NULL, or a sentence why the text on this line is refused. */
static const char *scan_step(struct scan *s)
{
	static const char letters[] = "*ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char name[] =
	    "-_0123456789*ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char c = *s->pos;

	if (c == '"')
		return scan_string(s);
	if (c == '/' && s->pos[1] == '*')
		return scan_comment(s);
	if (c >= '0' && c <= '9') {
		scan_number(s);
	} else if (strchr(letters, c) != NULL) {
		s->pos += strspn(s->pos, name);
	} else if (c == '#' || (c == '/' && s->pos[1] == '/')) {
		s->pos += strcspn(s->pos, "\n");
	} else {
		s->line += c == '\n';
		s->settings += c == '=' || c == ':';
		s->depth += (strchr("{[(", c) != NULL) - (strchr("}])", c) != NULL);
		s->pos++;
	}
	if (c == '@')
		return "@include is not supported: write everything into one file";
	if (s->depth > DEPTH_MAX)
		return "nested too deeply";
	return s->settings > SETTINGS_MAX ? "too many settings" : NULL;
}

/* ---- from libconfig's tree into the snapshot ---- */

struct load {
	struct snapshot *snapshot;
	const char *file;
	struct config_error *error;
	unsigned lines[ARRAY_LEN(keys)]; /* where a key was set; 0: not in the file */
};

/* Fill in the error, key may be NULL.  Returns -1. */
PRINTF_LIKE(4, 5)
static int refuse(const struct load *l, unsigned line, const char *key, const char *format, ...)
{
	char *out = l->error->message;
	size_t size = sizeof(l->error->message);
	size_t len;
	va_list args;

	snprintf(out, size, "%.256s:%u: %.128s%s", l->file, line, key == NULL ? "" : key,
	    key == NULL ? "" : ": ");
	len = strlen(out);
	va_start(args, format);
	vsnprintf(out + len, size - len, format, args);
	va_end(args);
	return -1;
}

static int refuse_memory(const struct load *l)
{
	snprintf(l->error->message, sizeof(l->error->message), "%.256s: out of memory", l->file);
	return -1;
}

static int refuse_unknown(const struct load *l, const config_setting_t *at, const char *key)
{
	struct slice near = key_near(key);
	unsigned line = config_setting_source_line(at);

	if (near.len == 0)
		return refuse(l, line, key, "there is no such key");
	return refuse(
	    l, line, key, "there is no such key, did you mean %.*s?", (int)near.len, near.ptr);
}

static int refuse_value(const struct load *l, const struct key *key, const config_setting_t *at)
{
	const char *string = config_setting_get_string(at);
	unsigned line = config_setting_source_line(at);
	char shown[80];

	if (key->type == KEY_INT)
		return refuse(l, line, key->name, "must be a whole number from %d to %d (%s)",
		    key->min, key->max, key->expects);
	if (string == NULL)
		return refuse(l, line, key->name, "must be %s", key->expects);
	log_escape(shown, sizeof(shown), string, strlen(string));
	return refuse(l, line, key->name, "must be %s, not \"%s\"", key->expects, shown);
}

static void *field(const struct load *l, const struct key *key)
{
	return (char *)l->snapshot + key->offset;
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
	return *ret == NULL ? refuse_memory(l) : 0;
}

/* libconfig sees an element's end too late for its line to be right: errors name the key's line. */
static int refuse_element(
    const struct load *l, const struct key *key, const config_setting_t *list, const char *string)
{
	char shown[80];

	if (string == NULL)
		return refuse_value(l, key, list);
	log_escape(shown, sizeof(shown), string, strlen(string));
	return refuse(l, config_setting_source_line(list), key->name,
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
		return refuse_memory(l);
	for (int i = 0; i < count; i++) {
		const char *string = config_setting_get_string_elem(at, i);

		if (string == NULL || !key->valid(string))
			return refuse_element(l, key, at, string);
		ret->items[i] = strdup(string);
		if (ret->items[i] == NULL)
			return refuse_memory(l);
		ret->count++;
	}
	return 0;
}

/* One member of a listen group. */
static int set_listen_part(
    struct load *l, const config_setting_t *at, struct addr *addr, bool *ret_port)
{
	const char *name = config_setting_name(at);
	unsigned line = config_setting_source_line(at);

	if (strcmp(name, "address") == 0) {
		const char *string = config_setting_get_string(at);
		uint16_t port = addr->port;

		if (string == NULL || addr_parse(slice_of(string), addr) < 0)
			return refuse(l, line, "listen.address",
			    "must be an IPv4 or IPv6 address like \"127.0.0.1\" or \"::1\"");
		addr->port = port;
		return 0;
	}
	if (strcmp(name, "port") == 0) {
		long long port = config_setting_get_int64(at);

		if (!config_setting_is_number(at) || config_setting_type(at) == CONFIG_TYPE_FLOAT ||
		    port < 0 || port > UINT16_MAX)
			return refuse(
			    l, line, "listen.port", "must be a whole number from 0 to 65535");
		addr->port = (uint16_t)port;
		*ret_port = true;
		return 0;
	}
	return refuse(l, line, "listen", "a group has address and port, not %.64s", name);
}

static int set_listen_group(struct load *l, const struct key *key, config_setting_t *group)
{
	struct config *config = &l->snapshot->config;
	unsigned line = config_setting_source_line(group);
	struct addr addr = {0};
	bool has_port = false;
	char shown[ADDR_TEXT_MAX];

	if (!config_setting_is_group(group))
		return refuse_value(l, key, config_setting_parent(group));
	for (int i = 0; i < config_setting_length(group); i++)
		if (set_listen_part(
			l, config_setting_get_elem(group, (unsigned)i), &addr, &has_port) < 0)
			return -1;
	if (addr.family == 0 || !has_port)
		return refuse(l, line, key->name, "this group has no %s",
		    addr.family == 0 ? "address" : "port");
	for (size_t i = 0; addr.port != 0 && i < config->listen_count; i++) {
		if (addr_equal(&addr, &config->listen[i])) {
			addr_format(&addr, shown);
			return refuse(l, line, key->name, "%s is there twice", shown);
		}
	}
	config->listen[config->listen_count++] = addr;
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
			l->lines[key - keys] = config_setting_source_line(at);
			if (set_key(l, key, at) < 0)
				return -1;
			continue;
		}
		if (!key_is_group(name))
			return refuse_unknown(l, at, name);
		if (!config_setting_is_group(at))
			return refuse(
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
		result = refuse_memory(l);
	config_destroy(&tree);
	return result;
}

static int build_networks(const struct strings *list, struct acl *acl,
    int (*add)(struct acl *acl, const struct network *network))
{
	struct network network;

	for (size_t i = 0; i < list->count; i++)
		if (network_parse(slice_of(list->items[i]), &network) < 0 || add(acl, &network) < 0)
			return -1;
	return 0;
}

static int build_acl(struct snapshot *s)
{
	struct acl *acl = acl_new();
	uint16_t first, last;

	s->config.acl = acl;
	if (acl == NULL || build_networks(&s->clients, acl, acl_add_client) < 0 ||
	    build_networks(&s->allow_addresses, acl, acl_add_address) < 0)
		return -1;
	for (size_t i = 0; i < s->connect_ports.count; i++)
		if (ports_parse(s->connect_ports.items[i], &first, &last) < 0 ||
		    acl_add_connect_ports(acl, first, last) < 0)
			return -1;
	return 0;
}

/* What follows from several keys together. */
static int finish(struct load *l)
{
	struct snapshot *s = l->snapshot;
	struct config *config = &s->config;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (l->lines[i] == 0 && read_default(l, &keys[i]) < 0)
			return -1;
	if (config->limits.request_line >= config->limits.head) {
		unsigned line = l->lines[key_find("limits.request_line") - keys];

		if (line == 0)
			line = l->lines[key_find("limits.head") - keys];
		return refuse(l, line, "limits.request_line",
		    "must be less than limits.head (%d, %d)", config->limits.request_line,
		    config->limits.head);
	}
	for (size_t i = 0; i < s->servers.count; i++)
		config->resolver.servers[i] = s->servers.items[i];
	config->resolver.server_count = s->servers.count;
	return build_acl(s) < 0 ? refuse_memory(l) : 0;
}

static int scan_text(const struct load *l, struct text *text)
{
	struct scan scan = {.pos = text->ptr, .line = 1};
	const char *why = NULL;

	/* A comment is one for libconfig only when a line feed ends it. */
	text_add(text, "\n", 1);
	if (text->failed)
		return refuse_memory(l);
	scan.pos = text->ptr;
	if (text->len > FILE_SIZE_MAX)
		return refuse(l, 1, NULL, "more than %d bytes", FILE_SIZE_MAX - 1);
	while (*scan.pos != '\0' && why == NULL)
		why = scan_step(&scan);
	if (why == NULL && scan.pos != text->ptr + text->len)
		why = "a NUL byte";
	return why == NULL ? 0 : refuse(l, scan.line, NULL, "%s", why);
}

static int read_text(struct load *l, struct text *text)
{
	config_t tree;
	int result;

	if (scan_text(l, text) < 0)
		return -1;
	config_init(&tree);
	if (config_read_string(&tree, text->ptr) == CONFIG_TRUE)
		result = read_settings(l, config_root_setting(&tree), "");
	else
		result = refuse(
		    l, (unsigned)config_error_line(&tree), NULL, "%s", config_error_text(&tree));
	config_destroy(&tree);
	return result < 0 ? -1 : finish(l);
}

static struct config *parse(struct text *text, const char *name, struct config_error *ret_error)
{
	struct load l = {.file = name, .error = ret_error};

	l.snapshot = calloc(1, sizeof(*l.snapshot));
	if (l.snapshot == NULL) {
		refuse_memory(&l);
		return NULL;
	}
	atomic_init(&l.snapshot->refs, 1);
	if (read_text(&l, text) < 0) {
		config_unref(&l.snapshot->config);
		return NULL;
	}
	return &l.snapshot->config;
}

struct config *config_parse(const char *text, const char *name, struct config_error *ret_error)
{
	struct text copy = {0};
	struct config *config;

	text_add_string(&copy, text);
	config = parse(&copy, name, ret_error);
	text_done(&copy);
	return config;
}

/* 0, or -1 with errno.  Stops behind FILE_SIZE_MAX, for parse to refuse it. */
static int read_file(const char *path, struct text *text)
{
	char block[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -1;
	do {
		n = read(fd, block, sizeof(block));
		if (n > 0)
			text_add(text, block, (size_t)n);
	} while ((n > 0 && text->len <= FILE_SIZE_MAX) || (n < 0 && errno == EINTR));
	error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

struct config *config_load(const char *path, struct config_error *ret_error)
{
	struct text text = {0};
	struct config *config = NULL;

	if (path == NULL)
		return config_parse("", "defaults", ret_error);
	if (read_file(path, &text) < 0)
		snprintf(ret_error->message, sizeof(ret_error->message), "%.256s: %s", path,
		    strerror(errno));
	else
		config = parse(&text, path, ret_error);
	text_done(&text);
	return config;
}

struct config *config_ref(struct config *config)
{
	struct snapshot *s = (struct snapshot *)config;

	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return config;
}

static void strings_done(struct strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

void config_unref(struct config *config)
{
	struct snapshot *s = (struct snapshot *)config;

	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return;
	acl_free(config->acl);
	strings_done(&s->clients);
	strings_done(&s->connect_ports);
	strings_done(&s->allow_addresses);
	strings_done(&s->servers);
	free(config->name);
	free(config->log.access);
	free(s);
}

/* ---- printing ---- */

/* log_escape writes what libconfig reads back. */
static void print_string(const char *string, FILE *out)
{
	char escaped[4 * STRING_MAX + 1];

	log_escape(escaped, sizeof(escaped), string, strlen(string));
	fprintf(out, "\"%s\"", escaped);
}

static void print_listen(const struct config *config, FILE *out)
{
	fputs("(", out);
	for (size_t i = 0; i < config->listen_count; i++) {
		char ip[ADDR_TEXT_MAX];

		addr_format_ip(&config->listen[i], ip);
		fprintf(out, "%s { address = \"%s\"; port = %u; }", i == 0 ? "" : ",", ip,
		    (unsigned)config->listen[i].port);
	}
	fputs(" )", out);
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
		print_string(key->choices[*(const int *)value], out);
		break;
	case KEY_STRING:
		print_string(*(char *const *)value, out);
		break;
	case KEY_STRINGS:
		fputs("[", out);
		for (size_t i = 0; i < list->count; i++) {
			fputs(i == 0 ? " " : ", ", out);
			print_string(list->items[i], out);
		}
		fputs(" ]", out);
		break;
	case KEY_LISTEN:
		print_listen(config, out);
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
	struct slice open = {"", 0};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct slice group = key_group(&keys[i]);
		const char *indent = group.len > 0 ? "\t" : "";

		if (!slice_equal_nocase(group, open)) {
			fputs(open.len > 0 ? "};\n" : "", out);
			fprintf(out, "%.*s = {\n", (int)group.len, group.ptr);
			open = group;
		}
		print_comment(&keys[i], indent, out);
		fprintf(out, "%s%s = ", indent, keys[i].name + group.len + (group.len > 0));
		print_value(config, &keys[i], out);
		fputs(";\n", out);
	}
	fputs(open.len > 0 ? "};\n" : "", out);
}

const char *config_key(size_t index)
{
	return index < ARRAY_LEN(keys) ? keys[index].name : NULL;
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
	while (*index < ARRAY_LEN(keys)) {
		const struct key *key = &keys[(*index)++];
		char *before = key->fixed ? value_text(old, key) : NULL;
		char *after = key->fixed ? value_text(fresh, key) : NULL;
		bool differ = before && after && strcmp(before, after) != 0;

		free(before);
		free(after);
		if (differ)
			return key->name;
	}
	return NULL;
}
