#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/source.h"

static const struct source anywhere;

struct caller {
	int done, fd, error;
	bool in_start;
};

static void caller_on_done(int fd, int error, void *arg)
{
	struct caller *c = arg;

	assert_false(c->in_start);
	c->done++;
	c->fd = fd;
	c->error = error;
}

static struct dial *caller_start(
    struct caller *c, struct event_base *base, const struct addr *to, const struct source *source)
{
	struct dial *d;

	*c = (struct caller){.fd = -1, .in_start = true};
	d = dial_start(base, to, source, caller_on_done, c);
	assert_non_null(d);
	c->in_start = false;
	return d;
}

/* Dials and waits until the loop has nothing left to do. */
static struct caller dial_from(const struct source *source, const struct addr *to)
{
	struct event_base *base = event_base_new();
	struct caller c;

	caller_start(&c, base, to, source);
	assert_int_equal(event_base_dispatch(base), 1);
	assert_int_equal(c.done, 1);
	event_base_free(base);
	return c;
}

static struct caller dial_and_wait(const struct addr *to)
{
	return dial_from(&anywhere, to);
}

static struct addr must_parse(const char *text, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse(slice_of(text), &a), 0);
	a.port = port;
	return a;
}

/* Listens on a port of the kernel's choice.  -1: the family is not there on this machine. */
static int listen_on(const char *ip, struct addr *ret_at)
{
	struct addr at = must_parse(ip, 0);
	int fd = listener_open(&at, 8);

	if (fd < 0)
		return -1;
	assert_int_equal(listener_address(fd, ret_at), 0);
	assert_int_equal(ret_at->family, at.family);
	assert_int_not_equal(ret_at->port, 0);
	return fd;
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static int socket_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void test_connects(void **state)
{
	static const char *const ips[] = {"127.0.0.1", "::1"};

	(void)state;
	for (size_t i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		struct addr at;
		struct caller c;
		int listener = listen_on(ips[i], &at);
		int peer;

		if (listener < 0 && i > 0) /* a machine without IPv6 */
			continue;
		c = dial_and_wait(&at);
		assert_int_equal(c.error, 0);
		assert_true(c.fd >= 0);
		assert_true(fcntl(c.fd, F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(c.fd, F_GETFL) & O_NONBLOCK);
		assert_int_equal(socket_option(c.fd, IPPROTO_TCP, TCP_NODELAY), 1);
		peer = accept(listener, NULL, NULL);
		assert_int_equal(write(c.fd, "x", 1), 1);
		assert_true(peer >= 0);
		close(peer);
		close(c.fd);
		close(listener);
	}
}

/* The connection comes from the source, and no descriptor stays when it cannot. */
static void test_sources(void **state)
{
	static const char *const texts[] = {"127.0.0.5", "127.8.0.0/16"};
	struct source source;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int before = open_descriptors();
	struct addr at, from;
	struct caller c;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int listener = listen_on("127.0.0.1", &at), peer;

		assert_int_equal(source_parse(slice_of(texts[i]), &source), 0);
		c = dial_from(&source, &at);
		assert_int_equal(c.error, 0);
		peer = accept(listener, (struct sockaddr *)&sa, &len);
		assert_int_equal(addr_from_sockaddr((const struct sockaddr *)&sa, &from), 0);
		assert_true(network_contains(&source.v4, &from));
		assert_int_not_equal(from.port, 0);
		close(peer);
		close(c.fd);
		close(listener);
	}
	/* another family's */
	at = must_parse("::1", 80);
	c = dial_from(&source, &at);
	assert_int_equal(c.fd, -1);
	assert_int_not_equal(c.error, 0);
	assert_int_equal(open_descriptors(), before);
}

static void test_failures(void **state)
{
	struct addr at = must_parse("127.0.0.1", 0);
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&at, &sa);
	int before = open_descriptors();
	int bound = socket(AF_INET, SOCK_STREAM, 0);
	struct caller c;

	(void)state;
	/* refused: the port is taken, but nobody listens on it */
	assert_int_equal(bind(bound, (const struct sockaddr *)&sa, len), 0);
	assert_int_equal(listener_address(bound, &at), 0);
	c = dial_and_wait(&at);
	assert_int_equal(c.fd, -1);
	assert_int_equal(c.error, ECONNREFUSED);
	close(bound);
	/* at once: nobody can connect to a multicast address, whatever the routes are */
	at = must_parse("224.0.0.1", 80);
	c = dial_and_wait(&at);
	assert_int_equal(c.fd, -1);
	assert_int_equal(c.error, ENETUNREACH);
	assert_int_equal(open_descriptors(), before);
}

static void test_no_descriptors(void **state)
{
	struct event_base *base = event_base_new();
	struct addr to = must_parse("127.0.0.1", 1);
	struct rlimit old, none;
	struct caller c = {0};

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	errno = 0;
	assert_null(dial_start(base, &to, &anywhere, caller_on_done, &c));
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(event_base_dispatch(base), 1);
	assert_int_equal(c.done, 0);
	event_base_free(base);
}

static void test_cancel(void **state)
{
	struct addr at, multicast = must_parse("224.0.0.1", 80);
	int listener = listen_on("127.0.0.1", &at);
	const struct addr *const cases[] = {&at, &multicast};
	int before = open_descriptors();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct event_base *base = event_base_new();
		struct caller c;

		dial_cancel(caller_start(&c, base, cases[i], &anywhere));
		assert_int_equal(event_base_dispatch(base), 1);
		assert_int_equal(c.done, 0);
		event_base_free(base);
		assert_int_equal(open_descriptors(), before);
	}
	dial_cancel(NULL);
	close(listener);
}

static void test_listener(void **state)
{
	struct addr at, again;
	int first = listen_on("127.0.0.1", &at);
	int second = listener_open(&at, 8);
	int before;

	(void)state;
	/* each worker has its own socket on the same port */
	assert_true(second >= 0);
	assert_int_equal(listener_address(second, &again), 0);
	assert_true(addr_equal(&at, &again));
	assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(first, F_GETFL) & O_NONBLOCK);
	assert_int_equal(socket_option(first, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(socket_option(first, SOL_SOCKET, SO_REUSEADDR), 1);
	close(first);
	close(second);
	/* an address that is not ours; nothing stays open */
	before = open_descriptors();
	at = must_parse("192.0.2.1", 0);
	errno = 0;
	assert_int_equal(listener_open(&at, 8), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(listener_address(-1, &at), -1);
}

/* "::" takes no IPv4 clients, so that "0.0.0.0" can have the same port. */
static void test_listener_v6_only(void **state)
{
	struct addr at;
	int fd = listen_on("::", &at);

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_connects),
	    cmocka_unit_test(test_sources),
	    cmocka_unit_test(test_failures),
	    cmocka_unit_test(test_no_descriptors),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_listener),
	    cmocka_unit_test(test_listener_v6_only),
	};

	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
