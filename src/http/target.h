/*
 * target -- a method and request-target, read strictly into host, port and path.
 *
 * RFC 9112 3.2, RFC 3986.  Borrows from the head's text.  Safe for any bytes: what
 * head_scan has let through and what it has not.
 *
 * A host is a name of letters, digits, '-', '.' and '_', an IPv4 address in any form that
 * inet_aton(3) reads ("127.1", "0x7f000001"; the resolver takes it for the address it is), or an
 * IPv6 address in brackets.  A name that ends in a number but is no such address is refused.
 * Path and query may hold any visible ASCII but '#' and '\', and go on byte for byte.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/reply.h"

enum target_form {
	TARGET_ORIGIN,    /* "/path": the proxy itself is asked */
	TARGET_ABSOLUTE,  /* "http://host/path" */
	TARGET_AUTHORITY, /* "host:port", with CONNECT */
	TARGET_ASTERISK   /* "*", with OPTIONS: the proxy itself is asked */
};

#define TARGET_HOST_MAX 253

/* Of TARGET_ORIGIN and TARGET_ASTERISK only form and path are filled in, the rest is empty. */
struct target {
	enum target_form form;
	char host[TARGET_HOST_MAX + 1]; /* lower case, no trailing dot, no brackets, terminated */
	size_t host_len;
	uint16_t port; /* the scheme's default filled in */
	struct slice
	    authority;     /* host and port as written, userinfo cut off: the Host for the origin */
	struct slice path; /* path and query as written; "/" when empty; "*" for OPTIONS on an
			      absolute target with neither path nor query (RFC 9112 3.2.4); empty
			      for TARGET_AUTHORITY.  "http://host?query" gives "?query": who writes
			      it puts a "/" in front when it begins with '?' */
};

/* FAIL_NONE, or FAIL_BAD_TARGET and a sentence.  *ret_target is written only on success. */
enum fail target_parse(
    struct slice method, struct slice text, struct target *ret_target, const char **ret_why);

/*
 * Whether text is a valid Host value: uri-host [":" [port]], RFC 9110 7.2, by the
 * same rules as a target.  Empty is not.
 */
bool target_is_authority(struct slice text);

/*
 * What of a target, good or bad, is not for others to see: "user:password@" in front of the host.
 * A part of text, empty when there is none.
 */
struct slice target_secret(struct slice text);

#endif
