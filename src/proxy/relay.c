#include "proxy/relay.h"

#include <event2/buffer.h>

#include "net/pipe.h"
#include "net/wire.h"

/*
 * Splicing is for runs of at least so much.  The tail of what evhttp counts goes the ordinary
 * way, so that the end of a body is always seen there.
 */
#define RELAY_SPLICE_LEAST (64 * 1024)
#define RELAY_TAIL 4096

/*
 * Chunks of at least so much, and single smaller ones between them, as clients make them that
 * send what they have read in two parts; and the framing in front, which is looked at first.
 */
#define RELAY_CHUNK_LEAST (8 * 1024)
#define RELAY_CHUNK_TRUST 2
#define RELAY_AHEAD 64

static void relay_count(struct relay *r, uint64_t chunk)
{
	if (chunk >= RELAY_CHUNK_LEAST)
		r->trust = RELAY_CHUNK_TRUST;
	else if (r->trust > 0)
		r->trust--;
}

/* The end of the chunk before, when it is open, and the head of one of this size; 0: none. */
static int relay_frame(struct relay *r, uint64_t len)
{
	char line[2 + BODY_CHUNK_HEAD_MAX] = "\r\n";
	size_t begin = r->open ? 0 : 2, end = 2;

	if (len > 0)
		end += body_chunk_head(len, line + 2);
	r->open = len > 0;
	return wire_write(r->sink, line + begin, end - begin);
}

/* Payload becomes a chunk of its own. */
static int relay_wrap(struct relay *r, struct evbuffer *from, size_t len)
{
	if (relay_frame(r, len) != 0 || wire_write_from(r->sink, from, len) != 0)
		return -1;
	return relay_frame(r, 0);
}

/* ---- splicing ------------------------------------------------------------------------------ */

/* Whether the chunks of the source are those of the sink. */
static bool relay_keeps_chunks(const struct relay *r)
{
	return r->body.kind == BODY_CHUNKED && r->out == BODY_CHUNKED;
}

/* The head of a chunk goes on as it came, or the end of one. */
static void relay_opens(struct relay *r)
{
	uint64_t size = body_run(&r->body);

	r->open = size > 0;
	if (size > 0)
		relay_count(r, size);
}

/* How much may be spliced from here on: 0 when it does not pay. */
static uint64_t relay_run(struct relay *r, struct wire *from)
{
	char ahead[RELAY_AHEAD];
	uint64_t run = body_run(&r->body);

	if (!relay_keeps_chunks(r))
		return run < RELAY_SPLICE_LEAST ? 0 : run - RELAY_TAIL;
	if (run == 0 && r->trust > 0 &&
	    body_foresee(&r->body, ahead, wire_peek(from, ahead, sizeof(ahead)))) {
		relay_opens(r);
		run = body_run(&r->body);
	}
	return r->trust > 0 ? run : 0;
}

int relay_splice(struct relay *r, struct wire *from, struct pipe_pool *pipes)
{
	size_t total = 0, moved;

	if (wire_pending(r->sink) > 0)
		return 0;
	do {
		uint64_t run = relay_run(r, from);

		moved = run > PIPE_HOLDS_MOST ? PIPE_HOLDS_MOST : (size_t)run;
		if (moved > 0)
			moved = wire_splice(r->sink, from, pipes, moved);
		if (moved > 0)
			r->bytes += body_skip(&r->body, moved);
		total += moved;
	} while (moved > 0 && relay_keeps_chunks(r));
	if (total == 0 || r->out != BODY_CHUNKED || relay_keeps_chunks(r))
		return total > 0;
	return relay_frame(r, total) == 0 ? 1 : -1;
}

void relay_flush(struct relay *r)
{
	wire_flush(r->sink);
	if (!r->open || relay_keeps_chunks(r) || wire_pending(r->sink) > 0)
		return;
	/* Without memory it is tried again in front of the next chunk. */
	if (relay_frame(r, 0) != 0)
		r->open = true;
	wire_flush(r->sink);
}

/* ---- copying ------------------------------------------------------------------------------- */

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

/* The bytes in one piece behind the first `skip` ones. */
static struct evbuffer_iovec relay_piece(struct evbuffer *from, size_t skip)
{
	struct evbuffer_iovec piece = {NULL, 0};
	struct evbuffer_ptr at;

	if (skip < evbuffer_get_length(from) &&
	    evbuffer_ptr_set(from, &at, skip, EVBUFFER_PTR_SET) == 0)
		evbuffer_peek(from, -1, &at, &piece, 1);
	return piece;
}

/* Payload and plain framing go on as they are, *run bytes by now; the rest does not. */
static int relay_pass(struct relay *r, struct evbuffer *from, size_t *run)
{
	size_t len = *run;

	*run = 0;
	return len == 0 ? 0 : wire_write_from(r->sink, from, len);
}

/* Framing that is not plain, or has come in parts: written anew once all of it is there. */
static int relay_reframe(struct relay *r)
{
	uint64_t size = body_run(&r->body);

	if (r->out != BODY_CHUNKED || (size == 0 && !body_is_between_chunks(&r->body)))
		return 0;
	if (size > 0)
		relay_count(r, size);
	return relay_frame(r, size);
}

/* Whether these bytes are sent as they are, by what they were found to be. */
static bool relay_passes(const struct relay *r, enum body_event event)
{
	if (event == BODY_DATA)
		return r->out != BODY_CHUNKED || relay_keeps_chunks(r);
	return event == BODY_FRAMING && r->body.plain && relay_keeps_chunks(r);
}

enum relay_state relay_push(struct relay *r, struct evbuffer *from)
{
	size_t run = 0;

	/* A full relay is not pushed to; here the order of bytes would be lost. */
	if (wire_is_piped(r->sink))
		return RELAY_NO_MEMORY;
	for (;;) {
		struct evbuffer_iovec piece = relay_piece(from, run);
		size_t used = 0;
		enum body_event event = body_next(&r->body, piece.iov_base, piece.iov_len, &used);

		if (event == BODY_DATA)
			r->bytes += used;
		if (relay_passes(r, event)) {
			if (event == BODY_FRAMING)
				relay_opens(r);
			run += used;
			continue;
		}
		if (relay_pass(r, from, &run) != 0)
			return RELAY_NO_MEMORY;
		switch (event) {
		case BODY_DATA:
			if (relay_wrap(r, from, used) != 0)
				return RELAY_NO_MEMORY;
			break;
		case BODY_FRAMING:
			evbuffer_drain(from, used);
			if (relay_reframe(r) != 0)
				return RELAY_NO_MEMORY;
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

/* What can be spliced is not read into memory as long as there is something else to send. */
bool relay_is_behind(const struct relay *r)
{
	bool splices =
	    relay_keeps_chunks(r) ? r->trust > 0 : body_run(&r->body) >= RELAY_SPLICE_LEAST;

	return relay_is_full(r) || (splices && wire_pending(r->sink) > 0);
}

bool relay_has_room(const struct relay *r)
{
	return !wire_is_piped(r->sink) && wire_pending(r->sink) <= r->high / 2;
}

void relay_done(struct relay *r)
{
	body_done(&r->body);
}
