#include "ground.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/*
 * A recv() that throws bytes away costs no copy, but a system call each; for the small rest of a
 * chunk, reading it together with the chunks that follow is cheaper.
 */
enum {
	BACKLOG = 4096,
	DISCARD_LEAST = 32 * 1024,
	DISCARD_MOST = 1 << 30,
	PIECES_MOST = 64,
	TOGETHER_MOST = 4096,
	AWAKE_NS = 1000 * 1000
};

void ground_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

uint64_t ground_number(const char *text, uint64_t most, const char *what)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || number > most)
		ground_fail(
		    "%s is to be a number from 0 to %" PRIu64 ", not \"%s\"", what, most, text);
	return number;
}

void ground_pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
		ground_fail("cannot run on CPU %d: %s", cpu, strerror(errno));
}

uint64_t ground_descriptors(uint64_t wanted)
{
	struct rlimit limit, more;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		ground_fail("cannot read the limit of open files: %s", strerror(errno));
	if (limit.rlim_cur >= wanted)
		return limit.rlim_cur;
	more.rlim_cur = wanted;
	more.rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return wanted;
	/* Above the hard limit is root's alone. */
	more.rlim_cur = more.rlim_max = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &more) == 0 ? limit.rlim_max : limit.rlim_cur;
}

int ground_listen(uint16_t port)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, BACKLOG) != 0)
		ground_fail("cannot listen on port %u: %s", port, strerror(errno));
	return fd;
}

int ground_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		ground_fail("too many connections for the limit of open files (ulimit -n): %s",
		    strerror(errno));
	return fd;
}

void ground_ready(void)
{
	puts("ready");
	if (fflush(stdout) != 0)
		ground_fail("cannot write to stdout: %s", strerror(errno));
}

bool ground_blocked(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == EINPROGRESS;
}

uint64_t ground_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int ground_wait(
    int epoll, struct epoll_event *events, int most, int timeout_ms, struct watch *watch)
{
	int count;

	if (!watch->yields)
		return epoll_wait(epoll, events, most, timeout_ms);
	while ((count = epoll_wait(epoll, events, most, 0)) == 0) {
		if (ground_now_ns() - watch->seen_ns > AWAKE_NS) {
			count = epoll_wait(epoll, events, most, timeout_ms);
			break;
		}
		sched_yield();
	}
	if (count > 0)
		watch->seen_ns = ground_now_ns();
	return count;
}

/* ---- heads ------------------------------------------------------------------------------- */

struct field {
	const char *name, *value;
	size_t name_length, value_length;
};

static bool field_is(const struct field *field, const char *name)
{
	return strlen(name) == field->name_length &&
	       strncasecmp(field->name, name, field->name_length) == 0;
}

/* Whether the value has the token; that it could be part of a longer word is of no matter here. */
static bool field_has(const struct field *field, const char *token)
{
	size_t length = strlen(token);

	for (size_t i = 0; i + length <= field->value_length; i++)
		if (strncasecmp(field->value + i, token, length) == 0)
			return true;
	return false;
}

static bool field_number(const struct field *field, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (field->value_length == 0 || field->value_length > 18)
		return false;
	for (size_t i = 0; i < field->value_length; i++) {
		if (!isdigit((unsigned char)field->value[i]))
			return false;
		number = number * 10 + (uint64_t)(field->value[i] - '0');
	}
	*ret_number = number;
	return true;
}

static bool field_split(const char *line, size_t length, struct field *ret_field)
{
	const char *colon = memchr(line, ':', length), *value, *end = line + length;

	if (!colon)
		return false;
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*ret_field = (struct field){
	    .name = line,
	    .value = value,
	    .name_length = (size_t)(colon - line),
	    .value_length = (size_t)(end - value),
	};
	return true;
}

/* Returns false when the field makes the head unusable. */
static bool head_note(struct head *head, const struct field *field)
{
	switch (field->name[0] | 0x20) {
	case 'c':
		if (field_is(field, "Content-Length"))
			return head->has_length = field_number(field, &head->length);
		if (!field_is(field, "Connection"))
			break;
		if (field_has(field, "close"))
			head->persists = false;
		else if (field_has(field, "keep-alive"))
			head->persists = true;
		break;
	case 't':
		if (field_is(field, "Transfer-Encoding"))
			return head->chunked = field_has(field, "chunked");
		break;
	case 'e':
		if (field_is(field, "Expect"))
			head->expects_continue = field_has(field, "100-continue");
		break;
	default:
		break;
	}
	return true;
}

static bool head_start(struct head *head, const char *line, size_t length)
{
	static const char http[] = "HTTP/1.";
	const size_t prefix = sizeof(http) - 1;
	const char *version;

	head->line = line;
	head->line_length = length;
	if (length < sizeof("GET / HTTP/1.1") - 1)
		return false;
	if (memcmp(line, http, prefix) == 0) {
		version = line;
		for (size_t i = prefix + 2; i < prefix + 5; i++) {
			if (!isdigit((unsigned char)line[i]))
				return false;
			head->status = head->status * 10 + (line[i] - '0');
		}
	} else {
		version = line + length - prefix - 1;
		if (memcmp(version, http, prefix) != 0)
			return false;
	}
	head->is_http10 = version[prefix] == '0';
	head->persists = !head->is_http10;
	return true;
}

int head_read(const char *bytes, size_t size, struct head *ret_head)
{
	const char *end = memmem(bytes, size, "\r\n\r\n", 4), *line, *line_end;
	struct head head = {0};
	struct field field;

	if (!end)
		return 0;
	line_end = memmem(bytes, size, "\r\n", 2);
	assert(line_end);
	if (!head_start(&head, bytes, (size_t)(line_end - bytes)))
		return -1;
	for (line = line_end + 2; line < end + 2; line = line_end + 2) {
		line_end = memchr(line, '\r', (size_t)(end + 1 - line));
		if (!line_end || !field_split(line, (size_t)(line_end - line), &field) ||
		    !head_note(&head, &field))
			return -1;
	}
	head.size = (size_t)(end + 4 - bytes);
	*ret_head = head;
	return 1;
}

/* ---- bodies received --------------------------------------------------------------------- */

void body_init(struct body *body, const struct head *head)
{
	bool has_none = head->status == 204 || head->status == 304;

	*body = (struct body){.framing = BODY_LENGTH};
	if (head->chunked && !has_none) {
		body->framing = BODY_CHUNKED;
		return;
	}
	if (head->has_length && !has_none)
		body->left = head->length;
	else if (head->status != 0 && !has_none)
		body->framing = BODY_UNTIL_CLOSE;
	body->complete = body->framing == BODY_LENGTH && body->left == 0;
}

/* Payload that was received, of which there are at most size bytes.  Returns how many. */
static size_t body_count(struct body *body, size_t size)
{
	if (body->framing != BODY_UNTIL_CLOSE) {
		if (size > body->left)
			size = (size_t)body->left;
		body->left -= size;
	}
	body->received += size;
	if (body->framing == BODY_LENGTH && body->left == 0)
		body->complete = true;
	if (body->framing == BODY_CHUNKED && body->left == 0)
		body->place = CHUNK_DATA_END;
	return size;
}

static size_t body_take_data(struct body *body, const char *bytes, size_t size)
{
	const size_t most = sizeof(body->start) - 1;
	uint64_t before = body->received;

	size = body_count(body, size);
	if (before < most && size > 0)
		memcpy(body->start + before, bytes,
		    size < most - (size_t)before ? size : most - (size_t)before);
	return size;
}

static bool chunk_digit(struct body *body, char c)
{
	int digit;

	if (c >= '0' && c <= '9')
		digit = c - '0';
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		digit = (c | 0x20) - 'a' + 10;
	else
		return false;
	if (body->left >> 56 != 0)
		return false;
	body->left = body->left * 16 + (uint64_t)digit;
	body->any_digit = true;
	return true;
}

/* Take a byte of the framing of chunks.  Line ends are those of the proxies: CR LF. */
static bool chunk_step(struct body *body, char c)
{
	switch (body->place) {
	case CHUNK_SIZE:
		if (chunk_digit(body, c))
			return true;
		if (!body->any_digit)
			return false;
		body->place = CHUNK_EXTENSION;
		return c == '\r' || c == ';' || c == ' ';
	case CHUNK_EXTENSION:
		if (c == '\n') {
			body->any_digit = false;
			body->place = body->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
		}
		return true;
	case CHUNK_DATA_END:
		if (c == '\n')
			body->place = CHUNK_SIZE;
		return c == '\r' || c == '\n';
	case CHUNK_TRAILER:
		if (c == '\n')
			body->complete = true;
		else if (c != '\r')
			body->place = CHUNK_TRAILER_LINE;
		return true;
	case CHUNK_TRAILER_LINE:
		if (c == '\n')
			body->place = CHUNK_TRAILER;
		return true;
	case CHUNK_DATA:
	default:
		assert(false);
		return false;
	}
}

ssize_t body_take(struct body *body, const char *bytes, size_t size)
{
	size_t at = 0;

	while (at < size && !body->complete) {
		if (body->framing != BODY_CHUNKED || body->place == CHUNK_DATA)
			at += body_take_data(body, bytes + at, size - at);
		else if (!chunk_step(body, bytes[at++]))
			return -1;
	}
	return (ssize_t)at;
}

ssize_t body_receive(struct body *body, int fd, char *scratch, size_t scratch_size)
{
	size_t discard = 0;
	ssize_t got;

	if (body->received < sizeof(body->start))
		discard = 0;
	else if (body->framing == BODY_UNTIL_CLOSE)
		discard = DISCARD_MOST;
	else if (body->framing == BODY_LENGTH ||
		 (body->place == CHUNK_DATA && body->left >= DISCARD_LEAST))
		discard = body->left < DISCARD_MOST ? (size_t)body->left : DISCARD_MOST;
	if (discard > 0) {
		got = recv(fd, NULL, discard, MSG_TRUNC);
		if (got > 0)
			body_count(body, (size_t)got);
	} else {
		got = recv(fd, scratch, scratch_size, 0);
		if (got > 0 && body_take(body, scratch, (size_t)got) != got) {
			errno = EBADMSG;
			return -1;
		}
	}
	if (got == 0 && body->framing == BODY_UNTIL_CLOSE)
		body->complete = true;
	return got;
}

/* ---- bodies sent ------------------------------------------------------------------------- */

struct filler {
	size_t chunk, size_line;
	char frame[]; /* "4000" CR LF, the chunk's data, CR LF */
};

struct filler *filler_new(size_t chunk)
{
	char line[24];
	size_t length = (size_t)snprintf(line, sizeof(line), "%zx\r\n", chunk);
	struct filler *filler = malloc(sizeof(*filler) + length + chunk + 2);

	if (!filler)
		ground_fail("out of memory");
	filler->chunk = chunk;
	filler->size_line = length;
	memcpy(filler->frame, line, length);
	memset(filler->frame + length, 'x', chunk);
	filler->frame[length + chunk] = '\r';
	filler->frame[length + chunk + 1] = '\n';
	return filler;
}

uint64_t payload_wire_size(const struct payload *payload)
{
	const struct filler *filler = payload->filler;
	uint64_t size = payload->size, rest;

	if (!payload->chunked)
		return size;
	rest = size % filler->chunk;
	size += size / filler->chunk * (filler->size_line + 2) + 5;
	if (rest > 0)
		size += (uint64_t)snprintf(NULL, 0, "%" PRIx64 "\r\n\r\n", rest);
	return size;
}

/* What is to be sent in one call, after skipping what has been sent. */
struct pieces {
	struct iovec iov[PIECES_MOST];
	size_t count;
	uint64_t skip;
};

static void pieces_add(struct pieces *pieces, const char *bytes, size_t size)
{
	if (pieces->skip >= size) {
		pieces->skip -= size;
		return;
	}
	if (pieces->count == PIECES_MOST)
		return;
	/* An iovec is not for constant bytes, but those sent stay as they are. */
	pieces->iov[pieces->count++] = (struct iovec){
	    .iov_base = (char *)(uintptr_t)(bytes + pieces->skip),
	    .iov_len = size - (size_t)pieces->skip,
	};
	pieces->skip = 0;
}

static void pieces_repeat(struct pieces *pieces, const char *bytes, size_t size, uint64_t times)
{
	uint64_t first = pieces->skip / size;

	if (first >= times) {
		pieces->skip -= times * size;
		return;
	}
	pieces->skip %= size;
	for (uint64_t i = first; i < times && pieces->count < PIECES_MOST; i++)
		pieces_add(pieces, bytes, size);
}

/* A few bytes are cheaper copied together than told of one by one. */
static ssize_t pieces_send(struct pieces *pieces, int fd)
{
	struct msghdr message = {
	    .msg_iov = pieces->iov,
	    .msg_iovlen = pieces->count,
	};
	char together[TOGETHER_MOST];
	size_t size = 0;

	for (size_t i = 0; i < pieces->count; i++) {
		if (pieces->iov[i].iov_len > sizeof(together) - size)
			return sendmsg(fd, &message, MSG_NOSIGNAL);
		memcpy(together + size, pieces->iov[i].iov_base, pieces->iov[i].iov_len);
		size += pieces->iov[i].iov_len;
	}
	return send(fd, together, size, MSG_NOSIGNAL);
}

ssize_t payload_send(
    const struct payload *payload, const char *head, size_t head_size, uint64_t sent, int fd)
{
	const struct filler *filler = payload->filler;
	const char *data = filler->frame + filler->size_line;
	uint64_t whole = payload->size / filler->chunk;
	size_t rest = (size_t)(payload->size % filler->chunk);
	struct pieces pieces;
	char line[24];

	pieces.count = 0;
	pieces.skip = sent;
	pieces_add(&pieces, head, head_size);
	if (payload->chunked) {
		pieces_repeat(&pieces, filler->frame, filler->size_line + filler->chunk + 2, whole);
		if (rest > 0) {
			pieces_add(
			    &pieces, line, (size_t)snprintf(line, sizeof(line), "%zx\r\n", rest));
			pieces_add(&pieces, data, rest);
			pieces_add(&pieces, "\r\n", 2);
		}
		pieces_add(&pieces, "0\r\n\r\n", 5);
	} else {
		pieces_repeat(&pieces, data, filler->chunk, whole);
		pieces_add(&pieces, data, rest);
	}
	return pieces_send(&pieces, fd);
}
