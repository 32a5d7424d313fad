#include "proxy/key.h"

#include <string.h>

#include "base/attr.h"
#include "base/identity.h"
#include "base/log.h"
#include "policy/rulebook.h"
#include "proxy/notation.h"
#include "proxy/snapshot.h"

#define STRINGS_MAX 65536

static const char *const switches[] = {"off", "on", NULL};
static const char *const families[] = {"any", "ipv4", "ipv6", "prefer-ipv4", "prefer-ipv6", NULL};
static const char *const log_targets[] = {"stderr", "syslog", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

_Static_assert(sizeof(enum family) == sizeof(int), "choices are stored as int");
_Static_assert(sizeof(enum log_target) == sizeof(int), "choices are stored as int");
_Static_assert(sizeof(enum log_level) == sizeof(int), "choices are stored as int");

#define AT(field) .offset = offsetof(struct config, field)
#define INT(field, low, high, value, unit)                                                         \
	.type = KEY_INT, AT(field), .min = (low), .max = (high), .fallback = (value),              \
	.expects = (unit)
#define STRINGS(field, high, value)                                                                \
	.type = KEY_STRINGS, AT(field), .max = (high), .fallback = (value)
#define NETWORKS "a list of networks and addresses like [ \"192.0.2.0/24\", \"2001:db8::1\" ]"

static const struct key keys[] = {
    {"listen", .type = KEY_LISTEN, .min = 1, .max = CONFIG_LISTEN_MAX,
	.fallback = "( { address = \"127.0.0.1\"; port = 3128; } )",
	.expects = "a list of groups like ( { address = \"127.0.0.1\"; port = 3128; } )",
	.about = "Where clients connect to; a group may have a name and a source, too."},
    {"workers", INT(workers, 0, 256, "0", "threads"), .fixed = true,
	.about = "Threads that serve clients; 0: one for each CPU."},
    {"user", .type = KEY_STRING, AT(user), .max = IDENTITY_NAME_MAX, .fallback = "\"\"",
	.valid = notation_is_user, .fixed = true,
	.expects = "a user's name of at most 32 characters, or \"\" (stay who we are)",
	.about = "Who to be once started as root: a user's name, \"\" to stay root."},
    {"sandbox", .type = KEY_CHOICE, AT(sandbox), .fallback = "\"on\"", .choices = switches,
	.fixed = true, .expects = "\"on\" or \"off\"",
	.about = "System calls that a proxy does not need end the process."},
    {"name", .type = KEY_STRING, AT(name), .min = 1, .max = 64, .fallback = "\"penstock\"",
	.valid = notation_is_name,
	.expects = "a token of 1 to 64 letters, digits or !#$%&'*+-.^_`|~",
	.about = "What the proxy calls itself in Via and Proxy-Status; must differ along a chain."},
    {"family", .type = KEY_CHOICE, AT(family), .fallback = "\"any\"", .choices = families,
	.expects = "\"any\", \"ipv4\", \"ipv6\", \"prefer-ipv4\" or \"prefer-ipv6\"",
	.about = "Which addresses of a site are connected to, or are tried first."},

    {"access.clients", STRINGS(written.clients, STRINGS_MAX, "[ \"127.0.0.0/8\", \"::1\" ]"),
	.valid = notation_is_network, .expects = NETWORKS,
	.about = "Who may use the proxy; an empty list: nobody."},
    {"access.connect_ports", STRINGS(written.connect_ports, STRINGS_MAX, "[ \"443\", \"8443\" ]"),
	.valid = notation_is_ports,
	.expects = "a list of ports and ranges like [ \"443\", \"8000-8999\" ]",
	.about = "Ports that CONNECT may reach; an empty list: none."},
    {"access.allow_addresses", STRINGS(written.allow_addresses, STRINGS_MAX, "[ ]"),
	.valid = notation_is_place,
	.expects = "a list of networks and kinds like [ \"192.168.0.0/16\", \"private\" ]",
	.about =
	    "Destinations exempt from the denial of private, loopback and other special ones."},
    {"access.blocklists", STRINGS(written.blocklists, CONFIG_BLOCKLISTS_MAX, "[ ]"),
	.valid = notation_is_path,
	.expects = "a list of at most 64 files like [ \"/etc/penstock/ads.txt\" ]",
	.about = "Files of names that nobody is to reach."},
    {"access.recheck_tunnels", .type = KEY_CHOICE, AT(recheck_tunnels), .fallback = "\"off\"",
	.choices = switches, .expects = "\"on\" or \"off\"",
	.about = "A reload ends tunnels that it would not let through any more."},
    {"access.rules", .type = KEY_RULES, .max = RULEBOOK_MAX, .fallback = "( )",
	.expects = "a list of at most 32768 groups like ( { host = \".example.com\"; action = "
		   "\"deny\"; } )",
	.about = "Who may go where, and how: the first rule that matches decides."},

    {"auth.users", .type = KEY_STRING, AT(auth.users), .max = KEY_STRING_MAX, .fallback = "\"\"",
	.expects = "a file name of at most 4095 bytes, or \"\" (everybody may come)",
	.about = "Who has to say who he is, and with what password: a file of lines name:hash."},
    {"auth.groups", .type = KEY_STRING, AT(auth.groups), .max = KEY_STRING_MAX, .fallback = "\"\"",
	.expects = "a file name of at most 4095 bytes, or \"\" (there are no groups)",
	.about = "Which users are in which group: a file of lines group: user user."},
    {"auth.realm", .type = KEY_STRING, AT(auth.realm), .min = 1, .max = 128,
	.fallback = "\"penstock\"", .valid = notation_is_realm,
	.expects = "1 to 128 printable ASCII characters without \\ and the double quote",
	.about = "What a browser shows when it asks for the password."},
    {"auth.exempt", STRINGS(written.exempt, CONFIG_EXEMPT_MAX, "[ ]"), .valid = notation_is_network,
	.expects = NETWORKS, .about = "Clients that need no credentials."},
    {"auth.keep", INT(auth.keep, 0, 86400, "300", "seconds"),
	.about = "A password that was right is not checked again for so long; 0: always."},
    {"auth.failures", INT(auth.failures, 0, 1000, "10", "failures a minute"),
	.about = "Wrong passwords of one client in a minute (429 above); 0: no limit."},
    {"auth.delay", INT(auth.delay, 0, 20, "1", "seconds"),
	.about = "The answer to a wrong password waits so long."},

    {"timeouts.head", INT(timeouts.head, 1, 3600, "10", "seconds"),
	.about = "For a request head to be complete, from its first byte."},
    {"timeouts.idle", INT(timeouts.idle, 1, 3600, "60", "seconds"),
	.about = "A client connection may wait for its next request."},
    {"timeouts.connect", INT(timeouts.connect, 1, 3600, "10", "seconds"),
	.about = "For a connection to the origin, over all of its addresses."},
    {"timeouts.first_byte", INT(timeouts.first_byte, 1, 3600, "120", "seconds"),
	.about = "For the head of the response to be there once the request was sent."},
    {"timeouts.body", INT(timeouts.body, 1, 3600, "120", "seconds"),
	.about = "A body may stand still, either way."},
    {"timeouts.body_grace", INT(timeouts.body_grace, 1, 3600, "120", "seconds"),
	.about = "A body may be slower than limits.body_rate_min."},
    {"timeouts.tunnel", INT(timeouts.tunnel, 1, 604800, "600", "seconds"),
	.about = "A tunnel (CONNECT, Upgrade) may stand still."},
    {"timeouts.tunnel_lifetime", INT(timeouts.tunnel_lifetime, 0, 2592000, "0", "seconds"),
	.about = "A tunnel may last, however busy; 0: for ever."},
    {"timeouts.resolve", INT(timeouts.resolve, 1, 3600, "10", "seconds"),
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
    {"limits.body_rate_min", INT(limits.body_rate_min, 0, 1000000, "100", "bytes per second"),
	.about = "Least rate of a body, whoever holds it up; 0: none."},
    {"limits.clients", INT(limits.rules.clients, 1, 1000000, "10000", "connections"),
	.about = "Client connections of all workers together (503 above)."},
    {"limits.client_connections",
	INT(limits.rules.client_connections, 0, 1000000, "0", "connections"),
	.about =
	    "Connections of one client at a time (429 above); 0: no limit, as in all of these."},
    {"limits.client_connects",
	INT(limits.rules.client_connects, 0, 1000000, "0", "connections a second"),
	.about = "New connections of one client in a second (429 above)."},
    {"limits.client_requests",
	INT(limits.rules.client_requests, 0, 1000000, "0", "requests a second"),
	.about = "Requests of one client in a second (429 above)."},
    {"limits.client_tunnels", INT(limits.rules.client_tunnels, 0, 1000000, "0", "tunnels"),
	.about = "Tunnels of one client at a time (429 above)."},
    {"limits.client_bandwidth",
	INT(limits.rules.client_bandwidth, 0, 2000000000, "0", "bytes a second"),
	.about = "What all connections of one client move, both ways together."},
    {"limits.origin_exchanges", INT(limits.rules.origin_exchanges, 0, 1000000, "0", "exchanges"),
	.about = "Requests and tunnels to one host and port at a time (503 above)."},
    {"limits.pool", INT(limits.pool, 0, 100000, "1024", "connections"),
	.about = "Idle origin connections that one worker keeps."},
    {"limits.pool_per_origin", INT(limits.pool_per_origin, 0, 10000, "256", "connections"),
	.about = "The same for one origin."},
    {"limits.pool_idle", INT(limits.pool_idle, 1, 3600, "30", "seconds"),
	.about = "An idle origin connection is kept so long."},

    {"resolver.servers", STRINGS(written.servers, CONFIG_SERVERS_MAX, "[ ]"),
	.valid = notation_is_server,
	.expects = "a list of at most 8 servers like [ \"192.0.2.53\", \"[2001:db8::53]:5353\" ]",
	.about = "DNS servers to ask; an empty list: those of /etc/resolv.conf."},
    {"resolver.cache", INT(resolver.cache, 0, 1000000, "10000", "entries"),
	.about = "Names that one worker remembers."},
    {"resolver.lookups", INT(resolver.lookups, 1, 4096, "256", "names"),
	.about = "Names that one worker asks for at a time; the others wait for their turn."},
    {"resolver.ttl_min", INT(resolver.ttl_min, 0, 3600, "0", "seconds"),
	.about = "An answer is remembered no shorter than this."},
    {"resolver.ttl_max", INT(resolver.ttl_max, 0, 86400, "3600", "seconds"),
	.about = "An answer is remembered no longer than this."},
    {"resolver.ttl_negative", INT(resolver.ttl_negative, 0, 3600, "30", "seconds"),
	.about = "That a name does not exist is remembered no longer than this."},

    {"log.target", .type = KEY_CHOICE, AT(log.target), .fallback = "\"stderr\"",
	.choices = log_targets, .expects = "\"stderr\" or \"syslog\"",
	.about = "Where the daemon's own messages go."},
    {"log.level", .type = KEY_CHOICE, AT(log.level), .fallback = "\"info\"", .choices = log_levels,
	.expects = "\"error\", \"warning\", \"info\" or \"debug\"",
	.about = "The least important message that is written."},
    {"log.access", .type = KEY_STRING, AT(log.access), .max = KEY_STRING_MAX, .fallback = "\"\"",
	.expects = "a file name of at most 4095 bytes, \"-\" (standard output) or \"\" (none)",
	.about = "The access log: a file, \"-\" for standard output, \"\" for none."},
};

_Static_assert(ARRAY_LEN(keys) <= KEY_MAX, "KEY_MAX is too small");

struct slice key_group(const struct key *key)
{
	const char *dot = strchr(key->name, '.');

	return (struct slice){key->name, dot == NULL ? 0 : (size_t)(dot - key->name)};
}

const struct key *key_at(size_t index)
{
	return index < ARRAY_LEN(keys) ? &keys[index] : NULL;
}

const struct key *key_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

bool key_is_group(const char *name)
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

struct slice key_near(const char *name)
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
