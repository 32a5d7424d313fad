/*
 * nameserver -- the servers that names are asked of, and for how long: a c-ares
 * channel made for them.
 *
 * For dns only.  Names are taken as absolute, the hosts file comes first, EDNS is
 * on, and TCP follows a truncated answer.
 */
#ifndef NET_NAMESERVER_H
#define NET_NAMESERVER_H

#include <ares.h>
#include <stddef.h>

#include "base/attr.h"

struct nameserver_options {
	const char *const *servers; /* "192.0.2.53", "[2001:db8::53]:5353"; none: resolv.conf */
	size_t server_count;
	int timeout_ms; /* c-ares gives up a little before */
	ares_sock_state_cb on_socket_state;
	void *arg;
};

/* Returns ARES_SUCCESS, or why not; ARES_EBADSTR: a server that is no address. */
MUST_USE int nameserver_open(const struct nameserver_options *options, ares_channel *ret_channel);

#endif
