#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"
#include "net/resolver.h"

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_AAAA = 28 };
enum { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5 };
enum {
	SEND_WELL,
	SEND_NOTHING,
	SEND_NOISE_FIRST,
	SEND_WRONG_ID,
	SEND_CUT,
	SEND_TINY,
	SEND_FORMERR,
	SEND_HELD, /* not before server_release */
	SEND_SERVFAIL_HELD,
	SEND_SERVFAIL
};

/* How the server answers the name "<first>.test". */
struct zone {
	const char *name;
	int rcode, a, aaaa; /* so many addresses */
	uint32_t ttl;
	int how, how_aaaa;
	bool truncated; /* over UDP */
	bool alias;     /* behind a CNAME whose TTL is a tenth */
	uint32_t soa;   /* TTL and minimum of an SOA record behind the answer; 0: none */
};

static const struct zone zones[] = {
    {.name = "dual", .a = 1, .aaaa = 1, .ttl = 60},
    {.name = "four", .a = 2, .ttl = 60},
    {.name = "six", .aaaa = 2, .ttl = 60},
    {.name = "many", .a = 20, .aaaa = 20, .ttl = 60},
    {.name = "lots-of-four", .a = 30, .aaaa = 2, .ttl = 60},
    {.name = "lots-of-six", .a = 1, .aaaa = 25, .ttl = 60},
    {.name = "only-four", .a = 30, .ttl = 60},
    {.name = "a_b-c", .a = 1, .ttl = 60},
    {.name = "long", .a = 1, .ttl = 1000000},
    {.name = "huge", .a = 1, .ttl = 0x80000001},
    {.name = "zero", .a = 1, .aaaa = 1, .ttl = 0},
    {.name = "alias", .a = 1, .ttl = 100, .alias = true},
    {.name = "zero-silent", .a = 1, .aaaa = 1, .ttl = 0, .how = SEND_NOTHING},
    {.name = "none", .rcode = NXDOMAIN},
    {.name = "empty"},
    {.name = "servfail", .rcode = SERVFAIL},
    {.name = "refused", .rcode = REFUSED},
    {.name = "silent", .how = SEND_NOTHING, .how_aaaa = SEND_NOTHING},
    {.name = "half", .a = 1, .ttl = 60, .how_aaaa = SEND_NOTHING},
    {.name = "truncated", .a = 1, .aaaa = 1, .ttl = 60, .truncated = true},
    {.name = "noise", .a = 1, .ttl = 60, .how = SEND_NOISE_FIRST, .how_aaaa = SEND_NOISE_FIRST},
    {.name = "wrong-id", .a = 1, .ttl = 60, .how = SEND_WRONG_ID, .how_aaaa = SEND_WRONG_ID},
    {.name = "cut", .a = 1, .aaaa = 1, .ttl = 60, .how = SEND_CUT, .how_aaaa = SEND_CUT},
    {.name = "tiny", .a = 1, .aaaa = 1, .ttl = 60, .how = SEND_TINY, .how_aaaa = SEND_TINY},
    {.name = "none-9", .rcode = NXDOMAIN, .soa = 9},
    {.name = "none-99", .rcode = NXDOMAIN, .soa = 99},
    {.name = "empty-5", .soa = 5},
    {.name = "held-a", .a = 2, .aaaa = 3, .ttl = 60, .how = SEND_HELD},
    {.name = "held-aaaa", .a = 2, .aaaa = 3, .ttl = 60, .how_aaaa = SEND_HELD},
    {.name = "held-a-alone", .a = 2, .ttl = 60, .how = SEND_HELD},
    {.name = "held-aaaa-none", .a = 2, .ttl = 60, .how_aaaa = SEND_HELD},
    {.name = "held-a-fails", .aaaa = 3, .ttl = 60, .how = SEND_SERVFAIL_HELD},
    {.name = "silent-a", .a = 2, .aaaa = 3, .ttl = 60, .how = SEND_NOTHING},
    {.name = "fails-aaaa", .a = 1, .ttl = 60, .how_aaaa = SEND_SERVFAIL},
    {.name = "fails-a", .aaaa = 1, .ttl = 60, .how = SEND_SERVFAIL},
    {.name = "none-silent", .rcode = NXDOMAIN, .how_aaaa = SEND_NOTHING},
    {.name = "silent-none", .rcode = NXDOMAIN, .how = SEND_NOTHING},
    {.name = "empty-silent", .how_aaaa = SEND_NOTHING},
    {.name = "empty-fails", .how_aaaa = SEND_SERVFAIL},
    {.name = "fails-silent", .how = SEND_SERVFAIL, .how_aaaa = SEND_NOTHING},
    {.name = "old", .a = 1, .aaaa = 1, .ttl = 60, .how = SEND_FORMERR, .how_aaaa = SEND_FORMERR},
};

struct server {
	int udp, tcp;
	struct event *udp_event, *tcp_event, *call_event;
	int queries; /* seen over UDP */
	int calls;   /* taken over TCP */
	bool deaf;
	struct { /* the answer that is held back */
		uint8_t bytes[1500];
		size_t len;
		struct sockaddr_storage to;
	} held;
};

/* What the resolver takes for the time is moved by the tests. */
static int64_t *clock_ahead_s(void)
{
	static int64_t ahead;

	return &ahead;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int result = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_BOOTTIME)
		ts->tv_sec += *clock_ahead_s();
	return result;
}

static size_t put16(uint8_t *out, unsigned v)
{
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
	return 2;
}

/* One record without its name, which is a pointer to offset `name`. */
static size_t put_record(uint8_t *out, unsigned name, unsigned type, uint32_t ttl, size_t len)
{
	size_t n = put16(out, 0xc000 | name);

	n += put16(out + n, type);
	n += put16(out + n, 1);
	n += put16(out + n, ttl >> 16);
	n += put16(out + n, ttl & 0xffff);
	n += put16(out + n, (unsigned)len);
	return n;
}

static size_t put_addresses(uint8_t *out, const struct zone *z, unsigned type, unsigned name)
{
	size_t n = 0, len = type == TYPE_A ? 4 : 16;
	int count = type == TYPE_A ? z->a : z->aaaa;

	for (int i = 0; i < count; i++) {
		n += put_record(out + n, name, type, z->ttl, len);
		memset(out + n, 0, len);
		memcpy(out + n, type == TYPE_A ? "\xc0\x00\x02" : "\x20\x01\x0d\xb8",
		    type == TYPE_A ? 3 : 4);
		out[n + len - 1] = (uint8_t)(i + 1);
		n += len;
	}
	return n;
}

static const struct zone *zone_of(const uint8_t *query, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		size_t n = strlen(zones[i].name);

		if (len > 13 + n && query[12] == n && memcmp(query + 13, zones[i].name, n) == 0)
			return &zones[i];
	}
	return NULL;
}

/* Fills `out` with the answer, and returns its length; 0: nothing is to be said. */
static size_t answer(const uint8_t *query, size_t len, bool udp, uint8_t out[1500])
{
	const struct zone *z = zone_of(query, len);
	size_t end = 12, n;
	unsigned type, name = 12;
	int how;

	while (end < len && query[end] != 0)
		end += query[end] + 1U;
	end += 5;
	if (end > len || !z)
		return 0;
	type = (unsigned)query[end - 4] << 8 | query[end - 3];
	how = type == TYPE_A ? z->how : z->how_aaaa;
	if (how == SEND_NOTHING || (type != TYPE_A && type != TYPE_AAAA))
		return 0;
	memcpy(out, query, end);
	out[2] = 0x81;
	out[3] = (uint8_t)(0x80 | z->rcode);
	memset(out + 6, 0, 6);
	n = end;
	if (how == SEND_FORMERR && query[11] == 1) {
		out[3] = 0x80 | FORMERR;
		return n;
	}
	if (udp && z->truncated) {
		out[2] |= 2;
		return n;
	}
	if (how == SEND_SERVFAIL || how == SEND_SERVFAIL_HELD)
		out[3] = 0x80 | SERVFAIL;
	if (z->soa > 0) {
		put16(out + 8, 1);
		n += put_record(out + n, name, TYPE_SOA, z->soa, 22);
		memset(out + n, 0, 18);
		n += 18;
		n += put16(out + n, 0);
		n += put16(out + n, z->soa);
	}
	if (z->rcode != NOERROR || how == SEND_SERVFAIL || how == SEND_SERVFAIL_HELD)
		return n;
	put16(out + 6, (unsigned)(type == TYPE_A ? z->a : z->aaaa));
	if (z->alias) {
		n += put_record(out + n, name, TYPE_CNAME, z->ttl / 10, 7);
		name = (unsigned)n;
		memcpy(out + n, "\4real\xc0", 6);
		out[n + 6] = (uint8_t)(13 + out[12]); /* ".test" */
		n += 7;
		out[7]++;
	}
	n += put_addresses(out + n, z, type, name);
	if (how == SEND_CUT)
		n -= 3;
	if (how == SEND_TINY)
		n = 7;
	if (how == SEND_WRONG_ID)
		out[0] ^= 0xff;
	return n;
}

static bool is_held(const struct zone *z, const uint8_t *query, size_t len)
{
	size_t end = 12;
	int how;

	while (end < len && query[end] != 0)
		end += query[end] + 1U;
	how = query[end + 2] == TYPE_A ? z->how : z->how_aaaa;
	return how == SEND_HELD || how == SEND_SERVFAIL_HELD;
}

static void server_release(struct server *s)
{
	assert_true(s->held.len > 0);
	assert_int_equal(sendto(s->udp, s->held.bytes, s->held.len, 0,
			     (struct sockaddr *)&s->held.to, sizeof(struct sockaddr_in)),
	    s->held.len);
	s->held.len = 0;
}

static void server_on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t query[512], out[1500];
	const struct zone *z;
	ssize_t len;
	size_t n;

	(void)what;
	len = recvfrom(fd, query, sizeof(query), 0, (struct sockaddr *)&from, &from_len);
	assert_true(len > 12);
	s->queries++;
	z = zone_of(query, (size_t)len);
	n = s->deaf ? 0 : answer(query, (size_t)len, true, out);
	if (z && z->how == SEND_NOISE_FIRST) {
		uint8_t noise[600];

		memset(noise, 0xc0, sizeof(noise));
		(void)!sendto(fd, noise, 0, 0, (struct sockaddr *)&from, from_len);
		(void)!sendto(fd, noise, 600, 0, (struct sockaddr *)&from, from_len);
		memcpy(noise, query, 12); /* the right id, and nonsense behind it */
		(void)!sendto(fd, noise, 40, 0, (struct sockaddr *)&from, from_len);
	}
	if (n > 0 && z && is_held(z, query, (size_t)len)) {
		/* Asked once more, it is the same answer. */
		memcpy(s->held.bytes, out, n);
		s->held.len = n;
		s->held.to = from;
		return;
	}
	if (n > 0)
		assert_int_equal(sendto(fd, out, n, 0, (struct sockaddr *)&from, from_len), n);
}

/* Reads block, which is fine: c-ares writes a query in one piece. */
static void server_on_call(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	uint8_t query[514], out[1502];
	size_t len, n;

	(void)what;
	if (recv(fd, query, 2, MSG_WAITALL) != 2) {
		event_free(s->call_event);
		s->call_event = NULL;
		close(fd);
		return;
	}
	len = (size_t)query[0] << 8 | query[1];
	assert_true(len <= 512);
	assert_int_equal(recv(fd, query + 2, len, MSG_WAITALL), len);
	n = answer(query + 2, len, false, out + 2);
	put16(out, (unsigned)n);
	assert_int_equal(send(fd, out, n + 2, MSG_NOSIGNAL), n + 2);
}

static struct event *server_watch(struct event_base *base, int fd, event_callback_fn on, void *arg)
{
	struct event *e = event_new(base, fd, EV_READ | EV_PERSIST, on, arg);

	assert_non_null(e);
	assert_int_equal(event_add(e, NULL), 0);
	return e;
}

/* One call at a time. */
static void server_on_tcp(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	int c = accept(fd, NULL, NULL);

	(void)what;
	assert_true(c >= 0 && !s->call_event);
	s->calls++;
	s->call_event = server_watch(event_get_base(s->tcp_event), c, server_on_call, s);
}

static int server_socket(int type, struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int one = 1, room = 4 << 20;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* A thousand queries may come before our turn to read. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)at, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)at, &len) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Port 0: any.  Returns the port, or -1. */
static int server_open(struct server *s, struct event_base *base, const char *ip, int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	inet_pton(AF_INET, ip, &at.sin_addr);
	*s = (struct server){.udp = server_socket(SOCK_DGRAM, &at), .tcp = -1};
	if (s->udp < 0)
		return -1;
	s->tcp = server_socket(SOCK_STREAM, &at);
	if (s->tcp < 0 || listen(s->tcp, 5) != 0) {
		close(s->udp);
		if (s->tcp >= 0)
			close(s->tcp);
		return -1;
	}
	s->udp_event = server_watch(base, s->udp, server_on_udp, s);
	s->tcp_event = server_watch(base, s->tcp, server_on_tcp, s);
	return ntohs(at.sin_port);
}

static void server_close(struct server *s)
{
	event_free(s->udp_event);
	event_free(s->tcp_event);
	close(s->udp);
	close(s->tcp);
	if (s->call_event) {
		close(event_get_fd(s->call_event));
		event_free(s->call_event);
	}
}

struct asker {
	struct fixture *f;
	struct resolver_query *handle;
	struct resolver_answer answer;
	struct addr addrs[RESOLVER_ADDRS_MAX];
	int called, halves;    /* for the last time, and with more to come */
	struct asker *cancels; /* another one, from its callback */
	bool frees, asks_again, asked_again;
};

struct fixture {
	struct event_base *base;
	struct server server;
	struct resolver *resolver;
	struct metrics metrics;
	char server_text[32];
	int timeout_ms;
	bool in_call, too_long;
};

static void asker_on_done(const struct resolver_answer *answer_is, void *arg);

static void ask(struct fixture *f, struct asker *a, const char *name)
{
	a->f = f;
	f->in_call = true;
	a->handle = resolver_lookup(f->resolver, slice_of(name), asker_on_done, a);
	f->in_call = false;
	assert_non_null(a->handle);
}

static void asker_on_done(const struct resolver_answer *answer_is, void *arg)
{
	struct asker *a = arg;
	struct fixture *f = a->f;

	assert_false(f->in_call);
	assert_int_equal(a->called, a->asked_again);
	assert_true(answer_is->status != RESOLVER_OK || answer_is->count > 0 || a->halves == 1);
	assert_true(answer_is->status == RESOLVER_OK || (answer_is->count == 0 && a->halves == 0));
	assert_true(a->answer.count + answer_is->count <= RESOLVER_ADDRS_MAX);
	for (size_t i = 0; i < answer_is->count; i++) {
		assert_int_equal(answer_is->addrs[i].port, 0);
		for (size_t k = 0; k < a->answer.count; k++)
			assert_false(addr_equal(&a->addrs[k], &answer_is->addrs[i]));
		a->addrs[a->answer.count++] = answer_is->addrs[i];
	}
	a->answer.addrs = a->addrs;
	a->answer.status = answer_is->status;
	if (answer_is->more) {
		a->halves++;
		assert_int_equal(a->halves, 1);
	} else {
		a->handle = NULL;
		a->called++;
	}
	if (a->cancels) {
		resolver_cancel(a->cancels->handle);
		a->cancels->handle = NULL;
	}
	if (a->asks_again && !answer_is->more) {
		a->asks_again = false;
		a->asked_again = true;
		a->answer.count = 0;
		a->halves = 0;
		ask(f, a, "dual.test");
	} else if (a->frees) {
		resolver_free(f->resolver);
		f->resolver = NULL;
	}
}

static void open_at(struct fixture *f, int port, int timeout_ms, struct resolver_options o)
{
	const char *servers[] = {f->server_text};
	const char *error = NULL;

	snprintf(f->server_text, sizeof(f->server_text), "127.0.0.1:%d", port);
	f->timeout_ms = timeout_ms;
	o.servers = servers;
	o.server_count = 1;
	o.timeout_ms = timeout_ms;
	o.metrics = &f->metrics;
	memset(&f->metrics, 0, sizeof(f->metrics));
	f->resolver = resolver_new(f->base, &o, &error);
	assert_non_null(f->resolver);
}

/* A reload, with the same servers. */
static void configure(struct fixture *f, struct resolver_options o)
{
	const char *servers[] = {f->server_text};
	const char *error = NULL;

	o.servers = servers;
	o.server_count = 1;
	o.timeout_ms = f->timeout_ms;
	assert_int_equal(resolver_configure(f->resolver, &o, &error), 0);
}

static void fixture_open(struct fixture *f, int timeout_ms, struct resolver_options o)
{
	int port = -1;

	memset(f, 0, sizeof(*f));
	f->base = event_base_new();
	assert_non_null(f->base);
	/* The port that is free for UDP may be taken for TCP. */
	for (int tries = 0; port < 0 && tries < 50; tries++)
		port = server_open(&f->server, f->base, "127.0.0.1", 0);
	assert_true(port > 0);
	open_at(f, port, timeout_ms, o);
}

static struct resolver_options usual(void)
{
	return (struct resolver_options){
	    .cache_entries = 100, .ttl_max_s = 3600, .ttl_negative_s = 10, .lookups = 256};
}

static void fixture_close(struct fixture *f)
{
	resolver_free(f->resolver);
	server_close(&f->server);
	event_base_free(f->base);
	*clock_ahead_s() = 0;
}

static void on_too_long(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	((struct fixture *)arg)->too_long = true;
}

/* Turn the loop until the asker was called. */
static void wait_for(struct fixture *f, const struct asker *a)
{
	struct event *guard = evtimer_new(f->base, on_too_long, f);
	struct timeval tv = {10, 0};

	evtimer_add(guard, &tv);
	while (a->called == 0 && !f->too_long)
		event_base_loop(f->base, EVLOOP_ONCE);
	event_free(guard);
	assert_false(f->too_long);
	assert_int_equal(a->called, 1);
	assert_null(a->handle);
}

static struct asker ask_and_wait(struct fixture *f, const char *name)
{
	struct asker a = {0};

	ask(f, &a, name);
	wait_for(f, &a);
	return a;
}

static size_t count_of(const struct asker *a, sa_family_t family)
{
	size_t n = 0;

	for (size_t i = 0; i < a->answer.count; i++)
		n += a->addrs[i].family == family;
	return n;
}

static const struct {
	const char *name;
	enum resolver_status status;
	size_t four, six;
	int queries; /* seen by the server; -1: any */
} answers[] = {
    {"dual.test", RESOLVER_OK, 1, 1, 2},
    {"DuAl.TeSt.", RESOLVER_OK, 1, 1, 2},
    {"four.test", RESOLVER_OK, 2, 0, 2},
    {"six.test", RESOLVER_OK, 0, 2, 2},
    {"a_b-c.test", RESOLVER_OK, 1, 0, 2},
    {"many.test", RESOLVER_OK, 8, 8, 2},
    {"lots-of-four.test", RESOLVER_OK, 8, 2, 2},
    {"lots-of-six.test", RESOLVER_OK, 1, 8, 2},
    {"only-four.test", RESOLVER_OK, 8, 0, 2},
    {"alias.test", RESOLVER_OK, 1, 0, 2},
    {"zero.test", RESOLVER_OK, 1, 1, 2},
    {"truncated.test", RESOLVER_OK, 1, 1, 2},
    {"noise.test", RESOLVER_OK, 1, 0, 2},
    {"half.test", RESOLVER_OK, 1, 0, -1},
    {"old.test", RESOLVER_OK, 1, 1, 4},
    {"fails-aaaa.test", RESOLVER_OK, 1, 0, -1},
    {"fails-a.test", RESOLVER_OK, 0, 1, -1},
    {"silent-a.test", RESOLVER_OK, 0, 3, -1},
    {"empty-fails.test", RESOLVER_FAILED, 0, 0, -1},
    {"none-silent.test", RESOLVER_NOT_FOUND, 0, 0, -1},
    {"silent-none.test", RESOLVER_TIMEOUT, 0, 0, -1},
    {"empty-silent.test", RESOLVER_TIMEOUT, 0, 0, -1},
    {"fails-silent.test", RESOLVER_FAILED, 0, 0, -1},
    {"none.test", RESOLVER_NOT_FOUND, 0, 0, 2},
    {"empty.test", RESOLVER_NOT_FOUND, 0, 0, 2},
    {"servfail.test", RESOLVER_FAILED, 0, 0, -1},
    {"refused.test", RESOLVER_FAILED, 0, 0, -1},
    {"cut.test", RESOLVER_FAILED, 0, 0, 2},
    {"a.LOCALhost.", RESOLVER_OK, 1, 1, 0},
    {"1.2.3.4.5", RESOLVER_BAD_NAME, 0, 0, 0},
    {"256.256.256.256", RESOLVER_BAD_NAME, 0, 0, 0},
    {"dual.0x1", RESOLVER_BAD_NAME, 0, 0, 0},
    {"tiny.test", RESOLVER_TIMEOUT, 0, 0, -1},
    {"wrong-id.test", RESOLVER_TIMEOUT, 0, 0, -1},
    {"silent.test", RESOLVER_TIMEOUT, 0, 0, -1},
    /* Literals, bad names and the hosts file: no query. */
    {"192.0.2.7", RESOLVER_OK, 1, 0, 0},
    {"192.0.2.7.", RESOLVER_OK, 1, 0, 0},
    {"127.1", RESOLVER_OK, 1, 0, 0},
    {"0x7f000001", RESOLVER_OK, 1, 0, 0},
    {"::1", RESOLVER_OK, 0, 1, 0},
    {"2001:db8::1", RESOLVER_OK, 0, 1, 0},
    {"", RESOLVER_BAD_NAME, 0, 0, 0},
    {".", RESOLVER_BAD_NAME, 0, 0, 0},
    {"..", RESOLVER_BAD_NAME, 0, 0, 0},
    {".test", RESOLVER_BAD_NAME, 0, 0, 0},
    {"a..test", RESOLVER_BAD_NAME, 0, 0, 0},
    {"dual.test..", RESOLVER_BAD_NAME, 0, 0, 0},
    {"dual test", RESOLVER_BAD_NAME, 0, 0, 0},
    {"dual.test\r\n", RESOLVER_BAD_NAME, 0, 0, 0},
    {"du\\al.test", RESOLVER_BAD_NAME, 0, 0, 0},
    {"du%61l.test", RESOLVER_BAD_NAME, 0, 0, 0},
    {"b\xc3\xbc"
     "cher.test",
	RESOLVER_BAD_NAME, 0, 0, 0},
    {"[::1]", RESOLVER_BAD_NAME, 0, 0, 0},
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct fixture f;
		struct asker a;

		bool waits = answers[i].status == RESOLVER_TIMEOUT ||
			     strstr(answers[i].name, "silent") || strstr(answers[i].name, "half");

		fixture_open(&f, waits ? 300 : 2000, usual());
		a = ask_and_wait(&f, answers[i].name);
		if (a.answer.status != answers[i].status ||
		    count_of(&a, AF_INET) != answers[i].four ||
		    count_of(&a, AF_INET6) != answers[i].six ||
		    (answers[i].queries >= 0 && f.server.queries != answers[i].queries))
			fail_msg("%s: status %d, %zu + %zu addresses, %d queries", answers[i].name,
			    (int)a.answer.status, count_of(&a, AF_INET), count_of(&a, AF_INET6),
			    f.server.queries);
		assert_int_equal(
		    f.metrics.values[METRIC_LOOKUPS_TOTAL], f.server.queries > 0 ? 1 : 0);
		fixture_close(&f);
	}
}

static void test_truncated_goes_over_tcp(void **state)
{
	struct fixture f;
	struct asker a;

	(void)state;
	fixture_open(&f, 2000, usual());
	a = ask_and_wait(&f, "truncated.test");
	assert_int_equal(a.answer.count, 2);
	assert_int_equal(f.server.calls, 1);
	fixture_close(&f);
}

static void test_long_names(void **state)
{
	static const struct {
		size_t len, label;
		enum resolver_status status;
	} cases[] = {
	    {253, 63, RESOLVER_NOT_FOUND},
	    {254, 63, RESOLVER_BAD_NAME},
	    {5000, 63, RESOLVER_BAD_NAME},
	    {63, 63, RESOLVER_NOT_FOUND},
	    {64, 64, RESOLVER_BAD_NAME},
	};
	struct fixture f;

	(void)state;
	fixture_open(&f, 1, usual());
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[5001] = {0};
		struct resolver_answer answer_is;
		bool known;

		for (size_t k = 0; k < cases[i].len; k++)
			name[k] = (k + 1) % (cases[i].label + 1) == 0 ? '.' : 'x';
		known = resolver_peek(f.resolver, (struct slice){name, cases[i].len}, &answer_is);
		assert_int_equal(known, cases[i].status == RESOLVER_BAD_NAME);
		if (known)
			assert_int_equal(answer_is.status, RESOLVER_BAD_NAME);
	}
	/* A NUL in the middle is no end. */
	ask_and_wait(&f, "127.0.0.1");
	{
		struct resolver_answer answer_is;

		assert_true(resolver_peek(f.resolver, SLICE("dual.test\0x"), &answer_is));
		assert_int_equal(answer_is.status, RESOLVER_BAD_NAME);
	}
	fixture_close(&f);
}

static void test_hosts_file(void **state)
{
	struct fixture f;
	struct asker a;

	(void)state;
	fixture_open(&f, 2000, usual());
	a = ask_and_wait(&f, "LOCALHOST");
	assert_int_equal(a.answer.status, RESOLVER_OK);
	assert_int_equal(f.server.queries, 0);
	assert_int_equal(f.metrics.values[METRIC_LOOKUPS_TOTAL], 0);
	fixture_close(&f);
}

/* After the first answer, time goes on and the name is asked for again. */
static const struct {
	const char *name;
	int ttl_max_s, ttl_negative_s, after_s;
	bool cached;
} ages[] = {
    {"dual.test", 3600, 10, 0, true},
    {"none-9.test", 3600, 3600, 8, true},
    {"none-9.test", 3600, 3600, 10, false},
    {"none-99.test", 3600, 10, 8, true},
    {"none-99.test", 3600, 10, 11, false},
    {"empty-5.test", 3600, 10, 4, true},
    {"empty-5.test", 3600, 10, 6, false},
    /* The addresses of one family are remembered as long as a "no". */
    {"fails-aaaa.test", 3600, 10, 8, true},
    {"fails-aaaa.test", 3600, 10, 11, false},
    {"fails-aaaa.test", 3600, 0, 0, false},
    {"none-silent.test", 3600, 10, 8, true},
    {"silent-none.test", 3600, 10, 0, false},
    {"dual.test", 3600, 10, 58, true},
    {"dual.test", 3600, 10, 61, false},
    {"dual.test", 30, 10, 28, true},
    {"dual.test", 30, 10, 31, false},
    {"dual.test", 0, 10, 0, false},
    {"long.test", 3600, 10, 3598, true},
    {"long.test", 3600, 10, 3601, false},
    {"huge.test", 3600, 10, 0, false},
    {"zero.test", 3600, 10, 0, false},
    {"alias.test", 3600, 10, 8, true},
    {"alias.test", 3600, 10, 11, false},
    {"none.test", 3600, 10, 8, true},
    {"none.test", 3600, 10, 11, false},
    {"none.test", 3600, 0, 0, false},
    {"empty.test", 3600, 10, 8, true},
    {"empty.test", 3600, 10, 11, false},
    {"servfail.test", 3600, 10, 0, false},
    {"cut.test", 3600, 10, 0, false},
};

static void test_cache(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ages); i++) {
		struct resolver_options o = usual();
		struct slice name = {ages[i].name, strlen(ages[i].name)};
		struct resolver_answer peeked;
		struct asker first, second;
		struct fixture f;
		int queries;

		o.ttl_max_s = ages[i].ttl_max_s;
		o.ttl_negative_s = ages[i].ttl_negative_s;
		fixture_open(&f, strstr(ages[i].name, "silent") ? 300 : 2000, o);
		assert_false(resolver_peek(f.resolver, name, &peeked));
		first = ask_and_wait(&f, ages[i].name);
		queries = f.server.queries;
		*clock_ahead_s() += ages[i].after_s;
		if (resolver_peek(f.resolver, name, &peeked) != ages[i].cached)
			fail_msg("row %zu, %s: cached is %d", i, ages[i].name, !ages[i].cached);
		second = ask_and_wait(&f, ages[i].name);
		assert_int_equal(f.server.queries > queries, !ages[i].cached);
		assert_int_equal(second.answer.status, first.answer.status);
		assert_int_equal(second.answer.count, first.answer.count);
		if (ages[i].cached) {
			assert_int_equal(peeked.status, first.answer.status);
			assert_int_equal(peeked.count, first.answer.count);
		}
		assert_int_equal(f.metrics.values[METRIC_LOOKUPS_CACHED], ages[i].cached ? 2 : 0);
		fixture_close(&f);
	}
}

static void test_cache_is_bounded(void **state)
{
	struct resolver_options o = usual();
	struct resolver_answer peeked;
	struct fixture f;

	(void)state;
	o.cache_entries = 2;
	fixture_open(&f, 2000, o);
	ask_and_wait(&f, "dual.test");
	ask_and_wait(&f, "four.test");
	assert_true(resolver_peek(f.resolver, SLICE("dual.test"), &peeked));
	ask_and_wait(&f, "six.test");
	assert_true(resolver_peek(f.resolver, SLICE("dual.test"), &peeked));
	assert_false(resolver_peek(f.resolver, SLICE("four.test"), &peeked));
	assert_true(resolver_peek(f.resolver, SLICE("SIX.test."), &peeked));
	resolver_free(f.resolver);
	o.cache_entries = 0;
	f.resolver = NULL;
	server_close(&f.server);
	event_base_free(f.base);
	fixture_open(&f, 2000, o);
	ask_and_wait(&f, "dual.test");
	assert_false(resolver_peek(f.resolver, SLICE("dual.test"), &peeked));
	fixture_close(&f);
}

static void test_peek_literals(void **state)
{
	static const char *const names[] = {
	    "192.0.2.1", "127.1", "0x7f.1", "::1", "::ffff:192.0.2.1"};
	struct resolver_answer peeked;
	struct fixture f;

	(void)state;
	fixture_open(&f, 2000, usual());
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct addr expected;
		struct slice name = {names[i], strlen(names[i])};

		assert_true(resolver_peek(f.resolver, name, &peeked));
		assert_int_equal(peeked.status, RESOLVER_OK);
		assert_int_equal(peeked.count, 1);
		assert_int_equal(addr_parse_loose(name, &expected), 0);
		assert_true(addr_equal(&expected, &peeked.addrs[0]));
	}
	assert_int_equal(f.metrics.values[METRIC_LOOKUPS_CACHED], 0);
	fixture_close(&f);
}

static void test_many_askers_one_query(void **state)
{
	struct asker askers[50] = {0};
	struct fixture f;

	(void)state;
	fixture_open(&f, 2000, usual());
	for (size_t i = 0; i < ARRAY_LEN(askers); i++)
		ask(&f, &askers[i], i % 2 ? "zero.test" : "ZERO.test.");
	/* One goes, another is taken along by the first one's callback. */
	resolver_cancel(askers[7].handle);
	askers[0].cancels = &askers[1];
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		if (i == 1 || i == 7)
			continue;
		wait_for(&f, &askers[i]);
		assert_int_equal(askers[i].answer.count, 2);
	}
	assert_int_equal(f.server.queries, 2);
	assert_int_equal(f.metrics.values[METRIC_LOOKUPS_TOTAL], 1);
	assert_int_equal(askers[1].called + askers[7].called, 0);
	fixture_close(&f);
}

static void test_cancelled_lookup_fills_cache(void **state)
{
	struct resolver_answer peeked;
	struct asker a = {0}, cached = {0};
	struct fixture f;

	(void)state;
	fixture_open(&f, 2000, usual());
	ask(&f, &a, "dual.test");
	resolver_cancel(a.handle);
	while (!resolver_peek(f.resolver, SLICE("dual.test"), &peeked))
		event_base_loop(f.base, EVLOOP_ONCE);
	assert_int_equal(a.called, 0);
	/* Also one whose answer is ready, but not yet delivered. */
	ask(&f, &cached, "dual.test");
	resolver_cancel(cached.handle);
	event_base_loop(f.base, EVLOOP_NONBLOCK);
	assert_int_equal(cached.called, 0);
	fixture_close(&f);
}

/* More names than c-ares is given at a time: they take turns. */
static void test_many_names(void **state)
{
	enum { COUNT = 700 };
	struct asker *askers = calloc(COUNT, sizeof(*askers));
	struct fixture f;

	(void)state;
	fixture_open(&f, 9000, usual());
	for (size_t i = 0; i < COUNT; i++) {
		char name[32];

		snprintf(name, sizeof(name), "none.x%zu.test", i);
		ask(&f, &askers[i], name);
	}
	for (size_t i = 0; i < COUNT; i++) {
		wait_for(&f, &askers[i]);
		assert_int_equal(askers[i].answer.status, RESOLVER_NOT_FOUND);
	}
	assert_true(f.metrics.values[METRIC_LOOKUPS_TOTAL] == COUNT);
	free(askers);
	fixture_close(&f);
}

static void test_too_many_names(void **state)
{
	enum { COUNT = 4100, MAX = 4096 };
	struct asker *askers = calloc(COUNT, sizeof(*askers));
	struct asker again = {0};
	struct fixture f;

	(void)state;
	fixture_open(&f, 200, usual());
	for (size_t i = 0; i < COUNT; i++) {
		char name[32];

		snprintf(name, sizeof(name), "silent.x%zu.test", i);
		ask(&f, &askers[i], name);
	}
	ask(&f, &again, "silent.x7.test");
	for (size_t i = COUNT; i-- > 0;) {
		wait_for(&f, &askers[i]);
		assert_int_equal(
		    askers[i].answer.status, i < MAX ? RESOLVER_TIMEOUT : RESOLVER_BUSY);
	}
	wait_for(&f, &again);
	assert_int_equal(again.answer.status, RESOLVER_TIMEOUT);
	assert_true(f.metrics.values[METRIC_LOOKUPS_REFUSED] == COUNT - MAX);
	/* What the server left open does not block the names that follow; we may be slow. */
	again.answer.status = RESOLVER_TIMEOUT;
	for (int tries = 0; again.answer.status != RESOLVER_OK && tries < 20; tries++)
		again = ask_and_wait(&f, "dual.test");
	assert_int_equal(again.answer.status, RESOLVER_OK);
	free(askers);
	fixture_close(&f);
}

/* What comes first is told when it is time, and what comes second after it. */
static const struct {
	const char *name;
	sa_family_t first; /* told before the rest; 0: all is told in one call */
	size_t four, six;
	sa_family_t awaited; /* 0: IPv6 */
} halves[] = {
    {"held-a.test", AF_INET6, 2, 3, 0},
    {"held-aaaa.test", AF_INET, 2, 3, 0},
    {"held-a.test", AF_INET6, 2, 3, AF_INET},
    {"held-aaaa.test", AF_INET, 2, 3, AF_INET},
    {"held-a-fails.test", AF_INET6, 0, 3, 0},
    {"held-aaaa-none.test", AF_INET, 2, 0, 0},
    {"held-a-alone.test", 0, 2, 0, 0},
    {"silent-a.test", AF_INET6, 0, 3, 0},
    {"half.test", AF_INET, 1, 0, 0},
    {"dual.test", 0, 1, 1, 0},
    {"servfail.test", 0, 0, 0, 0},
};

static int64_t real_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void await_half_or_all(struct fixture *f, struct asker *a)
{
	while (a->halves + a->called == 0 && f->server.held.len == 0)
		event_base_loop(f->base, EVLOOP_ONCE);
	/* Long enough for all that is told without the other half. */
	for (int64_t until = real_ms() + 200; a->halves + a->called == 0 && real_ms() < until;)
		event_base_loop(f->base, EVLOOP_NONBLOCK);
}

static void test_halves(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		struct resolver_options o = usual();
		struct resolver_answer peeked;
		struct slice name = {halves[i].name, strlen(halves[i].name)};
		struct asker a = {0}, late = {0}, gone = {0};
		struct fixture f;
		int64_t begin = real_ms();

		o.awaited = halves[i].awaited;
		fixture_open(&f, strncmp(halves[i].name, "held", 4) == 0 ? 9000 : 500, o);
		ask(&f, &a, halves[i].name);
		await_half_or_all(&f, &a);
		if (a.halves != (halves[i].first != 0))
			fail_msg("row %zu, %s: %d halves", i, halves[i].name, a.halves);
		if (halves[i].first) {
			assert_int_equal(count_of(&a, halves[i].first), a.answer.count);
			/* A timer may be a millisecond early for another clock. */
			if (halves[i].first != (o.awaited ? o.awaited : AF_INET6))
				assert_true(real_ms() - begin >= 49);
			assert_false(resolver_peek(f.resolver, name, &peeked));
			/* Who comes later is told the half at once, or nothing, having gone. */
			ask(&f, &gone, halves[i].name);
			ask(&f, &late, halves[i].name);
			resolver_cancel(gone.handle);
			while (late.halves == 0)
				event_base_loop(f.base, EVLOOP_ONCE);
			assert_int_equal(late.called, 0);
		}
		/* A failure is asked about again. */
		while (a.called == 0) {
			if (f.server.held.len > 0)
				server_release(&f.server);
			event_base_loop(f.base, EVLOOP_ONCE);
		}
		wait_for(&f, &a);
		assert_int_equal(count_of(&a, AF_INET), halves[i].four);
		assert_int_equal(count_of(&a, AF_INET6), halves[i].six);
		if (halves[i].first) {
			wait_for(&f, &late);
			assert_int_equal(late.answer.count, a.answer.count);
		}
		assert_int_equal(gone.called + gone.halves, 0);
		fixture_close(&f);
	}
}

/* From the callback that has told the half. */
static void test_cancelled_after_half(void **state)
{
	struct resolver_answer peeked;
	struct asker first = {0}, second = {0};
	struct fixture f;

	(void)state;
	fixture_open(&f, 9000, usual());
	first.cancels = &second;
	ask(&f, &first, "held-a.test");
	ask(&f, &second, "held-a.test");
	while (first.halves == 0)
		event_base_loop(f.base, EVLOOP_ONCE);
	while (f.server.held.len == 0)
		event_base_loop(f.base, EVLOOP_ONCE);
	resolver_cancel(first.handle);
	server_release(&f.server);
	while (!resolver_peek(f.resolver, SLICE("held-a.test"), &peeked))
		event_base_loop(f.base, EVLOOP_ONCE);
	assert_int_equal(peeked.count, 5);
	assert_false(peeked.more);
	assert_int_equal(first.called + second.called + second.halves, 0);
	fixture_close(&f);
}

static void ask_for_half(struct fixture *f, struct asker *a, const char *name)
{
	ask(f, a, name);
	while (a->halves == 0)
		event_base_loop(f->base, EVLOOP_ONCE);
	assert_int_equal(a->called, 0);
}

/* A half is told for as long as it may be believed, and not to those who ask after a change. */
static void test_old_halves(void **state)
{
	static const struct {
		const char *name;
		int ttl_min_s, good_s, old_s;
	} cases[] = {
	    {"silent-a.test", 0, 59, 1},
	    {"silent-a.test", 100, 99, 1},
	    /* for a moment at least */
	    {"zero-silent.test", 0, 0, 2},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct asker askers[5] = {{0}};
		struct resolver_options o = usual();
		struct fixture f;
		_Atomic uint64_t *lookups = &f.metrics.values[METRIC_LOOKUPS_TOTAL];
		uint64_t before;
		const char *elsewhere[] = {"127.0.0.1:9"}, *error;

		o.ttl_min_s = cases[i].ttl_min_s;
		fixture_open(&f, 9000, o);
		ask_for_half(&f, &askers[0], cases[i].name);
		*clock_ahead_s() += cases[i].good_s;
		ask_for_half(&f, &askers[1], cases[i].name);
		assert_int_equal(*lookups, 1);
		*clock_ahead_s() += cases[i].old_s;
		ask_for_half(&f, &askers[2], cases[i].name);
		assert_int_equal(*lookups, 2);
		ask_for_half(&f, &askers[3], cases[i].name);
		assert_int_equal(*lookups, 2);
		o.servers = elsewhere;
		o.server_count = 1;
		o.timeout_ms = 9000;
		assert_int_equal(resolver_configure(f.resolver, &o, &error), 0);
		before = *lookups;
		ask(&f, &askers[4], cases[i].name);
		assert_int_equal(*lookups, before + 1);
		/* In each state: of the first lookup, of the second, and of the third. */
		resolver_cancel(askers[1].handle);
		resolver_cancel(askers[3].handle);
		resolver_cancel(askers[4].handle);
		fixture_close(&f);
		assert_int_equal(askers[0].called + askers[2].called + askers[4].halves, 0);
	}
}

/* The time that an answer may be believed begins when it comes, not when the other comes. */
static void test_half_grows_old(void **state)
{
	static const char *const names[] = {"held-a.test", "held-aaaa.test", "held-aaaa-none.test"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct asker a = {0};
		struct resolver_answer peeked;
		struct fixture f;

		fixture_open(&f, 9000, usual());
		ask_for_half(&f, &a, names[i]);
		*clock_ahead_s() += 50;
		while (f.server.held.len == 0)
			event_base_loop(f.base, EVLOOP_ONCE);
		server_release(&f.server);
		wait_for(&f, &a);
		assert_true(resolver_peek(f.resolver, slice_of(names[i]), &peeked));
		*clock_ahead_s() += 11;
		assert_false(resolver_peek(f.resolver, slice_of(names[i]), &peeked));
		fixture_close(&f);
	}
}

/* Those that are too old for others end, too, and what they learn is not what is kept. */
static void test_old_halves_end(void **state)
{
	struct asker first = {0}, second = {0};
	struct resolver_answer peeked;
	struct fixture f;

	(void)state;
	fixture_open(&f, 1000, usual());
	ask_for_half(&f, &first, "silent-a.test");
	*clock_ahead_s() += 61;
	ask_for_half(&f, &second, "silent-a.test");
	wait_for(&f, &first);
	assert_int_equal(first.answer.count, 3);
	if (second.called == 0)
		assert_false(resolver_peek(f.resolver, SLICE("silent-a.test"), &peeked));
	wait_for(&f, &second);
	assert_int_equal(second.answer.count, 3);
	assert_true(resolver_peek(f.resolver, SLICE("silent-a.test"), &peeked));
	fixture_close(&f);
}

static void test_freed_at_half(void **state)
{
	struct asker first = {.frees = true}, second = {0};
	struct fixture f;

	(void)state;
	fixture_open(&f, 9000, usual());
	ask(&f, &first, "held-a.test");
	ask(&f, &second, "held-a.test");
	while (first.halves == 0)
		event_base_loop(f.base, EVLOOP_ONCE);
	event_base_loop(f.base, EVLOOP_NONBLOCK);
	assert_int_equal(first.called + second.called + second.halves, 0);
	fixture_close(&f);
}

static void test_one_family_only(void **state)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct resolver_options o = usual();
		struct fixture f;
		struct asker a;

		o.only = families[i];
		fixture_open(&f, 2000, o);
		a = ask_and_wait(&f, "dual.test");
		assert_int_equal(a.halves, 0);
		assert_int_equal(a.answer.count, 1);
		assert_int_equal(a.addrs[0].family, families[i]);
		assert_int_equal(f.server.queries, 1);
		a = ask_and_wait(&f, families[i] == AF_INET ? "six.test" : "four.test");
		assert_int_equal(a.answer.status, RESOLVER_NOT_FOUND);
		a = ask_and_wait(&f, "a.localhost");
		assert_int_equal(a.answer.count, 1);
		assert_int_equal(a.addrs[0].family, families[i]);
		fixture_close(&f);
	}
}

/* Who asks behind a change of families gets those of now, whatever is under way for others. */
static void test_another_family_under_way(void **state)
{
	static const struct {
		sa_family_t before, behind;
		const char *name; /* the first question for it is not answered */
		size_t four, six;
	} cases[] = {
	    {AF_INET, AF_INET6, "held-a.test", 0, 3},
	    {AF_INET, 0, "held-a.test", 2, 3},
	    {AF_INET6, AF_INET, "held-aaaa.test", 2, 0},
	    {AF_INET6, 0, "held-aaaa.test", 2, 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct resolver_options o = usual();
		struct asker first = {0}, second = {0};
		struct fixture f;

		o.only = cases[i].before;
		fixture_open(&f, 9000, o);
		ask(&f, &first, cases[i].name);
		while (f.server.held.len == 0)
			event_base_loop(f.base, EVLOOP_ONCE);
		f.server.held.len = 0;
		o.only = cases[i].behind;
		configure(&f, o);
		ask(&f, &second, cases[i].name);
		/* The first, of the families of then; the second's question may be held, too. */
		while (first.called == 0 || second.called == 0) {
			event_base_loop(f.base, EVLOOP_ONCE);
			if (f.server.held.len > 0)
				server_release(&f.server);
		}
		wait_for(&f, &first);
		wait_for(&f, &second);
		assert_int_equal(count_of(&second, AF_INET), cases[i].four);
		assert_int_equal(count_of(&second, AF_INET6), cases[i].six);
		fixture_close(&f);
	}
}

/* No shorter than ttl_min, but ttl_max wins; what does not exist is not made to last. */
static void test_ttl_min(void **state)
{
	struct resolver_options o = usual();
	struct resolver_answer peeked;
	struct fixture f;

	(void)state;
	o.ttl_min_s = 20;
	fixture_open(&f, 2000, o);
	ask_and_wait(&f, "zero.test");
	ask_and_wait(&f, "dual.test");
	ask_and_wait(&f, "none-9.test");
	*clock_ahead_s() += 18;
	assert_true(resolver_peek(f.resolver, SLICE("zero.test"), &peeked));
	assert_false(resolver_peek(f.resolver, SLICE("none-9.test"), &peeked));
	*clock_ahead_s() += 3;
	assert_false(resolver_peek(f.resolver, SLICE("zero.test"), &peeked));
	assert_true(resolver_peek(f.resolver, SLICE("dual.test"), &peeked));
	fixture_close(&f);
	o.ttl_max_s = 0;
	fixture_open(&f, 2000, o);
	ask_and_wait(&f, "dual.test");
	assert_false(resolver_peek(f.resolver, SLICE("dual.test"), &peeked));
	fixture_close(&f);
}

/* One goes to the servers, the next waits until time is out for the first. */
/* Who is gone before it is the name's turn leaves nothing behind; who is not gets it. */
static void test_gone_before_the_turn(void **state)
{
	enum { COUNT = 4096 };
	struct resolver_options o = usual();
	struct asker first = {0}, same = {0}, *gone = calloc(COUNT, sizeof(*gone));
	struct fixture f;

	(void)state;
	assert_non_null(gone);
	o.lookups = 1;
	fixture_open(&f, 9000, o);
	ask(&f, &first, "held-a-alone.test");
	for (size_t i = 1; i < COUNT; i++) {
		char name[32];

		snprintf(name, sizeof(name), "x%zu.test", i);
		ask(&f, &gone[i], name);
	}
	ask(&f, &same, "x1.test");
	for (size_t i = 1; i < COUNT; i++)
		resolver_cancel(gone[i].handle);
	/* but the one that two asked for */
	assert_true(f.metrics.values[METRIC_LOOKUPS_WAITING] == 1);
	resolver_cancel(same.handle);
	assert_true(f.metrics.values[METRIC_LOOKUPS_WAITING] == 0);
	ask(&f, &same, "dual.test");
	assert_true(f.metrics.values[METRIC_LOOKUPS_REFUSED] == 0);
	while (f.server.held.len == 0)
		event_base_loop(f.base, EVLOOP_ONCE);
	server_release(&f.server);
	wait_for(&f, &first);
	wait_for(&f, &same);
	assert_int_equal(f.server.queries, 4);
	for (size_t i = 1; i < COUNT; i++)
		assert_int_equal(gone[i].called + gone[i].halves, 0);
	free(gone);
	fixture_close(&f);
}

static void test_turns(void **state)
{
	struct resolver_options o = usual();
	struct asker first = {0}, second = {0};
	struct fixture f;

	(void)state;
	o.lookups = 1;
	fixture_open(&f, 9000, o);
	ask(&f, &first, "held-a-alone.test");
	ask(&f, &second, "dual.test");
	assert_true(f.metrics.values[METRIC_LOOKUPS] == 1);
	assert_true(f.metrics.values[METRIC_LOOKUPS_WAITING] == 1);
	while (f.server.held.len == 0)
		event_base_loop(f.base, EVLOOP_ONCE);
	assert_int_equal(second.called + second.halves, 0);
	assert_int_equal(f.server.queries, 2);
	server_release(&f.server);
	wait_for(&f, &first);
	wait_for(&f, &second);
	assert_true(f.metrics.values[METRIC_LOOKUPS] == 0);
	assert_true(f.metrics.values[METRIC_LOOKUPS_WAITING] == 0);
	fixture_close(&f);
}

static void test_free_under_way(void **state)
{
	struct asker askers[5] = {0};
	struct fixture f;

	(void)state;
	fixture_open(&f, 2000, usual());
	ask_and_wait(&f, "dual.test");
	ask(&f, &askers[0], "silent.test");
	ask(&f, &askers[1], "four.test");
	ask(&f, &askers[2], "dual.test");
	ask(&f, &askers[3], "127.0.0.1");
	ask(&f, &askers[4], "truncated.test");
	resolver_free(f.resolver);
	f.resolver = NULL;
	event_base_loop(f.base, EVLOOP_NONBLOCK);
	for (size_t i = 0; i < ARRAY_LEN(askers); i++)
		assert_int_equal(askers[i].called, 0);
	fixture_close(&f);
}

static void test_free_in_callback(void **state)
{
	static const char *const names[] = {"dual.test", "127.0.0.1", "silent.test", "bad name"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct asker first = {.frees = true}, second = {0}, third = {0};
		struct fixture f;
		int before;

		fixture_open(&f, 200, usual());
		ask(&f, &first, names[i]);
		ask(&f, &second, names[i]);
		ask(&f, &third, "half.test");
		wait_for(&f, &first);
		/* On a busy machine the third's time may be up first. */
		before = third.called;
		event_base_loop(f.base, EVLOOP_NONBLOCK);
		assert_int_equal(second.called, 0);
		assert_int_equal(third.called, before);
		fixture_close(&f);
	}
}

static void test_ask_in_callback(void **state)
{
	static const char *const names[] = {"none.test", "dual.test", "127.0.0.1", "silent.test"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct asker a = {.asks_again = true};
		struct fixture f;

		fixture_open(&f, 200, usual());
		ask(&f, &a, names[i]);
		while (a.called < 2)
			event_base_loop(f.base, EVLOOP_ONCE);
		assert_int_equal(a.answer.status, RESOLVER_OK);
		fixture_close(&f);
	}
}

static void test_nobody_listens(void **state)
{
	struct fixture f;
	struct asker a;

	(void)state;
	fixture_open(&f, 2000, usual());
	resolver_free(f.resolver);
	open_at(&f, 1, 2000, usual());
	a = ask_and_wait(&f, "dual.test");
	/* c-ares notices a refused query, but not always by which it was refused. */
	assert_true(a.answer.status == RESOLVER_FAILED || a.answer.status == RESOLVER_TIMEOUT);
	fixture_close(&f);
}

static const struct {
	const char *server;
	bool good;
} servers[] = {
    {"192.0.2.53", true},
    {"192.0.2.53:5353", true},
    {"2001:db8::53", true},
    {"[2001:db8::53]", true},
    {"[2001:db8::53]:5353", true},
    {"192.0.2.53:1", true},
    {"192.0.2.53:65535", true},
    {"", false},
    {":", false},
    {"[]", false},
    {"[", false},
    {"192.0.2.53:", false},
    {"192.0.2.53:0", false},
    {"192.0.2.53:65536", false},
    {"192.0.2.53:99999999999", false},
    {"192.0.2.53:+53", false},
    {"192.0.2.53:53x", false},
    {"[192.0.2.53]:53", false},
    {"[2001:db8::53", false},
    {"[2001:db8::53]53", false},
    {"[2001:db8::53]:", false},
    {"ns.example", false},
    {"127.1", false},
};

static void test_servers(void **state)
{
	struct event_base *base = event_base_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		const char *list[] = {"192.0.2.1", servers[i].server};
		struct resolver_options o = usual();
		const char *error = NULL;
		struct resolver *r;

		o.servers = list;
		o.server_count = 2;
		o.timeout_ms = 1000;
		r = resolver_new(base, &o, &error);
		if ((r != NULL) != servers[i].good)
			fail_msg("%s", servers[i].server);
		assert_true(r || (error && error[0] != '\0'));
		resolver_free(r);
	}
	event_base_free(base);
}

static bool write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return false;
	fputs(text, file);
	return fclose(file) == 0;
}

/* Private copies of the two files, seen by this process only.  Needs root. */
static bool cover_files(void)
{
	char hosts[] = "/tmp/test_resolver.XXXXXX", conf[] = "/tmp/test_resolver.XXXXXX";
	int a = mkstemp(hosts), b = mkstemp(conf);
	bool done = a >= 0 && b >= 0 && unshare(CLONE_NEWNS) == 0 &&
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		    mount(hosts, "/etc/hosts", NULL, MS_BIND, NULL) == 0 &&
		    mount(conf, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;

	close(a);
	close(b);
	unlink(hosts);
	unlink(conf);
	return done;
}

static void test_changed_files(void **state)
{
	struct resolver_options o = usual();
	struct resolver_answer peeked;
	struct asker under_way = {0}, a;
	struct server other;
	const char *error = NULL;
	struct fixture f;

	(void)state;
	if (!cover_files())
		skip();
	fixture_open(&f, 5000, usual());
	if (server_open(&other, f.base, "127.77.0.1", 53) < 0) {
		fixture_close(&f);
		skip();
	}
	resolver_free(f.resolver);
	o.timeout_ms = 5000;
	assert_true(write_file("/etc/hosts", "192.0.2.99 dual.test\n192.0.2.97 app.localhost\n"));
	assert_true(write_file("/etc/resolv.conf",
	    "search test\noptions ndots:5\nnameserver 127.77.0.2\nnameserver 127.77.0.3\n"));
	f.resolver = resolver_new(f.base, &o, &error);
	assert_non_null(f.resolver);
	a = ask_and_wait(&f, "Dual.test");
	assert_int_equal(a.answer.count, 1);
	assert_int_equal(a.addrs[0].ip.v4.s_addr, htonl(0xc0000263));
	/* It goes before what all names below "localhost" have. */
	a = ask_and_wait(&f, "app.localhost");
	assert_int_equal(a.answer.count, 1);
	assert_int_equal(a.addrs[0].ip.v4.s_addr, htonl(0xc0000261));

	/* The new server answers what was asked of the old ones, which do not listen or are deaf.
	 */
	server_close(&f.server);
	assert_int_equal(server_open(&f.server, f.base, "127.77.0.2", 53), 53);
	f.server.deaf = true;
	ask(&f, &under_way, "four.test");
	event_base_loop(f.base, EVLOOP_ONCE);
	assert_true(write_file("/etc/resolv.conf", "search test\nnameserver 127.77.0.1\n"));
	*clock_ahead_s() += 2;
	assert_false(resolver_peek(f.resolver, SLICE("six.test"), &peeked));
	wait_for(&f, &under_way);
	assert_int_equal(under_way.answer.status, RESOLVER_OK);
	assert_int_equal(other.queries, 2);

	/* No search domain: "four" is asked for as it stands, and is not four.test. */
	a = ask_and_wait(&f, "four");
	assert_int_equal(other.queries, 4);

	/* What was under way at the change was not kept. */
	assert_false(resolver_peek(f.resolver, SLICE("four.test"), &peeked));
	ask_and_wait(&f, "four.test");

	/* A changed hosts file makes the cache void, and its new name is found. */
	assert_true(resolver_peek(f.resolver, SLICE("four.test"), &peeked));
	assert_true(
	    write_file("/etc/hosts", "192.0.2.98 four.test six.test\n2001:db8::98 six.test\n"));
	assert_true(resolver_peek(f.resolver, SLICE("four.test"), &peeked));
	*clock_ahead_s() += 2;
	a = ask_and_wait(&f, "four.test");
	assert_int_equal(a.addrs[0].ip.v4.s_addr, htonl(0xc0000262));
	a = ask_and_wait(&f, "six.test");
	assert_int_equal(count_of(&a, AF_INET), 1);
	assert_int_equal(count_of(&a, AF_INET6), 1);
	server_close(&other);
	fixture_close(&f);
	umount("/etc/hosts");
	umount("/etc/resolv.conf");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_truncated_goes_over_tcp),
	    cmocka_unit_test(test_long_names),
	    cmocka_unit_test(test_hosts_file),
	    cmocka_unit_test(test_cache),
	    cmocka_unit_test(test_cache_is_bounded),
	    cmocka_unit_test(test_peek_literals),
	    cmocka_unit_test(test_many_askers_one_query),
	    cmocka_unit_test(test_cancelled_lookup_fills_cache),
	    cmocka_unit_test(test_many_names),
	    cmocka_unit_test(test_too_many_names),
	    cmocka_unit_test(test_halves),
	    cmocka_unit_test(test_cancelled_after_half),
	    cmocka_unit_test(test_old_halves),
	    cmocka_unit_test(test_half_grows_old),
	    cmocka_unit_test(test_old_halves_end),
	    cmocka_unit_test(test_freed_at_half),
	    cmocka_unit_test(test_one_family_only),
	    cmocka_unit_test(test_another_family_under_way),
	    cmocka_unit_test(test_ttl_min),
	    cmocka_unit_test(test_gone_before_the_turn),
	    cmocka_unit_test(test_turns),
	    cmocka_unit_test(test_free_under_way),
	    cmocka_unit_test(test_free_in_callback),
	    cmocka_unit_test(test_ask_in_callback),
	    cmocka_unit_test(test_nobody_listens),
	    cmocka_unit_test(test_servers),
	    cmocka_unit_test(test_changed_files),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
