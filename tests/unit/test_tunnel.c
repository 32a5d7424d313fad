/* The tunnel's peers are threads with blocking sockets; the tunnel runs in the main thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "net/deadline.h"
#include "net/pipe.h"
#include "net/tunnel.h"
#include "net/wire.h"
#include "pair.h"

enum {
	MANY = 50 * 1000 * 1000,
	PIECE = 64 * 1024,
	MANY_TURNS = 100 /* of the loop: thousands when something spins */
};

struct rig {
	struct event_base *base;
	struct pipe_pool *pipes;
	struct tunnel *tunnel;
	struct tunnel_sides sides;
	int client, server; /* the peers' ends; -1 when the test closed it */
	struct tunnel_result result;
	int done;
};

/* ---- sockets ------------------------------------------------------------------------------- */

static void make_pair(bool tcp, int *ret_peer, int *ret_ours)
{
	int fds[2];

	if (tcp)
		connect_pair(fds);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*ret_peer = fds[0];
	*ret_ours = fds[1];
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void rig_open(struct rig *r, bool tcp, bool copy)
{
	struct event_config *config = event_config_new();

	memset(r, 0, sizeof(*r));
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	r->base = event_base_new_with_config(config);
	event_config_free(config);
	r->pipes = pipe_pool_new(4);
	assert_non_null(r->pipes);
	r->sides.copy = copy;
	make_pair(tcp, &r->client, &r->sides.client_fd);
	make_pair(tcp, &r->server, &r->sides.server_fd);
}

/* Full sooner. */
static void rig_narrow(struct rig *r)
{
	int size = 64 * 1024;

	setsockopt(r->sides.client_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(r->sides.server_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(r->client, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(r->server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void rig_close(struct rig *r)
{
	close_fd(&r->client);
	close_fd(&r->server);
	close_fd(&r->sides.client_fd);
	close_fd(&r->sides.server_fd);
	pipe_pool_free(r->pipes);
	event_base_free(r->base);
}

/* The owner's part: what ended last is passed on by closing. */
static void on_done(const struct tunnel_result *result, void *arg)
{
	struct rig *r = arg;

	if (result->end == TUNNEL_FINISHED) {
		close_fd(&r->sides.client_fd);
		close_fd(&r->sides.server_fd);
	}
	r->tunnel = NULL;
	r->result = *result;
	r->done++;
	event_base_loopbreak(r->base);
}

static void rig_start(struct rig *r, int idle_seconds)
{
	struct timeval idle = {.tv_sec = idle_seconds};

	r->tunnel = tunnel_start(r->base, r->pipes, &r->sides, idle, on_done, r);
	assert_non_null(r->tunnel);
	assert_int_equal(r->done, 0);
}

/* Until done, at most 60 seconds. */
static void rig_run(struct rig *r)
{
	struct timeval most = {.tv_sec = 60};

	if (!r->done) {
		event_base_loopexit(r->base, &most);
		event_base_dispatch(r->base);
	}
	assert_int_equal(r->done, 1);
}

/* Until nothing happens for a moment: the tunnel has moved all it can. */
static void rig_settle(struct rig *r)
{
	struct timeval moment = {.tv_usec = 10000};
	uint64_t up = 0, down = 0, before;
	int rounds = 0;

	do {
		before = up + down;
		event_base_loopexit(r->base, &moment);
		event_base_dispatch(r->base);
		if (r->tunnel)
			tunnel_counts(r->tunnel, &up, &down);
	} while (r->tunnel && (up + down != before || rounds++ < 1));
}

/* ---- peers --------------------------------------------------------------------------------- */

static unsigned char pattern(uint64_t at, unsigned seed)
{
	return (unsigned char)(at * 7 + (at >> 11) + seed);
}

struct sender {
	int fd;
	uint64_t from, to;
	unsigned seed;
	pthread_t thread;
};

static void *send_pattern(void *arg)
{
	struct sender *s = arg;
	unsigned char bytes[PIECE];

	while (s->from < s->to) {
		size_t want = s->to - s->from < PIECE ? (size_t)(s->to - s->from) : PIECE;

		for (size_t i = 0; i < want; i++)
			bytes[i] = pattern(s->from + i, s->seed);
		ssize_t n = send(s->fd, bytes, want, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		s->from += (uint64_t)n;
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

struct receiver {
	int fd;
	uint64_t count, wrong;
	unsigned seed;
	int error;
	pthread_t thread;
};

static void *receive_pattern(void *arg)
{
	struct receiver *r = arg;
	unsigned char bytes[PIECE];
	ssize_t n;

	while ((n = recv(r->fd, bytes, sizeof(bytes), 0)) > 0)
		for (ssize_t i = 0; i < n; i++)
			r->wrong += bytes[i] != pattern(r->count++, r->seed);
	r->error = n < 0 ? errno : 0;
	return NULL;
}

static struct evbuffer *prefix_new(uint64_t size, unsigned seed)
{
	struct evbuffer *prefix = evbuffer_new();

	for (uint64_t i = 0; i < size; i++) {
		unsigned char byte = pattern(i, seed);

		evbuffer_add(prefix, &byte, 1);
	}
	return prefix;
}

/* ---- whole streams ------------------------------------------------------------------------- */

static const struct stream_case {
	const char *name;
	bool tcp, copy;
	uint64_t up, down, up_prefix, down_prefix;
	bool starved;
	uint32_t rate; /* of both ways together; 0: as fast as it goes */
} streams[] = {
    {"both ways, TCP, spliced", true, false, MANY, MANY, 0, 0, false, 0},
    {"both ways, TCP, copied", true, true, MANY, MANY, 0, 0, false, 0},
    {"both ways, Unix, spliced", false, false, MANY, MANY, 0, 0, false, 0},
    {"both ways, Unix, copied", false, true, MANY, MANY, 0, 0, false, 0},
    {"only the client speaks", true, false, 1000, 0, 0, 0, false, 0},
    {"only the server speaks", true, false, 0, 1000, 0, 0, false, 0},
    {"nobody speaks", true, false, 0, 0, 0, 0, false, 0},
    {"one byte each way, copied", false, true, 1, 1, 0, 0, false, 0},
    {"prefixes only", true, false, 700, 800, 700, 800, false, 0},
    {"small prefixes", true, false, MANY / 10, MANY / 10, 17, 170, false, 0},
    {"large prefixes", true, false, 7000000, 7000000, 6000000, 6000000, false, 0},
    {"large prefixes, copied", false, true, 7000000, 7000000, 6000000, 6000000, false, 0},
    {"no descriptor left for a pipe", true, false, 2000000, 3000000, 0, 0, true, 0},
    {"paced, TCP, spliced", true, false, 2000000, 3000000, 17, 170, false, 20000000},
    {"paced, TCP, copied", true, true, 2000000, 3000000, 0, 0, false, 20000000},
    {"paced, Unix, spliced", false, false, 2000000, 3000000, 0, 0, false, 20000000},
    {"paced in small pieces", true, false, 20000, 30000, 0, 0, false, 200000},
};

/* From here on no descriptor can be opened. */
static void starve(struct rlimit *ret_old)
{
	struct rlimit none;
	int lowest = dup(0);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_old), 0);
	none = *ret_old;
	none.rlim_cur = (rlim_t)lowest;
	close(lowest);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void run_stream(const struct stream_case *c)
{
	struct rig r;
	struct rlimit limit;
	struct bucket bucket = {0};
	uint64_t began = deadline_now_ns();

	rig_open(&r, c->tcp, c->copy);
	if (c->rate > 0)
		r.sides.allowance = (struct allowance){&bucket, c->rate};
	if (c->starved)
		starve(&limit);
	struct sender up = {.fd = r.client, .from = c->up_prefix, .to = c->up, .seed = 1};
	struct sender down = {.fd = r.server, .from = c->down_prefix, .to = c->down, .seed = 2};
	struct receiver at_server = {.fd = r.server, .seed = 1};
	struct receiver at_client = {.fd = r.client, .seed = 2};

	r.sides.client_prefix = prefix_new(c->up_prefix, 1);
	r.sides.server_prefix = prefix_new(c->down_prefix, 2);
	rig_start(&r, 30);
	assert_int_equal(evbuffer_get_length(r.sides.client_prefix), 0);
	assert_int_equal(evbuffer_get_length(r.sides.server_prefix), 0);
	pthread_create(&up.thread, NULL, send_pattern, &up);
	pthread_create(&down.thread, NULL, send_pattern, &down);
	pthread_create(&at_server.thread, NULL, receive_pattern, &at_server);
	pthread_create(&at_client.thread, NULL, receive_pattern, &at_client);
	rig_run(&r);
	if (c->starved)
		setrlimit(RLIMIT_NOFILE, &limit);
	pthread_join(up.thread, NULL);
	pthread_join(down.thread, NULL);
	pthread_join(at_server.thread, NULL);
	pthread_join(at_client.thread, NULL);
	/* All but what may come at once: an eighth of a second's worth, and a piece each way. */
	if (c->rate > 0)
		assert_true((deadline_now_ns() - began) >=
			    bucket_cost(c->up + c->down, c->rate) - BUCKET_SECOND / 5);
	assert_int_equal(r.result.end, TUNNEL_FINISHED);
	assert_int_equal(r.result.up, c->up);
	assert_int_equal(r.result.down, c->down);
	assert_int_equal(at_server.count, c->up);
	assert_int_equal(at_client.count, c->down);
	assert_int_equal(at_server.wrong + at_client.wrong, 0);
	evbuffer_free(r.sides.client_prefix);
	evbuffer_free(r.sides.server_prefix);
	rig_close(&r);
}

static void streams_arrive_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		print_message("  %s\n", streams[i].name);
		run_stream(&streams[i]);
	}
}

/* ---- any pace ------------------------------------------------------------------------------ */

/* A number below `most`, of a peer's own row: the threads share nothing. */
static unsigned peer_random(unsigned *state, unsigned most)
{
	*state = *state * 1103515245 + 12345;
	return *state / 65536 % most;
}

/* Small and large pieces, close together and far between. */
static void *send_at_any_pace(void *arg)
{
	struct sender *s = arg;
	unsigned char bytes[PIECE];
	unsigned state = s->seed;

	while (s->from < s->to) {
		unsigned most = peer_random(&state, 2) ? 200 : PIECE;
		size_t want = 1 + peer_random(&state, most);

		if (want > s->to - s->from)
			want = (size_t)(s->to - s->from);
		for (size_t i = 0; i < want; i++)
			bytes[i] = pattern(s->from + i, s->seed);
		ssize_t n = send(s->fd, bytes, want, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		s->from += (uint64_t)n;
		if (peer_random(&state, 16) == 0)
			usleep(peer_random(&state, 300));
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void *receive_at_any_pace(void *arg)
{
	struct receiver *r = arg;
	unsigned char bytes[PIECE];
	unsigned state = r->seed + 7;
	ssize_t n;

	while ((n = recv(r->fd, bytes, 1 + peer_random(&state, PIECE), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			r->wrong += bytes[i] != pattern(r->count++, r->seed);
		if (peer_random(&state, 16) == 0)
			usleep(peer_random(&state, 2000));
	}
	r->error = n < 0 ? errno : 0;
	return NULL;
}

/* Which side is full when, and what comes in pieces of which size, is never the same. */
static void no_pace_brings_it_to_a_stand(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 24; i++) {
		struct rig r;

		rig_open(&r, true, i % 8 == 7);
		if (i & 1)
			rig_narrow(&r);
		struct sender up = {.fd = r.client, .to = (i & 2) ? 3000000 : 30000, .seed = i};
		struct sender down = {
		    .fd = r.server, .to = (i & 4) ? 3000000 : 300000, .seed = i + 99};
		struct receiver at_server = {.fd = r.server, .seed = i};
		struct receiver at_client = {.fd = r.client, .seed = i + 99};

		rig_start(&r, 30);
		pthread_create(&up.thread, NULL, send_at_any_pace, &up);
		pthread_create(&down.thread, NULL, send_at_any_pace, &down);
		pthread_create(&at_server.thread, NULL, receive_at_any_pace, &at_server);
		pthread_create(&at_client.thread, NULL, receive_at_any_pace, &at_client);
		rig_run(&r);
		pthread_join(up.thread, NULL);
		pthread_join(down.thread, NULL);
		pthread_join(at_server.thread, NULL);
		pthread_join(at_client.thread, NULL);
		assert_int_equal(r.result.end, TUNNEL_FINISHED);
		assert_int_equal(at_server.count, up.to);
		assert_int_equal(at_client.count, down.to);
		assert_int_equal(at_server.wrong + at_client.wrong, 0);
		rig_close(&r);
	}
}

/* ---- who comes after it -------------------------------------------------------------------- */

struct successor {
	struct rig rig;
	struct event event;
	int fd, peer, reads;
};

static void read_one_byte(evutil_socket_t fd, short what, void *arg)
{
	struct successor *s = arg;
	char byte;

	(void)what;
	s->reads += recv(fd, &byte, 1, 0) == 1;
}

/* In the very turn in which the tunnel ended its descriptors are somebody else's. */
static void be_succeeded(const struct tunnel_result *result, void *arg)
{
	struct successor *s = arg;
	int fds[2], gone = s->rig.sides.client_fd;

	on_done(result, &s->rig);
	assert_int_equal(result->end, TUNNEL_FINISHED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_true(fds[0] == gone || fds[1] == gone);
	s->fd = gone;
	s->peer = fds[fds[0] == gone];
	event_assign(&s->event, s->rig.base, gone, EV_READ | EV_PERSIST, read_one_byte, s);
	assert_int_equal(event_add(&s->event, NULL), 0);
}

static void its_descriptors_can_be_used_again_at_once(void **state)
{
	struct successor s = {.reads = 0};
	struct rig *r = &s.rig;
	struct timeval idle = {.tv_sec = 30};

	(void)state;
	rig_open(r, true, false);
	r->tunnel = tunnel_start(r->base, r->pipes, &r->sides, idle, be_succeeded, &s);
	assert_non_null(r->tunnel);
	shutdown(r->client, SHUT_WR);
	rig_settle(r); /* one side is edge-triggered now */
	shutdown(r->server, SHUT_WR);
	rig_run(r);
	/* It is told again of what it has not read, as whoever asked for nothing else expects. */
	assert_int_equal(send(s.peer, "abc", 3, 0), 3);
	for (int turn = 0; turn < 10; turn++)
		event_base_loop(r->base, EVLOOP_NONBLOCK);
	assert_int_equal(s.reads, 3);
	event_del(&s.event);
	close(s.fd);
	close(s.peer);
	rig_close(r);
}

/* ---- half-close ---------------------------------------------------------------------------- */

static void a_half_close_leaves_the_other_way_open(void **state)
{
	char got[8];

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct rig r;

		rig_open(&r, i & 1, i & 2);
		rig_start(&r, 30);
		shutdown(r.client, SHUT_WR);
		rig_settle(&r);
		assert_int_equal(recv(r.server, got, sizeof(got), 0), 0);
		assert_int_equal(send(r.server, "late", 4, 0), 4);
		rig_settle(&r);
		assert_int_equal(recv(r.client, got, sizeof(got), 0), 4);
		assert_int_equal(r.done, 0);
		shutdown(r.server, SHUT_WR);
		rig_run(&r);
		assert_int_equal(r.result.end, TUNNEL_FINISHED);
		assert_int_equal(r.result.down, 4);
		rig_close(&r);
	}
}

/* ---- failures ------------------------------------------------------------------------------ */

static void fill(int fd)
{
	char bytes[PIECE] = {0};

	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

/* Both directions stand still, full. */
static void rig_jam(struct rig *r, bool client, bool server)
{
	uint64_t up = 0, down = 0, before;

	do {
		before = up + down;
		if (client)
			fill(r->client);
		if (server)
			fill(r->server);
		rig_settle(r);
		assert_non_null(r->tunnel);
		tunnel_counts(r->tunnel, &up, &down);
	} while (up + down != before);
}

static const struct reset_case {
	const char *name;
	bool copy, client_jams, server_jams, client_resets, client_half_closes;
	enum tunnel_end end;
} resets[] = {
    {"client, quiet", false, false, false, true, false, TUNNEL_CLIENT_FAILED},
    {"server, quiet", false, false, false, false, false, TUNNEL_SERVER_FAILED},
    {"server, quiet, copied", true, false, false, false, false, TUNNEL_SERVER_FAILED},
    {"client, its way full", false, true, false, true, false, TUNNEL_CLIENT_FAILED},
    {"client, its way full, copied", true, true, false, true, false, TUNNEL_CLIENT_FAILED},
    {"server, its way full", false, false, true, false, false, TUNNEL_SERVER_FAILED},
    {"client, server's way full", false, false, true, true, false, TUNNEL_CLIENT_FAILED},
    {"server, client's way full", false, true, false, false, false, TUNNEL_SERVER_FAILED},
    {"client, both full", false, true, true, true, false, TUNNEL_CLIENT_FAILED},
    {"server, both full", false, true, true, false, false, TUNNEL_SERVER_FAILED},
    {"server, client half-closed", false, false, false, false, true, TUNNEL_SERVER_FAILED},
    {"client, after its half-close", false, false, false, true, true, TUNNEL_CLIENT_FAILED},
};

static void run_reset(const struct reset_case *c)
{
	struct rig r;

	rig_open(&r, true, c->copy);
	rig_narrow(&r);
	rig_start(&r, 50);
	rig_settle(&r);
	rig_jam(&r, c->client_jams, c->server_jams);
	if (c->client_half_closes)
		shutdown(r.client, SHUT_WR);
	rig_settle(&r);
	assert_int_equal(r.done, 0);
	if (c->client_resets) {
		/* After a FIN only closing with unread data makes a reset. */
		if (c->client_half_closes)
			assert_int_equal(send(r.server, "unread", 6, MSG_DONTWAIT), 6);
		rig_settle(&r);
		wire_reset(r.client);
		if (c->client_half_closes)
			close_fd(&r.client);
	} else {
		wire_reset(r.server);
	}
	rig_run(&r);
	assert_int_equal(r.result.end, c->end);
	assert_true(r.result.error == ECONNRESET || r.result.error == EPIPE);
	rig_close(&r);
}

static void a_reset_is_noticed_at_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(resets); i++) {
		print_message("  %s\n", resets[i].name);
		run_reset(&resets[i]);
	}
}

/* Also while nothing is read because much is owed; and that wait is no spinning. */
static void a_reset_is_noticed_out_of_turn(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct bucket bucket = {0};
		struct timeval moment = {.tv_usec = 10000};
		struct rig r;
		int turns = 0;

		rig_open(&r, true, false);
		bucket_spend(&bucket, 3600 * BUCKET_SECOND, deadline_now_ns());
		r.sides.allowance = (struct allowance){&bucket, 1000};
		rig_start(&r, 50);
		if (i & 1)
			assert_int_equal(send(r.client, "waits", 5, 0), 5);
		event_base_loopexit(r.base, &moment);
		do
			event_base_loop(r.base, EVLOOP_ONCE);
		while (turns++, !event_base_got_exit(r.base));
		assert_true(turns < MANY_TURNS);
		assert_int_equal(r.done, 0);
		wire_reset(i & 2 ? r.client : r.server);
		rig_run(&r);
		assert_int_equal(r.result.end, i & 2 ? TUNNEL_CLIENT_FAILED : TUNNEL_SERVER_FAILED);
		assert_int_equal(r.result.up, 0);
		rig_close(&r);
	}
}

/* More than the client's side takes, yet all has arrived at the tunnel's socket. */
static uint64_t server_sends_more_than_fits(struct rig *r)
{
	static const char bytes[PIECE];
	uint64_t sent = 0, up, down;
	int unsent;

	do {
		assert_int_equal(send(r->server, bytes, sizeof(bytes), 0), sizeof(bytes));
		sent += sizeof(bytes);
		rig_settle(r);
		tunnel_counts(r->tunnel, &up, &down);
	} while (down + sizeof(bytes) > sent);
	/* The last acknowledgement may be a delayed one. */
	do {
		rig_settle(r);
		assert_int_equal(ioctl(r->server, SIOCOUTQ, &unsent), 0);
	} while (unsent > 0);
	return sent;
}

/* The server answers and closes; what the client still sends is answered with a reset. */
static void an_answer_outlives_the_reset_that_follows_it(void **state)
{
	(void)state;
	for (int copy = 0; copy < 2; copy++) {
		struct rig r;

		rig_open(&r, true, copy);
		rig_narrow(&r);
		rig_start(&r, 50);
		rig_settle(&r);
		uint64_t sent = server_sends_more_than_fits(&r);
		struct receiver at_client = {.fd = r.client};

		shutdown(r.server, SHUT_WR);
		close_fd(&r.server);
		assert_int_equal(send(r.client, "more", 4, 0), 4);
		rig_settle(&r);
		send(r.client, "more", 4, MSG_NOSIGNAL);
		rig_settle(&r);
		assert_int_equal(r.done, 0); /* the client has not read yet */
		pthread_create(&at_client.thread, NULL, receive_pattern, &at_client);
		rig_run(&r);
		shutdown(r.sides.client_fd, SHUT_WR);
		pthread_join(at_client.thread, NULL);
		assert_int_equal(r.result.end, TUNNEL_SERVER_FAILED);
		assert_int_equal(r.result.error, EPIPE);
		assert_int_equal(r.result.down, at_client.count);
		assert_int_equal(at_client.count, sent);
		rig_close(&r);
	}
}

/* ---- bounds -------------------------------------------------------------------------------- */

static int count_turns(struct event_base *base)
{
	int turns = 0;
	struct timeval moment = {.tv_usec = 100000};

	event_base_loopexit(base, &moment);
	do
		event_base_loop(base, EVLOOP_ONCE);
	while (turns++, !event_base_got_exit(base));
	return turns;
}

static void a_full_tunnel_holds_little_and_sleeps(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct rig r;
		uint64_t up, down, up_later, down_later;

		rig_open(&r, i & 1, i & 2);
		rig_narrow(&r);
		rig_start(&r, 50);
		rig_jam(&r, true, true);
		tunnel_counts(r.tunnel, &up, &down);
		assert_true(count_turns(r.base) < MANY_TURNS);
		tunnel_counts(r.tunnel, &up_later, &down_later);
		/* Next to nothing: a late acknowledgement may still make some room. */
		assert_true(up_later + down_later - up - down < 1000000);
		tunnel_cancel(r.tunnel);
		rig_close(&r);
	}
}

static int count_descriptors(void)
{
	DIR *open_ones = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(open_ones);
	while (readdir(open_ones))
		count++;
	closedir(open_ones);
	return count;
}

static void an_idle_tunnel_holds_no_pipe(void **state)
{
	static char bytes[PIECE];
	struct rig r;
	uint64_t up, down;
	int before;

	(void)state;
	rig_open(&r, true, false);
	pipe_pool_free(r.pipes);
	r.pipes = pipe_pool_new(0); /* what is given back is closed */
	assert_non_null(r.pipes);
	rig_start(&r, 50);
	before = count_descriptors();
	for (int i = 0; i < 4; i++) {
		assert_int_equal(send(r.client, bytes, sizeof(bytes), 0), sizeof(bytes));
		rig_settle(&r);
		assert_int_equal(recv(r.server, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	}
	tunnel_counts(r.tunnel, &up, &down);
	assert_int_equal(up, 4 * sizeof(bytes));
	assert_int_equal(count_descriptors(), before);
	tunnel_cancel(r.tunnel);
	rig_close(&r);
}

static void silence_ends_it(void **state)
{
	(void)state;
	for (int half_closed = 0; half_closed < 2; half_closed++) {
		struct rig r;

		rig_open(&r, true, false);
		rig_start(&r, 1);
		if (half_closed)
			shutdown(r.client, SHUT_WR);
		send(r.server, "x", 1, 0);
		rig_run(&r);
		assert_int_equal(r.result.end, TUNNEL_IDLE);
		assert_int_equal(r.result.down, 1);
		rig_close(&r);
	}
}

static void cancel_stops_it_at_any_time(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct rig r;
		uint64_t up, down;

		rig_open(&r, true, false);
		rig_start(&r, 30);
		if (i > 0)
			rig_settle(&r);
		if (i > 1)
			rig_jam(&r, true, true);
		tunnel_counts(r.tunnel, &up, &down);
		assert_int_equal(up > 0, i > 1);
		tunnel_cancel(r.tunnel);
		r.tunnel = NULL;
		rig_settle(&r);
		assert_int_equal(r.done, 0);
		rig_close(&r);
	}
}

/* TCP's splice stops at an urgent byte. */
static void an_urgent_byte_does_not_stall_it(void **state)
{
	struct rig r;
	char got[16];

	(void)state;
	rig_open(&r, true, false);
	rig_start(&r, 30);
	assert_int_equal(send(r.client, "ab!", 3, MSG_OOB), 3);
	rig_settle(&r);
	assert_int_equal(send(r.client, "cd", 2, 0), 2);
	rig_settle(&r);
	shutdown(r.client, SHUT_WR);
	shutdown(r.server, SHUT_WR);
	rig_run(&r);
	assert_int_equal(r.result.end, TUNNEL_FINISHED);
	assert_int_equal(recv(r.server, got, sizeof(got), MSG_WAITALL), 4);
	assert_memory_equal(got, "abcd", 4);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(streams_arrive_whole),
	    cmocka_unit_test(no_pace_brings_it_to_a_stand),
	    cmocka_unit_test(its_descriptors_can_be_used_again_at_once),
	    cmocka_unit_test(a_half_close_leaves_the_other_way_open),
	    cmocka_unit_test(a_reset_is_noticed_at_once),
	    cmocka_unit_test(a_reset_is_noticed_out_of_turn),
	    cmocka_unit_test(an_answer_outlives_the_reset_that_follows_it),
	    cmocka_unit_test(a_full_tunnel_holds_little_and_sleeps),
	    cmocka_unit_test(an_idle_tunnel_holds_no_pipe),
	    cmocka_unit_test(silence_ends_it),
	    cmocka_unit_test(cancel_stops_it_at_any_time),
	    cmocka_unit_test(an_urgent_byte_does_not_stall_it),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
