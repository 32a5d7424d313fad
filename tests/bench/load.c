/*
 * load -- the bench's HTTP client: so many requests of one URL over so many connections, every
 * status and byte count checked, how long each took as JSON on stdout.
 *
 *     load [options] URL
 *
 * -x HOST:PORT  through this proxy, in absolute form       -T  in a CONNECT tunnel through it
 * -d HOST:PORT  connect there, but ask in origin form, as of a reverse proxy
 * -c N  connections at once    -n N  requests in all    -w N  requests before, not counted
 * -f    a new connection for each request, closed by this side once the answer was read
 * -u N  PUT a body of N bytes  -U    the body in chunks of 64 KiB
 * -i N  hold: N connections make one request each and stay open; prints "ready"; until stdin ends
 * -s    hold slow readers: read the head and 1 KiB of the answer, and then no more
 * -p N  run on this CPU
 * -y    while there is work, yield the CPU instead of sleeping, as origin does
 *
 * A path that ends in /N has an answer of N bytes, and a PUT is answered with the size of its body
 * in decimal, as by origin.  Exits with 0 if all was right, otherwise 1 with the reason on stderr.
 */
#include "ground.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CHUNK = 64 * 1024,
	EVENTS = 512,
	SCRATCH = 256 * 1024,
	HEAD_MOST = 64 * 1024,
	ERRORS_MOST = 16, /* then the run is over */
	STALL_S = 30,
	OPENING_MOST = 64, /* requests at once while connections to be held are opened */
	SLOW_BUFFER = 4096,
	SLOW_READ = 1024,
	PER_SOURCE = 20000, /* connections from one address, of the 28,000 ports it has */
	SOURCES_MOST = 200,
	SPARE_DESCRIPTORS = 16
};

struct options {
	const char *proxy, *direct;
	bool tunnel, fresh, put, chunked, slow, yields;
	uint64_t connections, requests, warm_up, put_size, hold;
};

enum state { CLOSED, TUNNELLING, REQUESTING, READING, IDLE, HELD };

struct connection {
	int fd;
	enum state state;
	bool tunnelled, reused, watches_output, persists, answered;
	uint64_t sent; /* of the CONNECT, or of the request with its body */
	uint64_t started_ns, moved_s;
	struct body body;
	char *kept; /* a head's first bytes, until the others come */
	size_t kept_size;
};

struct load {
	struct options options;
	struct sockaddr_in peer;
	char *connect_head, *request_head;
	size_t connect_size, request_size;
	struct payload payload;
	bool expects_size;
	uint64_t size; /* that the answer must have */

	int epoll;
	struct connection *connections;
	uint64_t issued, due, finished; /* requests of this phase */
	uint64_t now_s;
	struct watch watch;
	uint32_t used_up; /* addresses without free ports */

	uint64_t *latencies_ns; /* NULL while warming up */
	uint64_t recorded, bytes, opened, retries, errors, lost;
	char scratch[SCRATCH];
};

/* ---- connections ------------------------------------------------------------------------- */

static void connection_start(struct load *l, struct connection *c);
static void connection_next(struct load *l, struct connection *c);

static void connection_close(struct connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->kept);
	c->kept = NULL;
	c->kept_size = 0;
	c->fd = -1;
	c->state = CLOSED;
}

/* The request has failed; the first failures are told, the connection goes on with a new one. */
__attribute__((format(printf, 3, 4))) static void connection_fail(
    struct load *l, struct connection *c, const char *format, ...)
{
	va_list args;

	l->errors++;
	fprintf(stderr, "load: request %" PRIu64 ": ", l->finished + 1);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	connection_close(c);
	l->finished++;
	connection_next(l, c);
}

static void connection_watch(struct load *l, struct connection *c, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	c->watches_output = (events & EPOLLOUT) != 0;
	if (epoll_ctl(l->epoll, operation, c->fd, &event) != 0)
		ground_fail("epoll_ctl: %s", strerror(errno));
}

static bool connection_connect(const struct load *l, int fd, uint32_t source)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source),
	};
	const int on = 1;

	if (source > 0) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0)
			return false;
	}
	return connect(fd, (const struct sockaddr *)&l->peer, sizeof(l->peer)) == 0 ||
	       errno == EINPROGRESS;
}

/*
 * Connections beyond what the ports of 127.0.0.1 can hold come from 127.0.0.2 and upwards.  Ports
 * in TIME_WAIT are used again by Linux after a second when both ends are loopback; should all be
 * used up before that, the next address is taken.  Returns false with errno.
 */
static bool connection_open(struct load *l, struct connection *c)
{
	const int on = 1, small = SLOW_BUFFER;
	uint32_t source = (uint32_t)((uint64_t)(c - l->connections) / PER_SOURCE);

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		ground_fail("no socket: %s", strerror(errno));
	c->tunnelled = c->reused = false;
	l->opened++;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (l->options.slow)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (!connection_connect(l, c->fd, source + l->used_up)) {
		if (errno != EADDRNOTAVAIL || l->used_up == SOURCES_MOST)
			return false;
		l->used_up++;
	}
	connection_watch(l, c, EPOLL_CTL_ADD, EPOLLIN);
	return true;
}

/* ---- sending ----------------------------------------------------------------------------- */

/* Returns false when the request has failed. */
static bool connection_send(struct load *l, struct connection *c)
{
	const struct payload nothing = {.filler = l->payload.filler};
	bool connects = c->state == TUNNELLING;
	const struct payload *payload = connects ? &nothing : &l->payload;
	const char *head = connects ? l->connect_head : l->request_head;
	size_t head_size = connects ? l->connect_size : l->request_size;
	ssize_t sent = payload_send(payload, head, head_size, c->sent, c->fd);
	bool all;

	/* A reset may have an answer before it: receiving will tell. */
	if (sent < 0 && !ground_blocked(errno) && errno != EPIPE && errno != ECONNRESET) {
		connection_fail(l, c, "cannot send: %s", strerror(errno));
		return false;
	}
	if (sent > 0) {
		c->sent += (uint64_t)sent;
		c->moved_s = l->now_s;
	}
	all = c->sent == head_size + payload_wire_size(payload);
	if (all == c->watches_output)
		connection_watch(l, c, EPOLL_CTL_MOD, all ? EPOLLIN : EPOLLIN | EPOLLOUT);
	return true;
}

static void connection_start(struct load *l, struct connection *c)
{
	c->started_ns = ground_now_ns();
	c->moved_s = l->now_s;
	c->answered = false;
	c->sent = 0;
	if (c->fd < 0 && !connection_open(l, c)) {
		connection_fail(l, c, "cannot connect: %s", strerror(errno));
		return;
	}
	c->state = l->options.tunnel && !c->tunnelled ? TUNNELLING : REQUESTING;
	connection_send(l, c);
}

/* ---- the answer -------------------------------------------------------------------------- */

static void connection_hold(struct load *l, struct connection *c)
{
	/* Only its end is of interest. */
	connection_watch(l, c, EPOLL_CTL_MOD, EPOLLRDHUP);
	c->state = HELD;
}

static void connection_next(struct load *l, struct connection *c)
{
	if (l->options.hold > 0) {
		if (c->state != CLOSED)
			connection_hold(l, c);
		/* The others are opened by those that are finished. */
		c = l->connections + l->issued;
	} else {
		if (c->state != CLOSED && (l->options.fresh || !c->persists))
			connection_close(c);
		if (c->state != CLOSED)
			c->state = IDLE;
		c->reused = true;
	}
	if (l->issued == l->due || l->errors >= ERRORS_MOST)
		return;
	l->issued++;
	connection_start(l, c);
}

static void connection_finish(struct load *l, struct connection *c)
{
	uint64_t took = ground_now_ns() - c->started_ns;

	if (l->options.put && strtoull(c->body.start, NULL, 10) != l->payload.size) {
		connection_fail(l, c, "%" PRIu64 " bytes were sent, %s arrived", l->payload.size,
		    c->body.start);
		return;
	}
	if (!l->options.slow && l->expects_size && c->body.received != l->size) {
		connection_fail(l, c, "the body has %" PRIu64 " bytes, not %" PRIu64,
		    c->body.received, l->size);
		return;
	}
	if (l->latencies_ns) {
		l->latencies_ns[l->recorded++] = took;
		l->bytes += l->options.put ? l->payload.size : c->body.received;
	}
	l->finished++;
	connection_next(l, c);
}

static bool connection_is_slow_enough(const struct load *l, const struct connection *c)
{
	return l->options.slow && c->body.received >= SLOW_READ;
}

static void connection_answer(
    struct load *l, struct connection *c, const struct head *head, size_t size)
{
	const char *body = head->line + head->size;
	size_t body_size = size - head->size;

	if (head->status != 200) {
		connection_fail(l, c, "the answer is \"%.*s\"", (int)head->line_length, head->line);
		return;
	}
	if (c->watches_output) {
		connection_fail(l, c, "the answer came before the request was sent");
		return;
	}
	c->persists = head->persists;
	c->state = READING;
	body_init(&c->body, head);
	if (body_take(&c->body, body, body_size) != (ssize_t)body_size)
		connection_fail(l, c, "the body is malformed or has bytes behind its end");
	else if (c->body.complete || connection_is_slow_enough(l, c))
		connection_finish(l, c);
}

static void connection_keep(struct load *l, struct connection *c, const char *bytes, size_t size)
{
	if (size > HEAD_MOST) {
		connection_fail(l, c, "the head is too large");
		return;
	}
	if (!c->kept)
		c->kept = malloc(HEAD_MOST);
	if (!c->kept)
		ground_fail("out of memory");
	memcpy(c->kept, bytes, size);
	c->kept_size = size;
}

/* A connection that was kept may have been closed by the proxy at the same time: ask again. */
static void connection_on_early_end(struct load *l, struct connection *c, ssize_t got)
{
	bool retry = c->reused && !c->answered && c->state == REQUESTING;
	uint64_t started_ns = c->started_ns;

	if (!retry) {
		connection_fail(l, c, "the connection ended before the answer: %s",
		    got == 0 ? "closed" : strerror(errno));
		return;
	}
	l->retries++;
	connection_close(c);
	connection_start(l, c);
	c->started_ns = started_ns;
}

static void connection_on_head(
    struct load *l, struct connection *c, const struct head *head, size_t size)
{
	if (head->status == 0) {
		connection_fail(l, c, "the answer is none of HTTP");
	} else if (head->status / 100 == 1) {
		connection_fail(l, c, "an interim answer was not asked for");
	} else if (c->state == REQUESTING) {
		connection_answer(l, c, head, size);
	} else if (head->status / 100 != 2) {
		connection_fail(
		    l, c, "the tunnel is refused: \"%.*s\"", (int)head->line_length, head->line);
	} else if (size != head->size) {
		connection_fail(l, c, "bytes come from the tunnel before any went in");
	} else {
		c->tunnelled = true;
		c->state = REQUESTING;
		c->sent = 0;
		connection_send(l, c);
	}
}

static void connection_read_head(struct load *l, struct connection *c)
{
	size_t size = c->kept_size, room = sizeof(l->scratch) - size;
	ssize_t got = recv(c->fd, l->scratch + size, l->options.slow ? SLOW_READ : room, 0);
	struct head head;

	if (got < 0 && ground_blocked(errno))
		return;
	if (got <= 0) {
		connection_on_early_end(l, c, got);
		return;
	}
	c->answered = true;
	if (size > 0)
		memcpy(l->scratch, c->kept, size);
	size += (size_t)got;
	switch (head_read(l->scratch, size, &head)) {
	case 0:
		connection_keep(l, c, l->scratch, size);
		break;
	case 1:
		c->kept_size = 0;
		connection_on_head(l, c, &head, size);
		break;
	default:
		connection_fail(l, c, "the head is malformed");
	}
}

/* Not a byte more than asked for, while body_receive() takes what there is. */
static ssize_t connection_receive_slowly(struct load *l, struct connection *c)
{
	ssize_t got = recv(c->fd, l->scratch, SLOW_READ, 0);

	if (got > 0 && body_take(&c->body, l->scratch, (size_t)got) != got) {
		errno = EBADMSG;
		return -1;
	}
	return got;
}

static void connection_read_body(struct load *l, struct connection *c)
{
	uint64_t before = c->body.received;
	ssize_t got = l->options.slow
			  ? connection_receive_slowly(l, c)
			  : body_receive(&c->body, c->fd, l->scratch, sizeof(l->scratch));

	if (got < 0 && ground_blocked(errno))
		return;
	if (got < 0 || (got == 0 && !c->body.complete)) {
		connection_fail(l, c, "the body ends after %" PRIu64 " bytes: %s", before,
		    got == 0 ? "closed" : strerror(errno));
		return;
	}
	if (c->body.complete || connection_is_slow_enough(l, c))
		connection_finish(l, c);
}

static void connection_on_event(struct load *l, struct connection *c, uint32_t events)
{
	c->moved_s = l->now_s;
	switch (c->state) {
	case TUNNELLING:
	case REQUESTING:
		if ((events & EPOLLOUT) && !connection_send(l, c))
			break;
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			connection_read_head(l, c);
		break;
	case READING:
		connection_read_body(l, c);
		break;
	case HELD:
		l->lost++;
		connection_close(c);
		break;
	case IDLE:
	case CLOSED:
	default:
		connection_close(c);
	}
}

/* ---- running ----------------------------------------------------------------------------- */

static void load_look_for_stalls(struct load *l, uint64_t connections)
{
	for (uint64_t i = 0; i < connections; i++) {
		struct connection *c = &l->connections[i];

		if (c->state != TUNNELLING && c->state != REQUESTING && c->state != READING)
			continue;
		if (l->now_s - c->moved_s >= STALL_S)
			connection_fail(l, c, "nothing has moved for %d s", STALL_S);
	}
}

static void load_wait(struct load *l, uint64_t connections)
{
	struct epoll_event events[EVENTS];
	int count = ground_wait(l->epoll, events, EVENTS, 1000, &l->watch);
	uint64_t now_s = ground_now_ns() / 1000000000U;

	for (int i = 0; i < count; i++)
		connection_on_event(l, events[i].data.ptr, events[i].events);
	if (now_s != l->now_s) {
		l->now_s = now_s;
		load_look_for_stalls(l, connections);
	}
}

static void load_run(struct load *l, uint64_t requests, uint64_t at_once, uint64_t connections)
{
	l->issued = l->finished = 0;
	l->due = requests;
	l->now_s = ground_now_ns() / 1000000000U;
	for (uint64_t i = 0; i < at_once && l->issued < l->due; i++) {
		l->issued++;
		connection_start(l, &l->connections[i]);
	}
	while (l->finished < l->issued && l->errors < ERRORS_MOST)
		load_wait(l, connections);
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* The latency that so many per mille of the requests had at most, in microseconds. */
static double load_quantile(const struct load *l, uint64_t per_mille)
{
	uint64_t rank = (l->recorded * per_mille + 999) / 1000;

	if (l->recorded == 0)
		return 0;
	return (double)l->latencies_ns[rank > 0 ? rank - 1 : 0] / 1000;
}

static void load_report(struct load *l, uint64_t took_ns)
{
	double seconds = (double)took_ns / 1e9;

	qsort(l->latencies_ns, l->recorded, sizeof(l->latencies_ns[0]), compare);
	printf("{\"requests\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"rate\":%.1f,"
	       "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,"
	       "\"connections\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"errors\":%" PRIu64 "}\n",
	    l->recorded, l->bytes, seconds, seconds > 0 ? (double)l->recorded / seconds : 0,
	    load_quantile(l, 500), load_quantile(l, 900), load_quantile(l, 990),
	    load_quantile(l, 1000), l->opened, l->retries, l->lost, l->errors);
}

/* Hold the connections until stdin ends. */
static void load_hold(struct load *l)
{
	struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
	bool ended = epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0;
	char bytes[256];

	while (!ended) {
		int count = epoll_wait(l->epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				connection_on_event(l, events[i].data.ptr, events[i].events);
			else
				ended = read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0;
		}
	}
	if (l->lost > 0)
		fprintf(stderr, "load: %" PRIu64 " of the connections were closed meanwhile\n",
		    l->lost);
}

static void load_go(struct load *l)
{
	const struct options *o = &l->options;
	uint64_t connections = o->hold > 0 ? o->hold : o->connections, start;
	uint64_t requests = o->hold > 0 ? o->hold : o->requests;
	uint64_t at_once = o->hold > OPENING_MOST ? OPENING_MOST : connections;

	if (o->warm_up > 0)
		load_run(l, o->warm_up, at_once, connections);
	l->opened = l->retries = 0;
	l->latencies_ns = malloc((requests + 1) * sizeof(l->latencies_ns[0]));
	if (!l->latencies_ns)
		ground_fail("out of memory");
	start = ground_now_ns();
	load_run(l, requests, at_once, connections);
	start = ground_now_ns() - start;
	if (o->hold > 0 && l->errors == 0) {
		ground_ready();
		load_hold(l);
	}
	load_report(l, start);
}

/* ---- what it is asked for ---------------------------------------------------------------- */

static struct sockaddr_in address_find(const char *authority)
{
	char host[256];
	const char *colon = strrchr(authority, ':');
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	struct sockaddr_in addr;

	if (!colon || (size_t)(colon - authority) >= sizeof(host))
		ground_fail("\"%s\" is not HOST:PORT", authority);
	memcpy(host, authority, (size_t)(colon - authority));
	host[colon - authority] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		ground_fail("there is no address for \"%s\"", authority);
	memcpy(&addr, found->ai_addr, sizeof(addr));
	freeaddrinfo(found);
	return addr;
}

__attribute__((format(printf, 2, 3))) static char *text_new(
    size_t *ret_size, const char *format, ...)
{
	va_list args;
	char *text;
	int size;

	va_start(args, format);
	size = vasprintf(&text, format, args);
	va_end(args);
	if (size < 0)
		ground_fail("out of memory");
	*ret_size = (size_t)size;
	return text;
}

/* The heads that are sent, and what is expected to come back. */
static void load_compose(struct load *l, const char *url)
{
	const struct options *o = &l->options;
	const char *path, *last;
	char authority[256], framing[64] = "", *end;
	size_t length;

	if (strncmp(url, "http://", 7) != 0)
		ground_fail("the URL is to be http://HOST[:PORT]/PATH");
	path = strchr(url + 7, '/');
	length = path ? (size_t)(path - url) - 7 : 0;
	if (length == 0 || length >= sizeof(authority) - 3)
		ground_fail("the URL is to be http://HOST[:PORT]/PATH");
	memcpy(authority, url + 7, length);
	memcpy(authority + length, ":80", 4);
	if (memchr(authority, ':', length))
		authority[length] = '\0';
	l->peer = address_find(o->proxy ? o->proxy : o->direct ? o->direct : authority);
	if (o->put && o->chunked)
		snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
	else if (o->put)
		snprintf(framing, sizeof(framing), "Content-Length: %" PRIu64 "\r\n", o->put_size);
	l->connect_head = text_new(
	    &l->connect_size, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
	l->request_head = text_new(&l->request_size, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
	    o->put ? "PUT" : "GET", o->proxy && !o->tunnel ? url : path, authority, framing);
	l->payload = (struct payload){
	    .filler = filler_new(CHUNK),
	    .size = o->put ? o->put_size : 0,
	    .chunked = o->put && o->chunked,
	};
	last = strrchr(path, '/') + 1;
	l->size = strtoull(last, &end, 10);
	l->expects_size = !o->put && end > last && *end == '\0';
}

static _Noreturn void usage(void)
{
	ground_fail("load [-x HOST:PORT [-T] | -d HOST:PORT] [-c N] [-n N] [-w N] [-f] "
		    "[-u BYTES [-U]] [-i N [-s]] [-p CPU] [-y] URL");
}

static const char *options_read(struct options *o, int argc, char **argv)
{
	const uint64_t most = UINT64_C(1) << 50, connections_most = 10 * 1000 * 1000;
	int option;

	*o = (struct options){.connections = 1, .requests = 1};
	while ((option = getopt(argc, argv, "x:d:Tc:n:w:fu:Ui:sp:y")) != -1) {
		switch (option) {
		case 'x':
			o->proxy = optarg;
			break;
		case 'd':
			o->direct = optarg;
			break;
		case 'T':
			o->tunnel = true;
			break;
		case 'c':
			o->connections = ground_number(optarg, connections_most, "-c");
			break;
		case 'n':
			o->requests = ground_number(optarg, most, "-n");
			break;
		case 'w':
			o->warm_up = ground_number(optarg, most, "-w");
			break;
		case 'f':
			o->fresh = true;
			break;
		case 'u':
			o->put = true;
			o->put_size = ground_number(optarg, most, "-u");
			break;
		case 'U':
			o->chunked = true;
			break;
		case 'i':
			o->hold = ground_number(optarg, connections_most, "-i");
			break;
		case 's':
			o->slow = true;
			break;
		case 'y':
			o->yields = true;
			break;
		case 'p':
			ground_pin((int)ground_number(optarg, 1023, "-p"));
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 1 || (o->proxy && o->direct) || (o->tunnel && !o->proxy) ||
	    (o->slow && o->hold == 0) || (o->chunked && !o->put) || o->connections == 0 ||
	    (o->hold > 0 && (o->warm_up > 0 || o->fresh)))
		usage();
	return argv[optind];
}

int main(int argc, char **argv)
{
	struct load *l = calloc(1, sizeof(*l));
	const char *url;
	uint64_t connections, limit;

	if (!l)
		ground_fail("out of memory");
	url = options_read(&l->options, argc, argv);
	load_compose(l, url);
	l->watch.yields = l->options.yields;
	connections = l->options.hold > 0 ? l->options.hold : l->options.connections;
	limit = ground_descriptors(connections + SPARE_DESCRIPTORS);
	if (limit < connections + SPARE_DESCRIPTORS)
		ground_fail("%" PRIu64
			    " connections are more than the limit of open files (ulimit -n), "
			    "%" PRIu64 ", lets through",
		    connections, limit);
	l->connections = calloc(connections, sizeof(l->connections[0]));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!l->connections || l->epoll < 0)
		ground_fail("cannot start: %s", strerror(errno));
	for (uint64_t i = 0; i < connections; i++)
		l->connections[i].fd = -1;
	load_go(l);
	return l->errors == 0 && l->lost == 0 ? 0 : 1;
}
