#include "proxy/notation.h"

#include <limits.h>
#include <string.h>

#include "base/identity.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/head.h"
#include "policy/special.h"

bool notation_is_name(const char *text)
{
	return head_is_token(slice_of(text));
}

bool notation_is_realm(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			return false;
	return true;
}

bool notation_is_user(const char *text)
{
	return text[0] == '\0' || identity_is_name(text);
}

int notation_parse_network(const char *text, struct network *ret_network)
{
	return network_parse(slice_of(text), ret_network);
}

bool notation_is_network(const char *text)
{
	struct network network;

	return notation_parse_network(text, &network) == 0;
}

bool notation_is_place(const char *text)
{
	return special_parse(slice_of(text)) != 0 || notation_is_network(text);
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

int notation_parse_ports(const char *text, uint16_t *ret_first, uint16_t *ret_last)
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

bool notation_is_ports(const char *text)
{
	uint16_t first, last;

	return notation_parse_ports(text, &first, &last) == 0;
}

bool notation_is_path(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < PATH_MAX && text[len - 1] != '/';
}

bool notation_is_server(const char *text)
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

void notation_print(const char *string, FILE *out)
{
	char escaped[4 * 4095 + 1];

	log_escape(escaped, sizeof(escaped), string, strlen(string));
	fprintf(out, "\"%s\"", escaped);
}
