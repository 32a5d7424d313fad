/*
 * Any text in access.rules is either refused with a message that names a rule, or judges: what is
 * denied before the address is known is denied at every address, and the rules printed judge the
 * same.
 *
 * The first line is the request: host, method, user, port and time, separated by blanks.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/acl.h"
#include "proxy/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 loses a string at which it finds a syntax error. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void ensure(bool good)
{
	if (!good)
		abort();
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	ensure(addr_parse((struct slice){text, strlen(text)}, &a) == 0);
	return a;
}

/* The next word of the line, or "a". */
static struct slice take_word(char **line)
{
	char *word = *line + strspn(*line, " ");
	size_t len = strcspn(word, " ");

	*line = word + len;
	if (len == 0)
		return SLICE("a");
	if (**line == ' ')
		*(*line)++ = '\0';
	return (struct slice){word, len < RULEBOOK_TEXT_MAX ? len : RULEBOOK_TEXT_MAX};
}

static struct config *parse_rules(const char *rules)
{
	struct config_error error = {""};
	struct config *config;
	size_t size = strlen(rules) + 96;
	char *text = malloc(size);

	ensure(text != NULL);
	snprintf(text, size,
	    "auth = { users = \"/x/users\"; groups = \"/x/groups\"; }; access = { rules = (%s); };",
	    rules);
	config = config_parse(text, "fuzz", &error);
	ensure(config != NULL || (error.message[0] != '\0' && strchr(error.message, '\n') == NULL));
	free(text);
	return config;
}

static struct config *print_and_parse(const struct config *config)
{
	struct config_error error = {""};
	struct config *again;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ensure(out != NULL);
	config_print(config, out);
	fclose(out);
	again = config_parse(text, "printed", &error);
	ensure(again != NULL);
	free(text);
	return again;
}

static bool same(const struct acl_verdict *a, const struct acl_verdict *b)
{
	return a->outcome == b->outcome && a->fail == b->fail && a->lifts == b->lifts &&
	       (a->rule ? a->rule->number : 0) == (b->rule ? b->rule->number : 0);
}

static void judge(const struct config *config, const struct config *again, struct acl_facts *facts)
{
	static const char *const places[] = {"8.8.8.8", "127.0.0.1", "10.1.2.3", "169.254.169.254",
	    "2001:4860::1", "64:ff9b::7f00:1", "fe80::1", "::ffff:192.168.1.1"};
	struct acl_verdict by_name, other, by_address;

	facts->address = NULL;
	acl_judge(config->acl, facts, &by_name);
	acl_judge(again->acl, facts, &other);
	ensure(same(&by_name, &other));
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct addr a = addr_of(places[i]);

		facts->address = &a;
		acl_judge(config->acl, facts, &by_address);
		acl_judge(again->acl, facts, &other);
		ensure(same(&by_address, &other));
		ensure(by_address.outcome != ACL_UNDECIDED);
		ensure(by_name.outcome != ACL_DENIED || by_address.outcome == ACL_DENIED);
		ensure((by_address.lifts & ~by_name.lifts) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr client = addr_of("192.168.1.5");
	struct acl_facts facts = {.client = &client};
	struct config *config, *again;
	char *text = malloc(size + 2), *rules;
	static const char *groups[1];

	ensure(text != NULL);
	memcpy(text, data, size);
	memcpy(text + size, "\n", 2);
	rules = strchr(text, '\n');
	if (!rules) {
		free(text);
		return 0;
	}
	*rules++ = '\0';
	config = parse_rules(rules);
	if (config) {
		char *line = text;

		facts.host = take_word(&line);
		facts.method = take_word(&line);
		facts.user = take_word(&line).ptr;
		groups[0] = facts.user;
		facts.groups = groups;
		facts.group_count = 1;
		facts.listener = facts.user;
		facts.port = (uint16_t)atoi(take_word(&line).ptr);
		facts.now = atoi(take_word(&line).ptr);
		facts.tunnel = slice_is(facts.method, "CONNECT");
		again = print_and_parse(config);
		judge(config, again, &facts);
		config_unref(again);
		config_unref(config);
	}
	free(text);
	return 0;
}
