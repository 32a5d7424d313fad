/*
 * nameserver -- the servers that names are asked of, and for how long: a c-ares
 * channel made for them.
 *
 * For dns only.  ares_query takes names as absolute, with EDNS, and TCP follows a
 * truncated answer; ares_getaddrinfo looks into the hosts file, and nowhere else.
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

/*
 * Returns ARES_SUCCESS, or why not; ARES_EBADSTR: a server that is no address.
 * *ret_attempts is how often c-ares sends a query when nobody answers.
 */
MUST_USE int nameserver_open(
    const struct nameserver_options *options, ares_channel *ret_channel, int *ret_attempts);

/* A sentence about what nameserver_open returned. */
const char *nameserver_complaint(int status);

#endif
