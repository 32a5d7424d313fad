#include "proxy/listen.h"

#include <libconfig.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"
#include "proxy/notation.h"

#define NAME_MAX_WRITTEN 64

static int read_address(const config_setting_t *at, struct listen *listen)
{
	const char *text = config_setting_get_string(at);
	uint16_t port = listen->addr.port;

	if (text == NULL || addr_parse(slice_of(text), &listen->addr) < 0)
		return -1;
	listen->addr.port = port;
	return 0;
}

static int read_port(const config_setting_t *at, struct listen *listen)
{
	long long port = config_setting_get_int64(at);
	int type = config_setting_type(at);

	if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || port < 0 || port > UINT16_MAX)
		return -1;
	listen->addr.port = (uint16_t)port;
	return 0;
}

static int read_name(const config_setting_t *at, struct listen *listen)
{
	const char *text = config_setting_get_string(at);

	if (text == NULL || strlen(text) > NAME_MAX_WRITTEN || !notation_is_name(text))
		return -1;
	memcpy(listen->name, text, strlen(text) + 1);
	return 0;
}

static int read_source(const config_setting_t *at, struct listen *listen)
{
	const char *text = config_setting_get_string(at);

	return text == NULL ? -1 : source_parse(slice_of(text), &listen->source);
}

static const struct part {
	const char *name, *key, *must;
	int (*read)(const config_setting_t *at, struct listen *listen);
} parts[] = {
    {"address", "listen.address", "must be an IPv4 or IPv6 address like \"127.0.0.1\" or \"::1\"",
	read_address},
    {"port", "listen.port", "must be a whole number from 0 to 65535", read_port},
    {"name", "listen.name", "must be a token of 1 to 64 letters, digits or !#$%&'*+-.^_`|~",
	read_name},
    {"source", "listen.source",
	"must be an address or a network like \"192.0.2.7\" or \"2001:db8:1::/64\", or one of each "
	"family: \"192.0.2.7, 2001:db8:1::/64\"",
	read_source},
};

_Static_assert(NAME_MAX_WRITTEN < LISTEN_NAME_MAX, "a name has too little room");

static int fault(struct listen_fault *ret, const config_setting_t *at, const char *key,
    const char *must, const char *found)
{
	*ret = (struct listen_fault){config_setting_source_line(at), key, must, found};
	return -1;
}

static int read_part(
    const config_setting_t *at, struct listen *listen, unsigned *seen, struct listen_fault *ret)
{
	const char *name = config_setting_name(at);

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (strcmp(parts[i].name, name) != 0)
			continue;
		*seen |= 1U << i;
		if (parts[i].read(at, listen) == 0)
			return 0;
		return fault(ret, at, parts[i].key, parts[i].must, "");
	}
	return fault(ret, at, "listen", "a group has address, port, name and source, not ", name);
}

int listen_read(
    const struct config_setting_t *group, struct listen *ret_listen, struct listen_fault *ret_fault)
{
	struct listen listen = {0};
	unsigned seen = 0;

	for (int i = 0; i < config_setting_length(group); i++)
		if (read_part(
			config_setting_get_elem(group, (unsigned)i), &listen, &seen, ret_fault) < 0)
			return -1;
	/* The first two are needed. */
	for (size_t i = 0; i < 2; i++)
		if (!(seen & 1U << i))
			return fault(
			    ret_fault, group, "listen", "this group has no ", parts[i].name);
	if (listen.name[0] == '\0')
		addr_format(&listen.addr, listen.name);
	*ret_listen = listen;
	return 0;
}

void listen_print(const struct listen *listen, FILE *out)
{
	char text[SOURCE_TEXT_MAX];

	addr_format_ip(&listen->addr, text);
	fprintf(out, "{ address = \"%s\"; port = %u;", text, (unsigned)listen->addr.port);
	addr_format(&listen->addr, text);
	if (strcmp(text, listen->name) != 0)
		fprintf(out, " name = \"%s\";", listen->name);
	source_format(&listen->source, text);
	if (text[0] != '\0')
		fprintf(out, " source = \"%s\";", text);
	fputs(" }", out);
}

bool listen_alike(const struct listen *a, const struct listen *b)
{
	return strcmp(a->name, b->name) == 0 && source_equal(&a->source, &b->source);
}
