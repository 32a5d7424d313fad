#include "net/nameserver.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

#define EDNS_PAYLOAD 1232 /* fits every path without fragments (DNS flag day 2020) */

static int port_parse(const char *text, int *ret_port)
{
	size_t len = strlen(text);
	int port;

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
		return -1;
	port = atoi(text);
	if (port < 1 || port > UINT16_MAX)
		return -1;
	*ret_port = port;
	return 0;
}

/* "address", "v4:port", "[v6]", "[v6]:port" */
static int server_parse(const char *text, struct ares_addr_port_node *ret)
{
	bool bracket = text[0] == '[';
	const char *end = strchr(text, bracket ? ']' : ':');
	const char *port = NULL;
	struct slice host = {text, strlen(text)};
	struct addr a;

	if (bracket) {
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return -1;
		host = (struct slice){text + 1, (size_t)(end - text) - 1};
		port = end[1] == ':' ? end + 2 : NULL;
	} else if (end && !strchr(end + 1, ':')) {
		host.len = (size_t)(end - text);
		port = end + 1;
	}
	if (addr_parse(host, &a) != 0 || (bracket && a.family != AF_INET6))
		return -1;
	ret->family = a.family;
	if (a.family == AF_INET)
		ret->addr.addr4 = a.ip.v4;
	else
		memcpy(&ret->addr.addr6, &a.ip.v6, sizeof(a.ip.v6));
	/* Without a port both stay 0, which c-ares takes as 53. */
	if (port && port_parse(port, &ret->udp_port) != 0)
		return -1;
	ret->tcp_port = ret->udp_port;
	return 0;
}

static int set_servers(ares_channel channel, const struct nameserver_options *options)
{
	struct ares_addr_port_node *nodes = calloc(options->server_count, sizeof(*nodes));
	int status = ARES_SUCCESS;

	if (!nodes)
		return ARES_ENOMEM;
	for (size_t i = 0; i < options->server_count && status == ARES_SUCCESS; i++) {
		nodes[i].next = i + 1 < options->server_count ? &nodes[i + 1] : NULL;
		if (server_parse(options->servers[i], &nodes[i]) != 0)
			status = ARES_EBADSTR;
	}
	if (status == ARES_SUCCESS)
		status = ares_set_servers_ports(channel, nodes);
	free(nodes);
	return status;
}

static int rounds_over(size_t servers)
{
	return servers > 1 ? 2 : 3;
}

/*
 * Each round over the servers doubles the time for one.  c-ares has to be through
 * with them before the caller's own timer fires: only at its end does it tell whether
 * all were silent, or one of them has failed.
 */
static int channel_init(
    const struct nameserver_options *options, size_t servers, ares_channel *ret_channel)
{
	/* ares_getaddrinfo reads the hosts file alone; ares_query does not care. */
	char lookups[] = "f";
	int tries = rounds_over(servers);
	int64_t rounds = (1 << tries) - 1;
	int64_t each = (int64_t)options->timeout_ms * 9 / 10 / ((int64_t)servers * rounds);
	struct ares_options o = {
	    .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
	    .timeout = each > 0 ? (int)each : 1,
	    .tries = tries,
	    .ednspsz = EDNS_PAYLOAD,
	    .lookups = lookups,
	    .sock_state_cb = options->on_socket_state,
	    .sock_state_cb_data = options->arg,
	};
	/* Of resolv.conf only the servers count. */
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
		   ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
		   ARES_OPT_SOCK_STATE_CB;

	if (options->server_count > 0)
		mask |= ARES_OPT_SERVERS; /* none yet, but resolv.conf is not read */
	return ares_init_options(ret_channel, &o, mask);
}

/* With the servers of resolv.conf: opened again, with times that fit, where it names several. */
static int open_system(
    const struct nameserver_options *options, ares_channel *ret_channel, int *ret_attempts)
{
	struct ares_addr_node *servers = NULL;
	ares_channel channel;
	size_t count = 0;
	int status = channel_init(options, 1, &channel);

	if (status != ARES_SUCCESS)
		return status;
	status = ares_get_servers(channel, &servers);
	for (const struct ares_addr_node *n = servers; n; n = n->next)
		count++;
	if (servers)
		ares_free_data(servers);
	if (status != ARES_SUCCESS || count > 1)
		ares_destroy(channel);
	if (status == ARES_SUCCESS && count > 1)
		status = channel_init(options, count, &channel);
	if (status == ARES_SUCCESS) {
		*ret_channel = channel;
		*ret_attempts = (int)count * rounds_over(count);
	}
	return status;
}

int nameserver_open(
    const struct nameserver_options *options, ares_channel *ret_channel, int *ret_attempts)
{
	ares_channel channel;
	int status;

	if (options->server_count == 0)
		return open_system(options, ret_channel, ret_attempts);
	status = channel_init(options, options->server_count, &channel);
	if (status != ARES_SUCCESS)
		return status;
	status = set_servers(channel, options);
	if (status != ARES_SUCCESS) {
		ares_destroy(channel);
		return status;
	}
	*ret_channel = channel;
	*ret_attempts = (int)options->server_count * rounds_over(options->server_count);
	return ARES_SUCCESS;
}

const char *nameserver_complaint(int status)
{
	return status == ARES_EBADSTR ? "a name server is not an IP address with an optional port"
				      : ares_strerror(status);
}
