#include "proxy/condition.h"

#include <stdbool.h>
#include <string.h>

#include "net/addr.h"
#include "policy/special.h"
#include "proxy/notation.h"

static int value_client(const char *text, char *host, struct rule_value *ret)
{
	(void)host;
	return notation_parse_network(text, &ret->network);
}

static int value_address(const char *text, char *host, struct rule_value *ret)
{
	(void)host;
	ret->special = special_parse(slice_of(text));
	return ret->special != 0 ? 0 : notation_parse_network(text, &ret->network);
}

/* Names of users, groups and listeners: anything that can be one. */
static int value_text(const char *text, char *host, struct rule_value *ret)
{
	(void)host;
	ret->text = slice_of(text);
	for (size_t i = 0; i < ret->text.len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return -1;
	}
	return ret->text.len > 0 && ret->text.len <= RULEBOOK_TEXT_MAX ? 0 : -1;
}

static int value_method(const char *text, char *host, struct rule_value *ret)
{
	if (value_text(text, host, ret) < 0 || !notation_is_name(text))
		return -1;
	/* Methods tell case apart: one in small letters would never match. */
	for (; *text != '\0'; text++) {
		if (*text >= 'a' && *text <= 'z')
			return -1;
	}
	return 0;
}

static int value_scheme(const char *text, char *host, struct rule_value *ret)
{
	(void)host;
	ret->tunnel = strcmp(text, "tunnel") == 0;
	return ret->tunnel || strcmp(text, "http") == 0 ? 0 : -1;
}

static int value_port(const char *text, char *host, struct rule_value *ret)
{
	(void)host;
	return notation_parse_ports(text, &ret->first, &ret->last);
}

static int value_time(const char *text, char *host, struct rule_value *ret)
{
	(void)host;
	return hours_parse(slice_of(text), &ret->hours);
}

/* An address is matched in the one form that it has in the facts. */
static int value_host_address(struct slice text, char *host, struct rule_value *ret)
{
	struct addr literal;
	char canonical[ADDR_TEXT_MAX];

	if (text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
		text = (struct slice){text.ptr + 1, text.len - 2};
	if (addr_parse_loose(text, &literal) < 0)
		return -1;
	literal = addr_unmapped(&literal);
	addr_format_ip(&literal, canonical);
	memcpy(host, canonical, sizeof(canonical));
	ret->text = slice_of(host);
	return 0;
}

/* "www.example.com", ".example.com" or an address; as the target has it. */
static int value_host(const char *text, char *host, struct rule_value *ret)
{
	struct slice name = slice_of(text);

	if (value_host_address(name, host, ret) == 0)
		return 0;
	ret->domain = name.len > 0 && name.ptr[0] == '.';
	name.ptr += ret->domain;
	name.len -= ret->domain;
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len > TARGET_HOST_MAX || memchr(name.ptr, ':', name.len) ||
	    !target_is_authority(name))
		return -1;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		host[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	host[name.len] = '\0';
	ret->text = slice_of(host);
	return 0;
}

static const struct condition conditions[] = {
    {"client", RULE_CLIENT, value_client,
	"a network or an address like \"192.0.2.0/24\" or \"2001:db8::1\""},
    {"user", RULE_USER, value_text, "the name of a user"},
    {"group", RULE_GROUP, value_text, "the name of a group"},
    {"host", RULE_HOST, value_host,
	"a name like \"www.example.com\" (itself) or \".example.com\" (and all below), "
	"international ones as xn--, or \"@/FILE\""},
    {"address", RULE_ADDRESS, value_address,
	"a network like \"192.0.2.0/24\", or private, loopback, link-local, metadata or special"},
    {"port", RULE_PORT, value_port, "a port or a range like \"25\" or \"8000-8999\""},
    {"method", RULE_METHOD, value_method, "a method in capitals like \"GET\""},
    {"scheme", RULE_SCHEME, value_scheme, "\"http\" or \"tunnel\""},
    {"listener", RULE_LISTENER, value_text, "the name of a listener"},
    {"time", RULE_TIME, value_time,
	"days and hours like \"mon-fri 08:00-17:00\", \"sat,sun\" or \"22:00-06:00\""},
};

const struct condition *condition_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		if (strcmp(conditions[i].name, name) == 0)
			return &conditions[i];
	}
	return NULL;
}
