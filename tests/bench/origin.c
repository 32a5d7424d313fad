/*
 * origin -- the HTTP/1.1 server that the bench's proxies fetch from, on 127.0.0.1.
 *
 *     origin [-p CPU] [-y] PORT
 *
 * GET /bytes/N    N bytes with Content-Length
 * GET /chunked/N  in chunks of 16 KiB; to an HTTP/1.0 client until close
 * GET /close/N    until the end of the connection
 * PUT, POST       anywhere; answers with the number of bytes of the body
 *
 * Everything else is a 404.  A request is one system call for waiting, one for receiving and one
 * for sending; bodies that come in are thrown away in the kernel.  With -y, it yields its CPU while
 * there is work instead of sleeping, so that waking it costs the proxy nothing.
 */
#include "ground.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNK = 16 * 1024,
	EVENTS = 512,
	SCRATCH = 256 * 1024,
	HEAD_MOST = 16 * 1024,
	ANSWER_MOST = 512,
	DESCRIPTORS = 100 * 1000
};

struct origin {
	int epoll, listener;
	struct watch watch;
	const struct filler *filler;
	char date[40]; /* when it was started */
	char scratch[SCRATCH];
};

enum answer { ANSWER_LENGTH, ANSWER_CHUNKED, ANSWER_CLOSE, ANSWER_COUNT, ANSWER_NOT_FOUND };

/* What a connection does, in the order it does it. */
enum doing { READ_HEAD, READ_BODY, WRITE_ANSWER };

struct connection {
	int fd;
	enum doing doing;
	enum answer answer;
	bool persists, watches_output;
	struct body body;
	struct payload payload;
	size_t head_size; /* of the answer */
	uint64_t sent;
	char *kept; /* a head's first bytes, until the others come */
	size_t kept_size;
};

static void connection_close(struct connection *c)
{
	close(c->fd);
	free(c->kept);
	free(c);
}

/* ---- answers ----------------------------------------------------------------------------- */

/*
 * The answer's head; with ANSWER_COUNT and ANSWER_NOT_FOUND the whole answer.  It is the same at
 * every call, so that it need not be held while a large answer is sent.
 */
static size_t answer_format(const struct origin *o, const struct connection *c, char *text)
{
	const char *connection = c->persists ? "" : "Connection: close\r\n";
	char body[24] = "", framing[48] = "";
	int size;

	switch (c->answer) {
	case ANSWER_NOT_FOUND:
		memcpy(body, "not found\n", sizeof("not found\n"));
		break;
	case ANSWER_COUNT:
		snprintf(body, sizeof(body), "%" PRIu64, c->body.received);
		break;
	default:
		break;
	}
	if (c->answer == ANSWER_CHUNKED)
		memcpy(framing, "Transfer-Encoding: chunked\r\n",
		    sizeof("Transfer-Encoding: chunked\r\n"));
	else if (c->answer != ANSWER_CLOSE)
		snprintf(framing, sizeof(framing), "Content-Length: %" PRIu64 "\r\n",
		    c->answer == ANSWER_LENGTH ? c->payload.size : strlen(body));
	size = snprintf(text, ANSWER_MOST,
	    "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: text/plain\r\nCache-Control: "
	    "no-store\r\n%s%s\r\n%s",
	    c->answer == ANSWER_NOT_FOUND ? "404 Not Found" : "200 OK", o->date, framing,
	    connection, body);
	return (size_t)size;
}

static void connection_watch(struct origin *o, struct connection *c, bool output)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	if (c->watches_output == output)
		return;
	c->watches_output = output;
	if (output)
		event.events = EPOLLOUT;
	if (epoll_ctl(o->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
		ground_fail("epoll_ctl: %s", strerror(errno));
}

/* Send once.  Returns false when the connection is to be closed. */
static bool connection_answer(struct origin *o, struct connection *c)
{
	char head[ANSWER_MOST];
	ssize_t sent;

	if (c->sent == 0 || c->sent < c->head_size)
		c->head_size = answer_format(o, c, head);
	sent = payload_send(&c->payload, head, c->head_size, c->sent, c->fd);
	if (sent < 0 && !ground_blocked(errno))
		return false;
	if (sent > 0)
		c->sent += (uint64_t)sent;
	if (c->sent < c->head_size + payload_wire_size(&c->payload)) {
		connection_watch(o, c, true);
		return true;
	}
	if (!c->persists)
		return false;
	c->doing = READ_HEAD;
	connection_watch(o, c, false);
	return true;
}

static bool connection_start_answer(struct origin *o, struct connection *c)
{
	c->doing = WRITE_ANSWER;
	c->sent = 0;
	return connection_answer(o, c);
}

/* ---- requests ---------------------------------------------------------------------------- */

static const struct {
	const char *prefix;
	enum answer answer;
} paths[] = {
    {"/bytes/", ANSWER_LENGTH},
    {"/chunked/", ANSWER_CHUNKED},
    {"/close/", ANSWER_CLOSE},
};

static void connection_choose_answer(struct connection *c, const struct head *head)
{
	char target[128];
	const char *start = memchr(head->line, ' ', head->line_length), *path;
	size_t length = head->line_length - (sizeof(" HTTP/1.1") - 1);

	c->answer = ANSWER_NOT_FOUND;
	c->payload.size = 0;
	length -= (size_t)(start + 1 - head->line);
	if (length >= sizeof(target))
		return;
	memcpy(target, start + 1, length);
	target[length] = '\0';
	path = strncmp(target, "http://", 7) == 0 ? strchr(target + 7, '/') : target;
	for (size_t i = 0; path && i < sizeof(paths) / sizeof(paths[0]); i++) {
		size_t prefix = strlen(paths[i].prefix);
		char *end;

		if (strncmp(path, paths[i].prefix, prefix) != 0)
			continue;
		c->payload.size = strtoull(path + prefix, &end, 10);
		if (end > path + prefix && *end == '\0')
			c->answer = paths[i].answer;
		else
			c->payload.size = 0;
	}
	if (c->answer == ANSWER_CHUNKED && head->is_http10)
		c->answer = ANSWER_CLOSE;
	if (c->answer == ANSWER_CLOSE)
		c->persists = false;
	c->payload.chunked = c->answer == ANSWER_CHUNKED;
}

/* Returns false when the connection is to be closed. */
static bool connection_request(
    struct origin *o, struct connection *c, const struct head *head, size_t size)
{
	const char *line = head->line;
	const size_t least = sizeof("GET / HTTP/1.1") - 1;
	size_t body_size = size - head->size;

	if (head->status != 0 || head->line_length < least || !memchr(line, ' ', 8))
		return false;
	c->persists = head->persists;
	c->payload.chunked = false;
	body_init(&c->body, head);
	if (body_take(&c->body, line + head->size, body_size) != (ssize_t)body_size)
		return false;
	if (strncmp(line, "PUT ", 4) == 0 || strncmp(line, "POST ", 5) == 0) {
		c->answer = ANSWER_COUNT;
		c->payload.size = 0;
	} else if (strncmp(line, "GET ", 4) == 0) {
		connection_choose_answer(c, head);
	} else {
		c->answer = ANSWER_NOT_FOUND;
		c->payload.size = 0;
	}
	if (c->body.complete)
		return connection_start_answer(o, c);
	c->doing = READ_BODY;
	return !head->expects_continue || c->body.received > 0 ||
	       send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) == 25;
}

static bool connection_keep(struct connection *c, const char *bytes, size_t size)
{
	if (size > HEAD_MOST)
		return false;
	if (!c->kept)
		c->kept = malloc(HEAD_MOST);
	if (!c->kept)
		ground_fail("out of memory");
	memcpy(c->kept, bytes, size);
	c->kept_size = size;
	return true;
}

static bool connection_read_head(struct origin *o, struct connection *c)
{
	struct head head;
	size_t size = c->kept_size;
	ssize_t got = recv(c->fd, o->scratch + size, sizeof(o->scratch) - size, 0);

	if (got <= 0)
		return got < 0 && ground_blocked(errno);
	if (size > 0)
		memcpy(o->scratch, c->kept, size);
	size += (size_t)got;
	switch (head_read(o->scratch, size, &head)) {
	case 0:
		return connection_keep(c, o->scratch, size);
	case 1:
		c->kept_size = 0;
		return connection_request(o, c, &head, size);
	default:
		return false;
	}
}

static bool connection_read_body(struct origin *o, struct connection *c)
{
	ssize_t got = body_receive(&c->body, c->fd, o->scratch, sizeof(o->scratch));

	if (got <= 0)
		return got < 0 && ground_blocked(errno);
	return !c->body.complete || connection_start_answer(o, c);
}

static bool connection_go_on(struct origin *o, struct connection *c)
{
	switch (c->doing) {
	case READ_HEAD:
		return connection_read_head(o, c);
	case READ_BODY:
		return connection_read_body(o, c);
	case WRITE_ANSWER:
	default:
		return connection_answer(o, c);
	}
}

/* ---- the server -------------------------------------------------------------------------- */

/* One at a time: epoll tells of the next one anyway, and none is asked for in vain. */
static void origin_accept(struct origin *o)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = ground_accept(o->listener);
	struct connection *c;

	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		ground_fail("out of memory");
	c->fd = fd;
	c->payload.filler = o->filler;
	event.data.ptr = c;
	if (epoll_ctl(o->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		ground_fail("epoll_ctl: %s", strerror(errno));
}

static _Noreturn void origin_run(struct origin *o)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int count = ground_wait(o->epoll, events, EVENTS, -1, &o->watch);

		for (int i = 0; i < count; i++) {
			struct connection *c = events[i].data.ptr;

			if (!c)
				origin_accept(o);
			else if (!connection_go_on(o, c))
				connection_close(c);
		}
	}
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct origin *o = calloc(1, sizeof(*o));
	time_t now = time(NULL);
	int option;

	if (!o)
		ground_fail("out of memory");
	while ((option = getopt(argc, argv, "p:y")) != -1) {
		if (option == 'y')
			o->watch.yields = true;
		else if (option == 'p')
			ground_pin((int)ground_number(optarg, 1023, "-p"));
		else
			ground_fail("origin [-p CPU] [-y] PORT");
	}
	if (argc - optind != 1)
		ground_fail("origin [-p CPU] [-y] PORT");
	ground_descriptors(DESCRIPTORS);
	strftime(o->date, sizeof(o->date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
	o->filler = filler_new(CHUNK);
	o->listener = ground_listen((uint16_t)ground_number(argv[optind], UINT16_MAX, "PORT"));
	o->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (o->epoll < 0 || epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->listener, &event) != 0)
		ground_fail("epoll: %s", strerror(errno));
	ground_ready();
	origin_run(o);
}
