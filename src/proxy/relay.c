#include "proxy/relay.h"

#include <event2/buffer.h>

#include "net/wire.h"

/*
 * Splicing is for runs of at least so much.  The tail goes the ordinary way, so that the
 * end of a body is always seen there.
 */
#define RELAY_SPLICE_LEAST (64 * 1024)
#define RELAY_SPLICE_MOST (1024 * 1024)
#define RELAY_TAIL 4096

/* The end of the chunk before, if it was spliced, and the head of one of this size; 0: none. */
static int relay_frame(struct relay *r, size_t len)
{
	char line[2 + BODY_CHUNK_HEAD_MAX] = "\r\n";
	size_t begin = r->owes_crlf ? 0 : 2, end = 2;

	if (len > 0)
		end += body_chunk_head(len, line + 2);
	r->owes_crlf = false;
	return wire_write(r->sink, line + begin, end - begin);
}

static int relay_payload(struct relay *r, struct evbuffer *from, size_t len)
{
	r->bytes += len;
	if (r->out != BODY_CHUNKED)
		return wire_write_from(r->sink, from, len);
	if (relay_frame(r, len) != 0 || wire_write_from(r->sink, from, len) != 0)
		return -1;
	return wire_write(r->sink, "\r\n", 2);
}

int relay_splice(struct relay *r, struct wire *from, struct pipe_pool *pipes)
{
	uint64_t run = body_run(&r->body);
	size_t moved;

	if (run < RELAY_SPLICE_LEAST || !wire_is_bulky(from) || wire_pending(r->sink) > 0)
		return 0;
	run -= RELAY_TAIL;
	moved = wire_splice(
	    r->sink, from, pipes, run < RELAY_SPLICE_MOST ? (size_t)run : RELAY_SPLICE_MOST);
	if (moved == 0)
		return 0;
	body_skip(&r->body, moved);
	r->bytes += moved;
	if (r->out != BODY_CHUNKED)
		return 1;
	if (relay_frame(r, moved) != 0)
		return -1;
	r->owes_crlf = true;
	return 1;
}

void relay_flush(struct relay *r)
{
	wire_flush(r->sink);
	if (!r->owes_crlf || wire_pending(r->sink) > 0)
		return;
	/* Without memory it is tried again in front of the next chunk. */
	if (wire_write(r->sink, "\r\n", 2) == 0)
		r->owes_crlf = false;
	wire_flush(r->sink);
}

static enum relay_state relay_end(struct relay *r)
{
	const struct text *trailers = &r->body.trailers;

	if (r->out != BODY_CHUNKED)
		return RELAY_ENDED;
	if (relay_frame(r, 0) != 0 || wire_write(r->sink, "0\r\n", 3) != 0 ||
	    wire_write(r->sink, trailers->ptr, trailers->len) != 0 ||
	    wire_write(r->sink, "\r\n", 2) != 0)
		return RELAY_NO_MEMORY;
	return RELAY_ENDED;
}

enum relay_state relay_push(struct relay *r, struct evbuffer *from)
{
	/* A full relay is not pushed to; here the order of bytes would be lost. */
	if (wire_is_piped(r->sink))
		return RELAY_NO_MEMORY;
	for (;;) {
		struct evbuffer_iovec piece = {NULL, 0};
		size_t used = 0;

		evbuffer_peek(from, -1, NULL, &piece, 1);
		switch (body_next(&r->body, piece.iov_base, piece.iov_len, &used)) {
		case BODY_DATA:
			if (relay_payload(r, from, used) != 0)
				return RELAY_NO_MEMORY;
			break;
		case BODY_FRAMING:
			evbuffer_drain(from, used);
			break;
		case BODY_MORE:
			return RELAY_MORE;
		case BODY_END:
			evbuffer_drain(from, used);
			return relay_end(r);
		case BODY_BAD:
			return r->body.trailers.failed ? RELAY_NO_MEMORY : RELAY_BAD;
		}
	}
}

enum relay_state relay_close(struct relay *r)
{
	return body_close(&r->body) ? relay_end(r) : RELAY_BAD;
}

bool relay_is_full(const struct relay *r)
{
	return wire_is_piped(r->sink) || wire_pending(r->sink) >= r->high;
}

bool relay_has_room(const struct relay *r)
{
	return !wire_is_piped(r->sink) && wire_pending(r->sink) <= r->high / 2;
}

void relay_done(struct relay *r)
{
	body_done(&r->body);
}
