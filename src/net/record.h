/*
 * record -- the addresses of one family that a name has: what a name server's answer
 * says, and what two of them say together.
 *
 * Values, no I/O.  Reads with c-ares; the time that a "no" may be believed (RFC
 * 2308) is read here, since c-ares does not tell.
 */
#ifndef NET_RECORD_H
#define NET_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/addr.h"

enum record_status {
	RECORD_OK,
	RECORD_NO_NAME, /* the name does not exist (NXDOMAIN) */
	RECORD_NO_DATA, /* it exists, but not with an address of this family */
	RECORD_FAILED,  /* no server could be asked, or an answer was a failure, or no answer */
	RECORD_TIMEOUT, /* nobody said anything */
	RECORD_NO_MEMORY
};

#define RECORD_ADDRS_MAX 8         /* of one family; the first ones of an answer with more */
#define RECORD_TTL_NONE UINT32_MAX /* as long as one likes */

struct record {
	enum record_status status;
	uint32_t ttl_s;                      /* of all that is said; also of a "no" */
	size_t count;                        /* above 0 exactly when status is RECORD_OK */
	struct addr addrs[RECORD_ADDRS_MAX]; /* port 0, no two alike */
};

/*
 * Read what c-ares hands to an ares_callback for a query of one family.  Any bytes will
 * do.  RECORD_FAILED for what makes no sense.
 */
void record_read(struct record *r, sa_family_t family, int ares_status,
    const unsigned char *message, size_t len);

/* Add an address, unless it is there already or there are as many as may be.  Then it is OK. */
void record_add(struct record *r, const struct addr *addr, uint32_t ttl_s);

/*
 * What is to be told of a name when neither answer has an address:
 *
 *   IPv4 \ IPv6   NO_NAME   NO_DATA   FAILED    TIMEOUT
 *   NO_NAME       NO_NAME   NO_NAME   NO_NAME   NO_NAME
 *   NO_DATA       NO_NAME   NO_DATA   FAILED    TIMEOUT
 *   FAILED        FAILED    FAILED    FAILED    FAILED
 *   TIMEOUT       TIMEOUT   TIMEOUT   FAILED    TIMEOUT
 *
 * A name that does not exist has no address of any family (RFC 8020), but servers are
 * about that deny names when they are asked for IPv6 (RFC 4074 4.2): theirs does not
 * count against a question for IPv4 that is open.  NO_MEMORY goes before all.  With an
 * address in one of them: RECORD_OK.
 */
enum record_status record_outcome(const struct record *ipv4, const struct record *ipv6);

/* Milliseconds on the clock that TTLs are counted by: it goes on while the machine sleeps. */
int64_t record_now_ms(void);

#endif
