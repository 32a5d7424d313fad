/*
 * body -- where a message body ends.
 *
 * Reads piece by piece, never holds payload: none, a length, chunked (RFC 9112 7.1),
 * or until the connection closes.  Chunk extensions are skipped (bounded), sizes are
 * hex digits only, at most 16; trailers are checked and collected (bounded), without
 * those that are about framing, routing or one connection (RFC 9110 6.5.1, 7.6.1).
 * Any way of cutting the input gives the same payload and the same end.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct head;

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_CLOSE };

struct body {
	enum body_kind kind;
	int state;            /* private */
	bool ended;           /* with the last byte of a length, before BODY_END says so */
	bool odd;             /* private: the framing line is not as body_chunk_head writes it */
	bool plain;           /* see BODY_FRAMING */
	uint64_t left;        /* of the length, or of the chunk; trailers: what they may take */
	size_t line;          /* bytes of the framing line so far */
	size_t known;         /* bytes of framing in front of the chunk, seen by body_foresee */
	struct text trailers; /* complete field lines with CRLF, checked; for the sender of a
				 chunked message */
};

#define BODY_LINE_MAX 4096 /* of a chunk-size line with its extensions, or of a trailer field */
#define BODY_TRAILERS_MAX 16384 /* of all trailers, those that are dropped included */

enum body_event {
	BODY_DATA, /* the *ret_used first bytes are payload */
	/*
	 * The *ret_used first bytes were framing; go on.  plain: they are all of the CRLF that
	 * ends a chunk, of the head of the next one, or of both, without extension or leading
	 * zeros: who sends chunks of the same size can pass them on as they are.
	 */
	BODY_FRAMING,
	BODY_MORE, /* nothing left to look at */
	BODY_END,  /* the *ret_used first bytes belonged to the body's end; the next are another
		      message's */
	BODY_BAD   /* framing is broken, or no memory for trailers: refuse, never resume */
};

/*
 * Where the body of a request, or of the response to a method, ends (RFC 9112 6.3).
 * Nothing is borrowed.  What b held before is overwritten, not freed.
 */
void body_of_request(struct body *b, const struct head *request);
void body_of_response(struct body *b, const struct head *response, struct slice method);
void body_done(struct body *b); /* frees the trailers */

/*
 * Look at the next bytes.  BODY_DATA and BODY_FRAMING always use at least one byte.
 * A body without bytes (none, length 0) gives BODY_END with 0 used, at once and also for len 0.
 */
enum body_event body_next(struct body *b, const char *bytes, size_t len, size_t *ret_used);

/*
 * How many bytes from here on need not be looked at: payload, with known framing in front.
 * UINT64_MAX until the close.  body_skip tells that so many were passed on unseen, and returns
 * how many of them were payload.
 */
uint64_t body_run(const struct body *b);
uint64_t body_skip(struct body *b, uint64_t count);

/*
 * Between two chunks: whether the next bytes, which are only looked at, begin with all of a plain
 * framing and a chunk follows.  That framing is known then, and counts to body_run.
 */
bool body_foresee(struct body *b, const char *bytes, size_t len);

/* Whether the last chunk is whole, its CRLF too, and nothing has come behind it. */
bool body_is_between_chunks(const struct body *b);

/* The connection closed: whether the body ended with it properly. */
bool body_close(struct body *b);

/* Write "hex\r\n" for a chunk of this size; returns its length.  The chunk ends with "\r\n". */
#define BODY_CHUNK_HEAD_MAX 19
size_t body_chunk_head(uint64_t size, char out[BODY_CHUNK_HEAD_MAX]);

#endif
