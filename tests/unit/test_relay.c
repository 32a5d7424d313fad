#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/wire.h"
#include "proxy/relay.h"

static void ignore(void *arg)
{
	(void)arg;
}

static void ignore_error(int error, void *arg)
{
	(void)error;
	(void)arg;
}

static const struct wire_handler quiet = {
    .on_readable = ignore, .on_written = ignore, .on_broken = ignore_error};

struct case_ {
	enum body_kind in, out;
	uint64_t length;
	const char *bytes;
	enum relay_state state;
	const char *sent;
	const char *left;
	uint64_t payload;
};

static const struct case_ cases[] = {
    {BODY_NONE, BODY_NONE, 0, "next", RELAY_ENDED, "", "next", 0},
    {BODY_LENGTH, BODY_LENGTH, 5, "hellonext", RELAY_ENDED, "hello", "next", 5},
    {BODY_LENGTH, BODY_LENGTH, 0, "next", RELAY_ENDED, "", "next", 0},
    {BODY_LENGTH, BODY_LENGTH, 9, "hello", RELAY_MORE, "hello", "", 5},
    {BODY_CHUNKED, BODY_CHUNKED, 0, "5;x=y\r\nhello\r\n0\r\n\r\nnext", RELAY_ENDED,
	"5\r\nhello\r\n0\r\n\r\n", "next", 5},
    {BODY_CHUNKED, BODY_CHUNKED, 0, "1\r\na\r\n0\r\nX-T: 1\r\n\r\n", RELAY_ENDED,
	"1\r\na\r\n0\r\nX-T: 1\r\n\r\n", "", 1},
    {BODY_CHUNKED, BODY_CLOSE, 0, "1\r\na\r\n0\r\nX-T: 1\r\n\r\n", RELAY_ENDED, "a", "", 1},
    {BODY_CHUNKED, BODY_CHUNKED, 0, "1\r\nab\r\n", RELAY_BAD, "1\r\na\r\n", NULL, 1},
    {BODY_CHUNKED, BODY_CHUNKED, 0, "0x1\r\na\r\n", RELAY_BAD, "", NULL, 0},
    {BODY_CLOSE, BODY_CHUNKED, 0, "hello", RELAY_MORE, "5\r\nhello\r\n", "", 5},
    {BODY_CLOSE, BODY_CLOSE, 0, "hello", RELAY_MORE, "hello", "", 5},
};

static void frames_the_payload_anew(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct case_ *c = &cases[i];
		struct event_base *base = event_base_new();
		struct evbuffer *from = evbuffer_new();
		struct wire wire;
		struct relay relay = {.out = c->out, .sink = &wire, .high = 1024};
		char got[256] = "";
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		wire_init(&wire, base, fds[0], &quiet, NULL);
		relay.body.kind = c->in;
		relay.body.left = c->length;
		relay.body.ended = c->in == BODY_LENGTH && c->length == 0;
		evbuffer_add(from, c->bytes, strlen(c->bytes));
		if (relay_push(&relay, from) != c->state)
			fail_msg("case %zu", i);
		assert_int_equal(relay.bytes, c->payload);
		wire_flush(&wire);
		if (strlen(c->sent) > 0)
			assert_true(read(fds[1], got, sizeof(got) - 1) > 0);
		assert_string_equal(got, c->sent);
		if (c->left) {
			size_t left = evbuffer_get_length(from);

			assert_int_equal(left, strlen(c->left));
			assert_memory_equal(evbuffer_pullup(from, -1), c->left, left);
		}
		relay_done(&relay);
		wire_done(&wire);
		evbuffer_free(from);
		close(fds[0]);
		close(fds[1]);
		event_base_free(base);
	}
}

static void a_close_ends_only_what_has_no_other_end(void **state)
{
	struct relay closed = {.out = BODY_CLOSE, .body = {.kind = BODY_CLOSE}};
	struct relay length = {.out = BODY_LENGTH, .body = {.kind = BODY_LENGTH, .left = 3}};
	struct relay chunked = {.out = BODY_CHUNKED, .body = {.kind = BODY_CHUNKED}};

	(void)state;
	assert_int_equal(relay_close(&closed), RELAY_ENDED);
	assert_int_equal(relay_close(&length), RELAY_BAD);
	assert_int_equal(relay_close(&chunked), RELAY_BAD);
}

static void is_full_at_its_high_mark(void **state)
{
	struct event_base *base = event_base_new();
	struct wire wire;
	struct relay relay = {.out = BODY_CLOSE, .sink = &wire, .high = 8};
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	wire_init(&wire, base, fds[0], &quiet, NULL);
	assert_false(relay_is_full(&relay));
	assert_int_equal(wire_write(&wire, "12345678", 8), 0);
	assert_true(relay_is_full(&relay));
	assert_false(relay_has_room(&relay));
	wire_flush(&wire);
	assert_false(relay_is_full(&relay));
	assert_true(relay_has_room(&relay));
	wire_done(&wire);
	close(fds[0]);
	close(fds[1]);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_the_payload_anew),
	    cmocka_unit_test(a_close_ends_only_what_has_no_other_end),
	    cmocka_unit_test(is_full_at_its_high_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
