#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "net/deadline.h"
#include "net/pipe.h"
#include "net/wire.h"
#include "pair.h"

enum {
	BLOCK = 64 * 1024,
	MANY_TURNS = 100 /* of the loop: thousands when something spins */
};

struct rig {
	struct event_base *base;
	struct wire *wire; /* on the heap: what is touched after it is freed is seen */
	int peer;          /* -1 when the test closed it */
	int ours;
	struct evbuffer *got;
	int readable, written, broken, hangup;
	int error; /* of on_broken */
	ssize_t last_read;
	int read_error;
	bool read_nothing; /* on_readable leaves the bytes where they are */
	bool free_in_callback;
};

static void rig_free_wire(struct rig *r)
{
	if (!r->wire)
		return;
	wire_done(r->wire);
	wire_done(r->wire);
	free(r->wire);
	r->wire = NULL;
}

static void on_readable(void *arg)
{
	struct rig *r = arg;

	r->readable++;
	if (!r->read_nothing) {
		r->last_read = wire_read(r->wire, r->got, 1024 * 1024);
		r->read_error = r->last_read < 0 ? errno : 0;
	}
	if (r->free_in_callback)
		rig_free_wire(r);
}

static void on_written(void *arg)
{
	struct rig *r = arg;

	r->written++;
	if (r->free_in_callback)
		rig_free_wire(r);
}

static void on_broken(int error, void *arg)
{
	struct rig *r = arg;

	r->broken++;
	r->error = error;
	assert_int_equal(wire_pending(r->wire), 0);
	if (r->free_in_callback)
		rig_free_wire(r);
}

static void on_hangup(void *arg)
{
	struct rig *r = arg;

	r->hangup++;
	if (r->free_in_callback)
		rig_free_wire(r);
}

static const struct wire_handler handler = {on_readable, on_written, on_broken, on_hangup};

static void rig_open(struct rig *r, bool changelist)
{
	struct event_config *config = event_config_new();
	int fds[2];

	memset(r, 0, sizeof(*r));
	if (changelist)
		event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	r->base = event_base_new_with_config(config);
	event_config_free(config);
	connect_pair(fds);
	r->peer = fds[0];
	r->ours = fds[1];
	fcntl(r->ours, F_SETFL, O_NONBLOCK);
	r->got = evbuffer_new();
	r->wire = malloc(sizeof(*r->wire));
	assert_non_null(r->wire);
	wire_init(r->wire, r->base, r->ours, &handler, r);
}

static void rig_close_peer(struct rig *r)
{
	if (r->peer >= 0)
		close(r->peer);
	r->peer = -1;
}

static void rig_close(struct rig *r)
{
	rig_free_wire(r);
	rig_close_peer(r);
	close(r->ours);
	evbuffer_free(r->got);
	event_base_free(r->base);
}

/* Run the loop for a while; returns its turns, which are few in every state. */
static int rig_run_ms(struct rig *r, int ms)
{
	struct timeval end = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	int turns = 0;

	event_base_loopexit(r->base, &end);
	do
		event_base_loop(r->base, EVLOOP_ONCE);
	while (turns++, !event_base_got_exit(r->base));
	return turns;
}

static int rig_run(struct rig *r)
{
	return rig_run_ms(r, 30);
}

/* ---- reading ------------------------------------------------------------------------------- */

static const struct read_case {
	size_t sent, max;
	ssize_t first; /* what the first wire_read gives */
} reads[] = {
    {1, 1, 1},
    {1, 1000000, 1},
    {1024, 1000000, 1024},
    {1024, 100, 100},
    /* All within TCP's first window, so that it has arrived when send returns. */
    {16384, 1000000, 16384},
    {16385, 1000000, 16385},
    {16385, 16384, 16384},
    {60000, 50000, 50000},
    {60000, 60000, 60000},
    {60000, 1000000, 60000},
};

static void a_read_takes_what_there_is(void **state)
{
	static unsigned char sent[60000], got[60000];

	(void)state;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (unsigned char)(i * 7 + (i >> 11));
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		const struct read_case *c = &reads[i];
		struct rig r;

		rig_open(&r, true);
		assert_int_equal(wire_read(r.wire, r.got, c->max), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(send(r.peer, sent, c->sent, 0), c->sent);
		assert_int_equal(wire_read(r.wire, r.got, 0), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(wire_read(r.wire, r.got, c->max), c->first);
		while (wire_read(r.wire, r.got, c->max) > 0)
			;
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(evbuffer_remove(r.got, got, sizeof(got)), c->sent);
		assert_memory_equal(got, sent, c->sent);
		shutdown(r.peer, SHUT_WR);
		assert_int_equal(wire_read(r.wire, r.got, c->max), 0);
		assert_int_equal(wire_read(r.wire, r.got, c->max), 0);
		rig_close(&r);
	}
}

static void the_loop_reads_only_while_reading_is_on(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct rig r;

		rig_open(&r, i & 1);
		assert_int_equal(send(r.peer, "one", 3, 0), 3);
		if (i & 2)
			wire_read_off(r.wire, true);
		assert_true(rig_run(&r) < MANY_TURNS);
		assert_int_equal(r.readable, 0);
		wire_read_on(r.wire);
		rig_run(&r);
		assert_int_equal(r.readable, 1);
		assert_int_equal(r.last_read, 3);
		wire_read_off(r.wire, i & 2);
		assert_int_equal(send(r.peer, "two", 3, 0), 3);
		assert_true(rig_run(&r) < MANY_TURNS);
		assert_int_equal(r.readable, 1);
		wire_read_on(r.wire);
		rig_run(&r);
		assert_int_equal(evbuffer_get_length(r.got), 6);
		shutdown(r.peer, SHUT_WR);
		assert_true(rig_run(&r) < MANY_TURNS);
		assert_int_equal(r.last_read, 0);
		assert_int_equal(r.readable, 3);
		rig_close(&r);
	}
}

/* Nobody's turn comes while much is owed: no spinning, whatever the owner does meanwhile. */
static void a_paced_wire_sleeps_until_its_turn(void **state)
{
	static const char sent[60000];
	struct bucket bucket = {0};
	struct rig r;

	(void)state;
	rig_open(&r, true);
	assert_int_equal(wire_pace(r.wire, (struct allowance){&bucket, 64000}), 0);
	bucket_spend(&bucket, 3600 * BUCKET_SECOND, deadline_now_ns());
	assert_int_equal(send(r.peer, sent, sizeof(sent), 0), sizeof(sent));
	wire_read_on(r.wire);
	assert_true(rig_run(&r) < MANY_TURNS);
	wire_read_off(r.wire, true);
	assert_true(rig_run(&r) < MANY_TURNS);
	wire_read_on(r.wire);
	assert_true(rig_run(&r) < MANY_TURNS);
	assert_int_equal(r.readable, 0);
	/* From another bucket, piece by piece as far as it goes at once, and on by the timer. */
	bucket = (struct bucket){0};
	assert_int_equal(wire_pace(r.wire, (struct allowance){&bucket, 64000}), 0);
	assert_true(rig_run(&r) < MANY_TURNS);
	assert_int_equal(r.last_read, 2000);
	assert_in_range(r.readable, 4, 10);
	while (r.readable < 12)
		event_base_loop(r.base, EVLOOP_ONCE);
	assert_int_equal(evbuffer_get_length(r.got), 24000);
	/* Off in the middle of a wait: all that is left, at once. */
	wire_unpace(r.wire);
	assert_true(rig_run(&r) < MANY_TURNS);
	assert_int_equal(evbuffer_get_length(r.got), sizeof(sent));
	rig_close(&r);
}

static void a_paced_source_is_spliced_by_the_piece(void **state)
{
	static const char sent[60000];
	struct pipe_pool *pipes = pipe_pool_new(1);
	struct bucket bucket = {0};
	struct rig from, to;
	size_t total = 0;

	(void)state;
	rig_open(&from, true);
	rig_open(&to, true);
	assert_int_equal(wire_pace(from.wire, (struct allowance){&bucket, 320000}), 0);
	assert_int_equal(send(from.peer, sent, sizeof(sent), 0), sizeof(sent));
	for (size_t moved = 1; moved > 0; total += moved)
		moved = wire_splice(to.wire, from.wire, pipes, sizeof(sent));
	/* An eighth of a second's worth, and the piece that goes beyond it. */
	assert_in_range(total, 40000, 60000 - 1);
	assert_in_range(bucket_debt(&bucket, 0, deadline_now_ns()), BUCKET_SECOND / 16,
	    bucket_cost(total, 320000));
	assert_int_equal(wire_pending(to.wire), total);
	rig_close(&from);
	rig_close(&to);
	pipe_pool_free(pipes);
}

static void a_reset_is_read_once_the_bytes_are(void **state)
{
	static const size_t sizes[] = {0, 5, 16384, 60000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		static const char bytes[60000];
		struct rig r;

		rig_open(&r, true);
		/* Without waiting: what is not read before the reset is not promised. */
		assert_int_equal(send(r.peer, bytes, sizes[i], 0), sizes[i]);
		wire_read_on(r.wire);
		wire_reset(r.peer);
		assert_true(rig_run(&r) < MANY_TURNS);
		assert_int_equal(evbuffer_get_length(r.got), sizes[i]);
		assert_int_equal(r.last_read, -1);
		assert_int_equal(r.read_error, ECONNRESET);
		assert_int_equal(wire_read(r.wire, r.got, 10), -1);
		assert_int_equal(errno, ECONNRESET);
		rig_close(&r);
	}
}

/* The kernel tells of a reset only once, here to the writer. */
static void a_reset_met_in_writing_is_no_end_to_the_reader(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, true);
	assert_int_equal(send(r.peer, "half", 4, 0), 4);
	wire_reset(r.peer);
	assert_int_equal(wire_write(r.wire, "x", 1), 0);
	wire_flush(r.wire);
	assert_int_equal(r.broken, 0);
	rig_run(&r);
	assert_int_equal(r.broken, 1);
	assert_int_equal(r.error, ECONNRESET);
	wire_read_on(r.wire);
	rig_run(&r);
	assert_int_equal(evbuffer_get_length(r.got), 4);
	assert_int_equal(r.last_read, -1);
	assert_int_equal(r.read_error, ECONNRESET);
	rig_close(&r);
}

/* Nor is one that splicing met. */
static void a_reset_met_in_splicing_is_no_end_to_the_reader(void **state)
{
	struct pipe_pool *pipes = pipe_pool_new(1);
	struct rig from, to;

	(void)state;
	rig_open(&from, true);
	rig_open(&to, true);
	assert_int_equal(send(from.peer, "half", 4, 0), 4);
	wire_reset(from.peer);
	assert_int_equal(wire_splice(to.wire, from.wire, pipes, 100), 4);
	wire_flush(to.wire);
	assert_int_equal(wire_pending(to.wire), 0);
	assert_int_equal(wire_splice(to.wire, from.wire, pipes, 100), 0);
	assert_int_equal(wire_read(from.wire, from.got, 100), -1);
	assert_int_equal(errno, ECONNRESET);
	rig_close(&from);
	rig_close(&to);
	pipe_pool_free(pipes);
}

/* ---- the peer's close, while nothing is read --------------------------------------------------
 */

static const struct hangup_case {
	const char *name;
	bool unread, reset, pending, watch, freed;
} hangups[] = {
    {"end", false, false, false, true, false},
    {"reset", false, true, false, true, false},
    {"end behind unread bytes", true, false, false, true, false},
    {"reset behind unread bytes", true, true, false, true, false},
    {"end, wire full", false, false, true, true, false},
    {"end, not watched", false, false, false, false, false},
    {"reset, not watched", true, true, false, false, false},
    {"end, freed", false, false, false, true, true},
    {"reset behind unread bytes, freed", true, true, false, true, true},
};

static void run_hangup(const struct hangup_case *c, bool changelist)
{
	static char block[BLOCK];
	struct rig r;

	rig_open(&r, changelist);
	r.free_in_callback = c->freed;
	wire_read_on(r.wire);
	rig_run(&r);
	wire_read_off(r.wire, c->watch);
	for (int i = 0; c->pending && i < 200; i++)
		assert_int_equal(wire_write(r.wire, block, sizeof(block)), 0);
	wire_flush(r.wire);
	if (c->unread)
		assert_int_equal(send(r.peer, "unread", 6, 0), 6);
	assert_true(rig_run(&r) < MANY_TURNS);
	assert_int_equal(r.hangup, 0);
	if (c->reset)
		wire_reset(r.peer);
	else
		shutdown(r.peer, SHUT_WR);
	assert_true(rig_run_ms(&r, c->unread ? 1200 : 30) < MANY_TURNS);
	assert_int_equal(r.hangup, c->watch);
	assert_int_equal(r.readable, 0);
	if (!c->freed)
		wire_read_off(r.wire, false);
	rig_close(&r);
}

static void a_close_is_noticed_once_without_spinning(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hangups) * 2; i++) {
		print_message("  %s\n", hangups[i / 2].name);
		run_hangup(&hangups[i / 2], i & 1);
	}
}

/* A half-closed peer is only gone when it resets. */
static void after_the_end_only_a_reset_is_a_hangup(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, true);
	wire_read_on(r.wire);
	shutdown(r.peer, SHUT_WR);
	rig_run(&r);
	assert_int_equal(r.last_read, 0);
	wire_read_off(r.wire, true);
	assert_true(rig_run(&r) < MANY_TURNS);
	assert_int_equal(r.hangup, 0);
	assert_int_equal(send(r.ours, "unread", 6, 0), 6);
	rig_close_peer(&r);
	assert_true(rig_run_ms(&r, 1200) < MANY_TURNS);
	assert_int_equal(r.hangup, 1);
	rig_close(&r);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void nothing_is_sent_before_the_flush(void **state)
{
	struct rig r;
	struct evbuffer *body = evbuffer_new();
	char got[16];

	(void)state;
	rig_open(&r, true);
	evbuffer_add(body, "body", 4);
	assert_int_equal(wire_write(r.wire, "head", 4), 0);
	assert_int_equal(wire_write_buffer(r.wire, body), 0);
	assert_int_equal(evbuffer_get_length(body), 0);
	assert_int_equal(wire_pending(r.wire), 8);
	assert_int_equal(recv(r.peer, got, sizeof(got), MSG_DONTWAIT), -1);
	wire_flush(r.wire);
	/* At once, in one piece, and nothing is kept. */
	assert_int_equal(recv(r.peer, got, sizeof(got), 0), 8);
	assert_memory_equal(got, "headbody", 8);
	assert_int_equal(wire_pending(r.wire), 0);
	assert_null(r.wire->outflow.buffer);
	rig_run(&r);
	assert_int_equal(r.written, 0);
	evbuffer_free(body);
	rig_close(&r);
}

/* Write until the socket is full; returns the bytes queued in all. */
static size_t rig_fill(struct rig *r)
{
	static const char block[BLOCK];
	size_t total = 0;

	while (wire_pending(r->wire) < 20 * BLOCK) {
		assert_int_equal(wire_write(r->wire, block, sizeof(block)), 0);
		wire_flush(r->wire);
		total += sizeof(block);
		/* More than one turn may send; then the event waits though the socket is free. */
		if (wire_pending(r->wire) > 0)
			rig_run_ms(r, 1);
	}
	return total;
}

static void what_does_not_fit_is_left_to_the_loop(void **state)
{
	struct rig r;
	size_t total, got = 0;
	static char block[BLOCK];

	(void)state;
	rig_open(&r, true);
	total = rig_fill(&r);
	r.written = 0;
	assert_true(rig_run(&r) < MANY_TURNS);
	assert_int_equal(r.written, 0);
	while (wire_pending(r.wire) > 0) {
		ssize_t n = recv(r.peer, block, sizeof(block), MSG_DONTWAIT);

		got += n > 0 ? (size_t)n : 0;
		event_base_loop(r.base, EVLOOP_NONBLOCK);
	}
	assert_true(r.written > 0);
	assert_null(r.wire->outflow.buffer);
	shutdown(r.ours, SHUT_WR);
	for (ssize_t n; (n = recv(r.peer, block, sizeof(block), 0)) > 0;)
		got += (size_t)n;
	assert_int_equal(got, total);
	assert_true(rig_run(&r) < MANY_TURNS);
	rig_close(&r);
}

static void a_break_is_reported_once_from_the_loop(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		struct rig r;

		rig_open(&r, i & 1);
		r.free_in_callback = i > 3;
		if (i & 2)
			rig_fill(&r);
		wire_reset(r.peer);
		assert_int_equal(wire_write(r.wire, "x", 1), 0);
		wire_flush(r.wire);
		wire_flush(r.wire);
		assert_int_equal(r.broken, 0);
		assert_true(rig_run(&r) < MANY_TURNS);
		assert_int_equal(r.broken, 1);
		assert_int_equal(r.error, ECONNRESET);
		if (r.wire) {
			assert_int_equal(wire_write(r.wire, "x", 1), 0);
			wire_flush(r.wire);
			assert_int_equal(wire_pending(r.wire), 0);
			rig_run(&r);
			assert_int_equal(r.broken, 1);
		}
		rig_close(&r);
	}
}

/* A broken way out does not stop the way in. */
static void reading_goes_on_when_writing_broke(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, true);
	assert_int_equal(send(r.peer, "answer", 6, 0), 6);
	rig_close_peer(&r);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(wire_write(r.wire, "x", 1), 0);
		wire_flush(r.wire);
		rig_run(&r);
	}
	assert_int_equal(r.broken, 1);
	assert_int_equal(r.error, EPIPE);
	wire_read_on(r.wire);
	rig_run(&r);
	assert_int_equal(evbuffer_get_length(r.got), 6);
	assert_int_equal(r.last_read, 0);
	rig_close(&r);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void it_may_be_freed_in_its_callbacks(void **state)
{
	static char block[BLOCK];
	struct rig r;

	(void)state;
	rig_open(&r, true);
	r.free_in_callback = true;
	send(r.peer, "x", 1, 0);
	wire_read_on(r.wire);
	rig_run(&r);
	assert_int_equal(r.readable, 1);
	rig_close(&r);

	rig_open(&r, true);
	rig_fill(&r);
	r.free_in_callback = true;
	r.written = 0;
	for (int i = 0; i < 1000 && r.wire; i++) {
		recv(r.peer, block, sizeof(block), MSG_DONTWAIT);
		event_base_loop(r.base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(r.written, 1);
	rig_close(&r);
}

static void done_forgets_a_break_not_yet_reported(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, true);
	wire_reset(r.peer);
	assert_int_equal(wire_write(r.wire, "x", 1), 0);
	wire_flush(r.wire);
	rig_free_wire(&r);
	rig_run(&r);
	assert_int_equal(r.broken, 0);
	rig_close(&r);
}

static void reset_reaches_the_peer_before_the_close(void **state)
{
	struct rig r;
	char got[8];

	(void)state;
	rig_open(&r, true);
	wire_reset(r.ours);
	assert_int_equal(recv(r.peer, got, sizeof(got), 0), -1);
	assert_int_equal(errno, ECONNRESET);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_read_takes_what_there_is),
	    cmocka_unit_test(the_loop_reads_only_while_reading_is_on),
	    cmocka_unit_test(a_paced_wire_sleeps_until_its_turn),
	    cmocka_unit_test(a_paced_source_is_spliced_by_the_piece),
	    cmocka_unit_test(a_reset_is_read_once_the_bytes_are),
	    cmocka_unit_test(a_reset_met_in_writing_is_no_end_to_the_reader),
	    cmocka_unit_test(a_reset_met_in_splicing_is_no_end_to_the_reader),
	    cmocka_unit_test(a_close_is_noticed_once_without_spinning),
	    cmocka_unit_test(after_the_end_only_a_reset_is_a_hangup),
	    cmocka_unit_test(nothing_is_sent_before_the_flush),
	    cmocka_unit_test(what_does_not_fit_is_left_to_the_loop),
	    cmocka_unit_test(a_break_is_reported_once_from_the_loop),
	    cmocka_unit_test(reading_goes_on_when_writing_broke),
	    cmocka_unit_test(it_may_be_freed_in_its_callbacks),
	    cmocka_unit_test(done_forgets_a_break_not_yet_reported),
	    cmocka_unit_test(reset_reaches_the_peer_before_the_close),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
