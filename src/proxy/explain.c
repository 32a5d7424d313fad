#include "proxy/explain.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/log.h"
#include "http/target.h"
#include "net/addr.h"
#include "net/locality.h"
#include "net/name.h"
#include "policy/acl.h"
#include "policy/blocklist.h"
#include "policy/htpasswd.h"
#include "policy/special.h"
#include "proxy/entrance.h"
#include "proxy/notation.h"
#include "proxy/snapshot.h"
#include "proxy/users.h"

#define WORD_MAX 4096

/* The question, read. */
struct explanation {
	const struct config *config;
	const char *file;
	FILE *out;
	char words[4][WORD_MAX]; /* client, user, method, URL */
	struct addr client;
	struct target target;
	bool is_address; /* the host is one */
	bool unasked;    /* a user is named, but the client is not asked who it is */
	struct addr addresses[EXPLAIN_ADDRESSES_MAX];
	size_t address_count;
	char host[TARGET_HOST_MAX + 1];
	struct acl_facts facts;
};

/* ---- reading the question --------------------------------------------------------------- */

static int nonsense(FILE *wrong, const char *what, const char *text)
{
	char shown[256];

	log_escape(shown, sizeof(shown), text, strlen(text));
	fprintf(wrong, "penstock: --explain: %s: \"%s\"\n", what, shown);
	return EX_USAGE;
}

/* Three words or four: the user may be left out. */
static bool split(struct explanation *e, const char *text)
{
	const char *begins[5];
	size_t lengths[5], count = 0;

	for (; count < 5; count++) {
		text += strspn(text, " \t");
		if (*text == '\0')
			break;
		begins[count] = text;
		lengths[count] = strcspn(text, " \t");
		if (lengths[count] >= WORD_MAX)
			return false;
		text += lengths[count];
	}
	if (count < 3 || count > 4)
		return false;
	for (size_t i = 0; i < count; i++) {
		char *word = e->words[i == 0 || count == 4 ? i : i + 1];

		memcpy(word, begins[i], lengths[i]);
		word[lengths[i]] = '\0';
	}
	return true;
}

/* What browsers make of https://host/: CONNECT host:443. */
static void make_tunnel(char *method, char *url)
{
	static const char scheme[] = "https://";
	char *authority = url + strlen(scheme);
	size_t len;
	const char *colon;

	if (strncasecmp(url, scheme, strlen(scheme)) != 0)
		return;
	len = strcspn(authority, "/?#");
	memmove(url, authority, len);
	url[len] = '\0';
	colon = strrchr(url, ':');
	if (colon == NULL || strchr(colon, ']') != NULL)
		snprintf(url + len, WORD_MAX - len, ":443");
	snprintf(method, WORD_MAX, "CONNECT");
}

static int read_target(struct explanation *e, FILE *wrong)
{
	const char *why = NULL;

	make_tunnel(e->words[2], e->words[3]);
	if (!notation_is_name(e->words[2]))
		return nonsense(wrong, "this is no method", e->words[2]);
	if (target_parse(slice_of(e->words[2]), slice_of(e->words[3]), &e->target, &why) !=
	    FAIL_NONE)
		return nonsense(wrong, why ? why : "this is no URL", e->words[3]);
	if (e->target.form != TARGET_ABSOLUTE && e->target.form != TARGET_AUTHORITY)
		return nonsense(wrong, "this is no URL", e->words[3]);
	return 0;
}

static int read_addresses(
    struct explanation *e, const struct explain_question *question, FILE *wrong)
{
	struct addr literal;

	snprintf(e->host, sizeof(e->host), "%s", e->target.host);
	if (addr_parse_loose(slice_of(e->host), &literal) == 0) {
		if (question->address_count > 0)
			return nonsense(wrong, "the host is an address already", e->host);
		e->is_address = true;
		literal = addr_unmapped(&literal);
		addr_format_ip(&literal, e->host);
		e->addresses[e->address_count++] = literal;
	}
	for (size_t i = 0; i < question->address_count; i++) {
		if (addr_parse(slice_of(question->addresses[i]), &e->addresses[i]) < 0)
			return nonsense(wrong, "this is no address", question->addresses[i]);
		e->address_count++;
	}
	/* The one name whose addresses are known without asking anybody. */
	if (e->address_count == 0 && name_is_localhost(e->host)) {
		e->addresses[e->address_count++] =
		    (struct addr){.family = AF_INET6, .ip.v6 = IN6ADDR_LOOPBACK_INIT};
		e->addresses[e->address_count++] =
		    (struct addr){.family = AF_INET, .ip.v4.s_addr = htonl(INADDR_LOOPBACK)};
	}
	for (size_t i = 0; i < e->address_count; i++)
		e->addresses[i].port = e->target.port;
	return 0;
}

static int read_time(struct explanation *e, const char *at, FILE *wrong)
{
	struct tm tm = {.tm_isdst = -1};
	const char *end;
	int day;

	e->facts.now = (int64_t)time(NULL);
	if (at == NULL)
		return 0;
	end = strptime(at, "%Y-%m-%d %H:%M", &tm);
	if (end == NULL || *end != '\0')
		return nonsense(wrong, "this is no time like 2024-05-01 12:00", at);
	day = tm.tm_mday;
	e->facts.now = (int64_t)mktime(&tm);
	return day == tm.tm_mday ? 0 : nonsense(wrong, "the month has no such day", at);
}

static int read_question(
    struct explanation *e, const struct explain_question *question, FILE *wrong)
{
	if (!split(e, question->request))
		return nonsense(wrong, "must be 'CLIENT [USER] METHOD URL'", question->request);
	if (addr_parse(slice_of(e->words[0]), &e->client) < 0)
		return nonsense(wrong, "the client is no address", e->words[0]);
	if (read_target(e, wrong) != 0 || read_addresses(e, question, wrong) != 0 ||
	    read_time(e, question->at, wrong) != 0)
		return EX_USAGE;
	e->facts.client = &e->client;
	e->facts.user = e->words[1][0] != '\0' ? e->words[1] : NULL;
	e->facts.host = slice_of(e->host);
	e->facts.port = e->target.port;
	e->facts.method = slice_of(e->words[2]);
	e->facts.tunnel = e->target.form == TARGET_AUTHORITY;
	e->facts.listener = question->listener;
	e->facts.listed =
	    e->config->blocklist && blocklist_find(e->config->blocklist,
					(struct slice){e->target.host, e->target.host_len});
	return 0;
}

/* ---- judging ---------------------------------------------------------------------------- */

/* Whether who connects there comes in at a place that the configuration has. */
static bool is_ourselves(const struct explanation *e, const struct addr *to)
{
	struct locality *locality = locality_new();
	bool is = false;

	for (size_t i = 0; !is && i < e->config->listen_count; i++) {
		const struct entrance place = {.at = e->config->listen[i].addr};

		is = entrance_is_at(&place, to, locality);
	}
	locality_free(locality);
	return is;
}

/* By rules, and then never to ourselves. */
static void judge(
    const struct explanation *e, const struct acl_facts *facts, struct acl_verdict *ret_verdict)
{
	acl_judge(e->config->acl, facts, ret_verdict);
	if (ret_verdict->outcome != ACL_ALLOWED && ret_verdict->fail != FAIL_ADDRESS_DENIED)
		return;
	if (facts->address == NULL || !is_ourselves(e, facts->address))
		return;
	ret_verdict->outcome = ACL_DENIED;
	ret_verdict->fail = FAIL_ADDRESS_DENIED;
	ret_verdict->rule = NULL;
}

/* ---- the answer ------------------------------------------------------------------------- */

static void write_rule(const struct explanation *e, const struct rule *rule)
{
	fprintf(e->out, "%s:%u: access.rules[%u]", e->file, rule->line, rule->number);
}

static void write_port(const struct explanation *e)
{
	fprintf(e->out, "%s to port %u are denied unless %sa rule that allows it names the port",
	    e->facts.tunnel ? "tunnels" : "requests", (unsigned)e->facts.port,
	    e->facts.tunnel ? "access.connect_ports or " : "");
}

static void write_list(const struct explanation *e)
{
	struct slice host = {e->target.host, e->target.host_len};
	const struct blocklist_list *list = blocklist_find(e->config->blocklist, host);
	char shown[512];

	log_escape(shown, sizeof(shown), list->path, strlen(list->path));
	fprintf(e->out, "%s is on the list %s (%s), unless a rule that allows it names the host",
	    e->host, list->name, shown);
}

static void write_address(const struct explanation *e, const struct addr *address)
{
	enum special kind = special_of(address);
	char ip[ADDR_TEXT_MAX];

	if (is_ourselves(e, address)) {
		addr_format(address, ip);
		fprintf(e->out, "the proxy itself listens at %s, and nothing can allow it", ip);
		return;
	}
	addr_format_ip(address, ip);
	fprintf(e->out,
	    "%s is special (%s), which is denied unless access.allow_addresses or a rule that "
	    "allows it names the address",
	    ip, special_name(kind));
}

/* Why a verdict is what it is. */
static void write_reason(const struct explanation *e, const struct acl_verdict *v)
{
	const struct rule *rule = v->rule;
	bool allows = rule != NULL && rule->action == RULE_ALLOWS;

	if (v->fail == FAIL_PORT_DENIED)
		write_port(e);
	else if (v->fail == FAIL_BLOCKLIST)
		write_list(e);
	else if (v->fail == FAIL_ADDRESS_DENIED)
		write_address(e, e->facts.address);
	else if (rule == NULL)
		fputs("no rule matches", e->out);
	if (rule != NULL && v->fail != FAIL_NONE && v->fail != FAIL_RULE_DENIED) {
		fputs("; it is allowed by ", e->out);
		write_rule(e, rule);
		fprintf(e->out, ", which names no %s",
		    v->fail == FAIL_PORT_DENIED ? "port"
		    : v->fail == FAIL_BLOCKLIST ? "host"
						: "address");
	} else if (rule != NULL) {
		write_rule(e, rule);
		fprintf(e->out, " %s it", allows ? "allows" : "denies");
		if (rule->say != NULL) {
			fputs(" and says ", e->out);
			notation_print(rule->say, e->out);
		}
	}
	if (v->outcome == ACL_UNDECIDED) {
		fputs("; it depends on the address (give it with --address), which may match ",
		    e->out);
		write_rule(e, v->awaits);
	} else if (v->outcome == ACL_ALLOWED && e->facts.address == NULL) {
		fputs(v->lifts & ACL_LIFTS_ADDRESS
			  ? ""
			  : "; the address is not known (give it with --address), and "
			    "a special one would be denied",
		    e->out);
	}
}

/* While the address is to decide, the answer is that for one at which no rule looks. */
static bool allows(const struct acl_verdict *v)
{
	if (v->outcome == ACL_UNDECIDED)
		return v->rule == NULL || v->rule->action != RULE_DENIES;
	return v->outcome == ACL_ALLOWED;
}

static void write_settings(const struct explanation *e, const struct acl_verdict *v)
{
	char source[SOURCE_TEXT_MAX];

	if (v->source != NULL) {
		source_format(&v->source->source, source);
		fprintf(e->out, "source %s, by ", source);
		write_rule(e, v->source);
		fputs("\n", e->out);
	}
	if (v->bandwidth != NULL) {
		fprintf(e->out, "bandwidth %" PRIu32 ", by ", v->bandwidth->bandwidth);
		write_rule(e, v->bandwidth);
		fputs("\n", e->out);
	}
}

static void write_log(const struct explanation *e, const struct acl_verdict *v)
{
	if (v->log == NULL)
		return;
	fprintf(e->out, "log %s, by ", v->log->log ? "on" : "off");
	write_rule(e, v->log);
	fputs(v->log->log == acl_logs(v) ? "\n" : "; but denials are logged\n", e->out);
}

/*
 * With addresses: it may go when it may go to one of them; then each by itself.  What is denied by
 * name is not asked for, and no address is looked at.
 */
static int answer(struct explanation *e)
{
	struct acl_verdict first, each[EXPLAIN_ADDRESSES_MAX];
	size_t count = e->address_count, decides = 0;

	acl_judge(e->config->acl, &e->facts, &first);
	if (first.outcome == ACL_DENIED && !e->is_address)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		e->facts.address = &e->addresses[i];
		judge(e, &e->facts, &each[i]);
		if (!allows(&each[decides]) && allows(&each[i]))
			decides = i;
	}
	if (count > 0) {
		first = each[decides];
		e->facts.address = &e->addresses[decides];
	}
	fputs(allows(&first) ? "allow " : "deny ", e->out);
	write_reason(e, &first);
	fputs("\n", e->out);
	for (size_t i = 0; i < count && count > 1; i++) {
		char ip[ADDR_TEXT_MAX];

		e->facts.address = &e->addresses[i];
		addr_format_ip(&e->addresses[i], ip);
		fprintf(e->out, "%s: %s ", ip, allows(&each[i]) ? "allow" : "deny");
		write_reason(e, &each[i]);
		fputs("\n", e->out);
	}
	if (allows(&first))
		write_settings(e, &first);
	write_log(e, &first);
	if (e->unasked)
		fprintf(e->out, "the user does not count: %s of %s\n",
		    e->config->auth.table == NULL ? "there is no auth.users"
						  : "the client is in auth.exempt",
		    e->file);
	return allows(&first) ? 0 : 1;
}

/* Who is asked who he is has to say so; who is not, is nobody in particular whatever he says. */
static bool knows_user(struct explanation *e)
{
	const struct htpasswd *users = e->config->auth.table;
	const struct htpasswd_user *user;
	char shown[64];

	if (!users_ask(e->config, &e->client)) {
		e->unasked = e->facts.user != NULL;
		e->facts.user = NULL;
		return true;
	}
	if (e->facts.user == NULL) {
		fprintf(e->out, "deny auth.users of %s lets only users in, and none is named\n",
		    e->file);
		return false;
	}
	user = htpasswd_find(users, slice_of(e->facts.user));
	if (user == NULL) {
		log_escape(shown, sizeof(shown), e->facts.user, strlen(e->facts.user));
		fprintf(e->out, "deny auth.users of %s has no user \"%s\"\n", e->file, shown);
		return false;
	}
	e->facts.groups = user->groups;
	e->facts.group_count = user->group_count;
	return true;
}

int explain_run(const struct config *config, const char *file,
    const struct explain_question *question, FILE *out, FILE *wrong)
{
	struct explanation e = {.config = config, .file = file, .out = out};
	int status = read_question(&e, question, wrong);
	char ip[ADDR_TEXT_MAX];

	if (status != 0)
		return status;
	if (!acl_allows_client(config->acl, &e.client)) {
		addr_format_ip(&e.client, ip);
		fprintf(out, "deny access.clients of %s does not have %s\n", file, ip);
		return 1;
	}
	return knows_user(&e) ? answer(&e) : 1;
}
