/*
 * A method and a request-target, separated by the first space: what is accepted keeps
 * what target.h promises, and written anew it means the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static bool is_inside(struct slice part, struct slice text)
{
	return part.ptr >= text.ptr && part.len <= text.len &&
	       (size_t)(part.ptr - text.ptr) <= text.len - part.len;
}

/* An IPv6 address is the only host with a colon. */
static void check_host(const struct target *t)
{
	check(t->host_len > 0 && t->host_len <= TARGET_HOST_MAX);
	check(strlen(t->host) == t->host_len);
	if (strchr(t->host, ':'))
		check(strspn(t->host, "0123456789abcdef:.") == t->host_len);
	else
		check(strspn(t->host, "0123456789abcdefghijklmnopqrstuvwxyz-._") == t->host_len);
	check(t->host[t->host_len - 1] != '.');
}

static void check_path(const struct target *t, struct slice text)
{
	bool own = t->path.len <= 1 && !is_inside(t->path, text);

	check(own || is_inside(t->path, text));
	for (size_t i = 0; i < t->path.len; i++) {
		char c = t->path.ptr[i];

		check(c > ' ' && c < 0x7f && c != '#' && c != '\\');
	}
	if (t->form == TARGET_AUTHORITY)
		check(t->path.len == 0);
	else
		check(t->path.len > 0 && memchr("/?*", t->path.ptr[0], 3) != NULL);
}

/* The host and port, written anew, are read as the same. */
static void check_again(const struct target *t)
{
	bool ipv6 = strchr(t->host, ':') != NULL;
	char text[TARGET_HOST_MAX + 16];
	struct target again;
	const char *why;
	int len = snprintf(
	    text, sizeof(text), "%s%s%s:%d", ipv6 ? "[" : "", t->host, ipv6 ? "]" : "", t->port);

	check(len > 0 && (size_t)len < sizeof(text));
	check(target_parse(SLICE("CONNECT"), (struct slice){text, (size_t)len}, &again, &why) ==
	      FAIL_NONE);
	check(strcmp(again.host, t->host) == 0 && again.port == t->port);
}

static void check_target(const struct target *t, struct slice method, struct slice text)
{
	struct slice secret = target_secret(text);

	check_path(t, text);
	check((t->form == TARGET_AUTHORITY) == slice_is(method, "CONNECT"));
	if (t->form == TARGET_ORIGIN || t->form == TARGET_ASTERISK) {
		check(t->host_len == 0 && t->port == 0 && t->authority.len == 0);
		return;
	}
	check_host(t);
	check(t->port > 0);
	/* Nothing else stands in front of the host. */
	check(secret.ptr + secret.len == t->authority.ptr);
	check(is_inside(t->authority, text) && target_is_authority(t->authority));
	check_again(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size > 0 ? size : 1); /* of exactly its size */
	char *space;
	struct slice method, text;
	struct target target;
	const char *why = NULL;

	check(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	space = memchr(copy, ' ', size);
	method = (struct slice){copy, space ? (size_t)(space - copy) : 0};
	text = (struct slice){copy, size};
	if (space)
		text = (struct slice){space + 1, size - method.len - 1};
	if (target_parse(method, text, &target, &why) == FAIL_NONE)
		check_target(&target, method, text);
	else
		check(why != NULL);
	target_is_authority(text);
	free(copy);
	return 0;
}
