/*
 * reply -- every answer the proxy writes itself, from one table of failures.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include <stdbool.h>

#include "base/slice.h"

struct text;

/*
 * What can go wrong with an exchange.  Each has a status (0: nothing can be answered
 * any more, the connection is closed), a token for the access log, an error type
 * of RFC 9209 (or NULL), and a sentence for the page.
 */
enum fail {
	FAIL_NONE,
	/* the request */
	FAIL_BAD_REQUEST,    /* 400: the head breaks a rule that decides where messages end */
	FAIL_BAD_TARGET,     /* 400 */
	FAIL_BAD_BODY,       /* 400: chunk framing */
	FAIL_LINE_TOO_LONG,  /* 414 */
	FAIL_HEAD_TOO_LARGE, /* 431 */
	FAIL_BAD_VERSION,    /* 505 */
	FAIL_BAD_CODING,     /* 501: a transfer coding we do not know */
	FAIL_HEAD_TIMEOUT,   /* 408 */
	FAIL_BODY_TIMEOUT,   /* 408 */
	FAIL_NOT_FOUND,      /* 404: origin-form, asked of the proxy itself */
	FAIL_METHOD,         /* 405: origin-form, not GET or HEAD */
	FAIL_LOOP,           /* 508 */
	/* policy */
	FAIL_CLIENT_DENIED,  /* 403 */
	FAIL_PORT_DENIED,    /* 403 */
	FAIL_ADDRESS_DENIED, /* 403 */
	FAIL_RULE_DENIED,    /* 403 */
	FAIL_AUTH_REQUIRED,  /* 407: there are no credentials that we could check */
	FAIL_AUTH_FAILED,    /* 407 */
	FAIL_AUTH_LIMITED,   /* 429: has failed too often */
	FAIL_BLOCKLIST,      /* 403: the host is on a list */
	/* limits of one client: 429 */
	FAIL_CLIENT_CONNECTIONS,
	FAIL_CLIENT_CONNECTS,
	FAIL_CLIENT_REQUESTS,
	FAIL_CLIENT_TUNNELS,
	/* of one origin */
	FAIL_ORIGIN_EXCHANGES, /* 503 */
	/* the way to the origin */
	FAIL_DNS_NOT_FOUND,   /* 502 */
	FAIL_DNS_ERROR,       /* 502 */
	FAIL_DNS_TIMEOUT,     /* 504 */
	FAIL_REFUSED,         /* 502: connection refused */
	FAIL_UNREACHABLE,     /* 502: no route, and any other failure to connect */
	FAIL_CONNECT_TIMEOUT, /* 504 */
	/* the response */
	FAIL_BAD_RESPONSE,       /* 502: head or chunk framing breaks a rule */
	FAIL_RESPONSE_TOO_LARGE, /* 502: the head */
	FAIL_NO_RESPONSE,        /* 502: closed or reset before a complete head */
	FAIL_RESPONSE_TIMEOUT,   /* 504: no first byte in time */
	/* us */
	FAIL_NO_MEMORY, /* 503: out of memory or descriptors */
	FAIL_OVERLOAD,  /* 503: the limit of all clients together is reached */
	FAIL_INTERNAL,  /* 500 */
	/* too late to answer: seen in the log only, and the connection closes */
	FAIL_CLIENT_GONE,    /* the client closed or reset */
	FAIL_TRUNCATED,      /* the origin ended before its message did */
	FAIL_ORIGIN_TIMEOUT, /* nothing moved in time, or too little */
	FAIL_CLIENT_TIMEOUT,
	FAIL_EXPIRED, /* the lifetime of a tunnel is over */
	FAIL_SHUTDOWN,
	FAIL_COUNT
};

int reply_status(enum fail fail);
const char *reply_token(enum fail fail); /* "dns_timeout" */
const char *reply_sentence(enum fail fail);
bool reply_ends_connection(
    enum fail fail); /* the request broke a rule: what follows it is not to be read */
const char *reply_reason(int status); /* "Bad Gateway"; "" for what we never answer */

struct reply {
	enum fail fail;
	const char
	    *why; /* instead of the table's sentence; NULL: that one.  Escaped where shown. */
	struct slice
	    host;         /* what it was about, for the page; may be empty.  Escaped where shown. */
	const char *name; /* our pseudonym: Proxy-Status, Via, page */
	const char *realm; /* of Proxy-Authenticate, with 407: fit to stand between quotes */
	int minor; /* of the client's HTTP/1.x, 1 when unknown (the status line says 1.1 always) */
	bool html; /* the client accepts text/html */
	bool head_only; /* answer to HEAD: no body, its length all the same */
	int retry_s;    /* Retry-After; 0: none */
	bool close;     /* Connection: close, else keep-alive is kept (said aloud to 1.0 clients) */
};

/*
 * Append head and page: Content-Length, Content-Type, Cache-Control: no-store, Date, Via,
 * Proxy-Status, Retry-After, Proxy-Authenticate.  Nothing for a failure that cannot be answered
 * (status 0).
 */
void reply_write(struct text *out, const struct reply *reply);

/*
 * The page at "/": what this is.  As reply_write with status 200; host is where clients reach
 * us, "proxy.example.org:3128".
 */
void reply_write_about(struct text *out, const struct reply *reply);

/* A 200 with this body; type NULL: none, and the body is empty. */
void reply_write_body(
    struct text *out, const struct reply *reply, const char *type, struct slice body);

/* Whether an Accept value lists text/html with a weight above 0 (RFC 9110 12.5.1). */
bool reply_accepts_html(struct slice accept);

#endif
