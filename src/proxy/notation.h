/*
 * notation -- how names, networks, ports and servers are written in a configuration.
 *
 * Strings with a NUL at their end, any bytes; the whole string has to be the thing.
 * Parsers return 0, or -1 when it is not.
 */
#ifndef PROXY_NOTATION_H
#define PROXY_NOTATION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "net/addr.h"

bool notation_is_name(const char *text);    /* a token, as Via wants it */
bool notation_is_realm(const char *text);   /* printable ASCII without " and \ */
bool notation_is_user(const char *text);    /* a user's name, or "" */
bool notation_is_network(const char *text); /* "192.0.2.0/24", "2001:db8::1" */
bool notation_is_place(const char *text);   /* the same, or a kind of address: "private" */
bool notation_is_ports(const char *text);   /* "443", "8000-8999"; from 1 on */
bool notation_is_path(const char *text);    /* of a file */
bool notation_is_server(const char *text);  /* "IP", "IPv4:port" or "[IPv6]:port" */

MUST_USE int notation_parse_network(const char *text, struct network *ret_network);
/* *ret_last is *ret_first when there is one port only. */
MUST_USE int notation_parse_ports(const char *text, uint16_t *ret_first, uint16_t *ret_last);

/* A string of at most 4095 bytes in quotes, as libconfig reads it back. */
void notation_print(const char *string, FILE *out);

#endif
