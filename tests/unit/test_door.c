#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/metrics.h"
#include "http/head.h"
#include "net/listener.h"
#include "policy/limit.h"
#include "proxy/config.h"
#include "proxy/door.h"
#include "proxy/entrance.h"
#include "proxy/refusal.h"

struct house {
	struct event_base *base;
	struct config *config;
	struct metrics metrics;
	struct limit *limit;
	struct refusal *refusal;
	struct door *door;
	int fds[2];
	char seen[256]; /* "path name, " of each request, in turn */
};

static void ignore(void *arg)
{
	(void)arg;
}

static void ignore_why(enum fail why, void *arg)
{
	(void)why;
	(void)arg;
}

static const struct intake_user nobody = {
    .on_input = ignore, .on_written = ignore, .on_gone = ignore_why};

static void on_request(const struct intake_request *request, void *arg)
{
	struct house *h = arg;
	size_t len = strlen(h->seen);

	assert_non_null(request->head);
	snprintf(h->seen + len, sizeof(h->seen) - len, "%.*s %s, ", (int)request->head->target.len,
	    request->head->target.ptr, intake_listener(request->intake)->name);
	intake_set_user(request->intake, &nobody, h);
	intake_finish(request->intake, INTAKE_KEEP);
}

static struct entrance *named(const char *name, int fd)
{
	struct listen listen = {.name = ""};
	struct addr at;

	memcpy(listen.name, name, strlen(name) + 1);
	assert_int_equal(listener_address(fd, &at), 0);
	return entrance_new(&listen, &at, listener_takes_both(fd));
}

static void house_open(struct house *h)
{
	struct addr any = {.family = AF_INET};
	struct config_error error;
	struct intake_shared shared;

	memset(h, 0, sizeof(*h));
	any.ip.v4.s_addr = htonl(INADDR_LOOPBACK);
	h->base = event_base_new();
	h->config = config_load(NULL, &error);
	h->limit = limit_new();
	h->refusal = refusal_new(h->base, h->limit, &h->metrics);
	shared = (struct intake_shared){.base = h->base,
	    .config = h->config,
	    .metrics = &h->metrics,
	    .limit = h->limit,
	    .refusal = h->refusal,
	    .on_request = on_request,
	    .on_request_arg = h};
	h->door = door_new(&shared, NULL);
	assert_non_null(h->door);
	for (int i = 0; i < 2; i++) {
		h->fds[i] = listener_open(&any, 16);
		assert_true(h->fds[i] >= 0);
		assert_int_equal(
		    door_listen(h->door, h->fds[i], named(i == 0 ? "one" : "two", h->fds[i])), 0);
	}
}

static void house_close(struct house *h)
{
	door_stop(h->door);
	event_base_loop(h->base, EVLOOP_NONBLOCK);
	door_free(h->door);
	refusal_free(h->refusal);
	limit_free(h->limit);
	config_unref(h->config);
	event_base_free(h->base);
	close(h->fds[0]);
	close(h->fds[1]);
}

static void send_request(int fd, const char *path)
{
	char text[80];
	int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);

	assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
}

static int client_of(const struct house *h, int which)
{
	struct sockaddr_storage sa;
	struct addr at;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(listener_address(h->fds[which], &at), 0);
	len = addr_to_sockaddr(&at, &sa);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

/* Until the request with that path has come. */
static void run_until(struct house *h, const char *path)
{
	while (strstr(h->seen, path) == NULL)
		event_base_loop(h->base, EVLOOP_ONCE);
}

static void test_each_client_knows_its_listener(void **state)
{
	struct house h;
	int clients[4];

	(void)state;
	house_open(&h);
	/* Both sockets have clients in their queues in the same turn of the loop. */
	for (int i = 0; i < 4; i++) {
		char path[3] = {'/', (char)('a' + i), '\0'};

		clients[i] = client_of(&h, i % 2);
		send_request(clients[i], path);
	}
	for (int i = 0; i < 4; i++)
		run_until(&h, (const char *[]){"/a", "/b", "/c", "/d"}[i]);
	assert_non_null(strstr(h.seen, "/a one, "));
	assert_non_null(strstr(h.seen, "/b two, "));
	assert_non_null(strstr(h.seen, "/c one, "));
	assert_non_null(strstr(h.seen, "/d two, "));
	for (int i = 0; i < 4; i++)
		close(clients[i]);
	house_close(&h);
}

static void on_left(int fd, void *arg)
{
	(void)fd;
	*(bool *)arg = true;
}

static void test_a_reload_is_seen_by_the_next_request(void **state)
{
	struct house h;
	bool left = false;
	int old, young;

	(void)state;
	house_open(&h);
	old = client_of(&h, 0);
	send_request(old, "/a");
	run_until(&h, "/a");
	door_rename(h.door, h.fds[0], named("never", h.fds[0]));
	door_rename(h.door, h.fds[0], named("new", h.fds[0]));
	send_request(old, "/b");
	run_until(&h, "/b");
	door_configure(h.door, h.config);
	young = client_of(&h, 0);
	send_request(old, "/c");
	run_until(&h, "/c");
	send_request(young, "/d");
	run_until(&h, "/d");
	/* What came in by a listener that is left keeps its name. */
	door_set_on_left(h.door, on_left, &left);
	door_leave(h.door, h.fds[0], true);
	while (!left)
		event_base_loop(h.base, EVLOOP_ONCE);
	door_rename(h.door, h.fds[0], named("gone", h.fds[0]));
	door_configure(h.door, h.config);
	send_request(old, "/e");
	run_until(&h, "/e");
	assert_string_equal(h.seen, "/a one, /b one, /c new, /d new, /e new, ");
	close(old);
	close(young);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_client_knows_its_listener),
	    cmocka_unit_test(test_a_reload_is_seen_by_the_next_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
