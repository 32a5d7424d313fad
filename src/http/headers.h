/*
 * headers -- what a proxy removes, adds or refuses.
 *
 * RFC 9110 7.6: hop-by-hop fields, Via, Max-Forwards, loops.  Reads checked heads,
 * writes new ones as text; fields keep their order, duplicates and values byte for byte.
 * Removed both ways are Connection and every field that it names (Host, Content-Length,
 * Transfer-Encoding and Via excepted), Keep-Alive, Proxy-Connection, TE, Trailer, and
 * Upgrade unless it is passed on.  A head that could not be written for want of memory
 * leaves the text failed.
 */
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include <stdbool.h>

#include "http/body.h"
#include "http/head.h"
#include "http/target.h"

struct text;

/* FAIL_LOOP when Via says that the request has been through us (name: our pseudonym). */
enum fail headers_check_loop(const struct head *head, const char *name);

/*
 * TRACE and OPTIONS only (RFC 9110 7.6.2): -1 when there is no Max-Forwards or
 * another method, else its value (clamped to INT_MAX).  A value that is no number,
 * or several fields: FAIL_BAD_REQUEST and a sentence.
 */
enum fail headers_max_forwards(const struct head *head, int *ret_value, const char **ret_why);

/* Whether the client wants its connection kept: RFC 9112 9.3, Proxy-Connection counted in. */
bool headers_keep_alive(const struct head *request);

/*
 * Whether the request may be sent twice (RFC 9110 9.2.2).  Only such a request goes over a
 * connection that the origin may be closing at this moment.
 */
bool headers_may_repeat(const struct head *request);

/*
 * Whether the origin may take its connection for this client's from now on (NTLM, and Negotiate,
 * RFC 4559 6): nobody else's request may go there.
 */
bool headers_claim_connection(const struct head *request);

/*
 * Append the head for the origin: request line in origin-form, always HTTP/1.1, Host from
 * the target first, the client's fields without hop-by-hop ones and Proxy-Authorization, Via.
 * A chunked request says exactly "Transfer-Encoding: chunked", another its Content-Length
 * as written.  Without Connection, unless upgrading: the connection persists.
 */
struct headers_request {
	const struct head *head;
	const struct target *target;
	const char *name; /* our pseudonym */
	bool upgrade;     /* pass Upgrade on, with "Connection: upgrade" */
	int max_forwards; /* the value to write; -1: as it came */
};
void headers_write_request(struct text *out, const struct headers_request *request);

/* Append the head for the client, without Proxy-Authenticate and Proxy-Authentication-Info too. */
struct headers_response {
	const struct head *head;
	const char *name;
	int client_minor;       /* 1.0 clients get Connection: keep-alive said aloud */
	enum body_kind framing; /* towards the client: BODY_CHUNKED adds Transfer-Encoding;
				   Content-Length is kept for BODY_LENGTH and BODY_NONE (not with
				   1xx and 204, RFC 9110 8.6), dropped otherwise */
	bool close;             /* Connection: close */
	bool upgrade;           /* 101: Connection and Upgrade are passed on */
};
void headers_write_response(struct text *out, const struct headers_response *response);

/* Append an interim (1xx) head as it came, without hop-by-hop fields, with Via. */
void headers_write_interim(struct text *out, const struct head *head, const char *name);

/*
 * Append what the answer to TRACE has as its body (message/http): the request as received,
 * without Cookie, Authorization and Proxy-Authorization (RFC 9110 9.3.8).
 */
void headers_write_trace(struct text *out, const struct head *request);

#endif
