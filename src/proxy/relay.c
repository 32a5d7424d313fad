#include "proxy/relay.h"

#include <event2/buffer.h>
#include <stdio.h>

#include "net/wire.h"

static int relay_payload(struct relay *r, struct evbuffer *from, size_t len)
{
	char line[BODY_CHUNK_HEAD_MAX];

	r->bytes += len;
	if (r->out != BODY_CHUNKED)
		return wire_write_from(r->sink, from, len);
	if (wire_write(r->sink, line, body_chunk_head(len, line)) != 0 ||
	    wire_write_from(r->sink, from, len) != 0)
		return -1;
	return wire_write(r->sink, "\r\n", 2);
}

static enum relay_state relay_end(struct relay *r)
{
	const struct text *trailers = &r->body.trailers;

	if (r->out != BODY_CHUNKED)
		return RELAY_ENDED;
	if (wire_write(r->sink, "0\r\n", 3) != 0 ||
	    wire_write(r->sink, trailers->ptr, trailers->len) != 0 ||
	    wire_write(r->sink, "\r\n", 2) != 0)
		return RELAY_NO_MEMORY;
	return RELAY_ENDED;
}

enum relay_state relay_push(struct relay *r, struct evbuffer *from)
{
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
	return wire_pending(r->sink) >= r->high;
}

bool relay_has_room(const struct relay *r)
{
	return wire_pending(r->sink) <= r->high / 2;
}

void relay_done(struct relay *r)
{
	body_done(&r->body);
}
