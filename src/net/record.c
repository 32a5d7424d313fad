#include "net/record.h"

#include <ares.h>
#include <string.h>
#include <time.h>

#include "base/attr.h"

#define ANSWERS_MAX 64 /* looked at, of which RECORD_ADDRS_MAX are kept */
#define HEADER_SIZE 12
#define IS_ANSWER 0x80  /* in its third byte */
#define QUESTION_SIZE 4 /* behind its name: type, class */
#define FIXED_SIZE 10   /* behind the name of a record: type, class, TTL, length */
#define SOA_SIZE_MIN 22 /* two empty names and five numbers */

enum { CLASS_IN = 1, TYPE_SOA = 6 };

/* A message, and how far it is read. */
struct reader {
	const unsigned char *bytes;
	size_t len, at;
};

static uint32_t number(const unsigned char *at, size_t len)
{
	uint32_t n = 0;

	while (len-- > 0)
		n = n << 8 | *at++;
	return n;
}

/* RFC 2181 8: a TTL with the highest bit set means zero. */
static uint32_t ttl_of(uint32_t ttl)
{
	return ttl > INT32_MAX ? 0 : ttl;
}

/* Past n bytes; false when there are not so many. */
static bool skip(struct reader *r, size_t n)
{
	if (r->len - r->at < n)
		return false;
	r->at += n;
	return true;
}

static bool skip_name(struct reader *r)
{
	unsigned char label;

	while (r->at < r->len) {
		label = r->bytes[r->at];
		if ((label & 0xc0) == 0xc0)
			return skip(r, 2); /* the rest stands elsewhere */
		if ((label & 0xc0) != 0 || !skip(r, label + 1U))
			return false;
		if (label == 0)
			return true;
	}
	return false;
}

/*
 * How long the "no" holds: RFC 2308 5, the lesser of the TTL and the last number of the
 * SOA record behind the answers.
 */
static uint32_t negative_ttl(const unsigned char *message, size_t len)
{
	struct reader r = {message, len, HEADER_SIZE};
	uint32_t answers, before;

	if (len < HEADER_SIZE)
		return RECORD_TTL_NONE;
	for (uint32_t n = number(message + 4, 2); n > 0; n--)
		if (!skip_name(&r) || !skip(&r, QUESTION_SIZE))
			return RECORD_TTL_NONE;
	before = number(message + 6, 2);
	answers = before + number(message + 8, 2);
	for (uint32_t i = 0; i < answers; i++) {
		const unsigned char *fixed;
		uint32_t size, ttl, minimum;

		if (!skip_name(&r) || !skip(&r, FIXED_SIZE))
			break;
		fixed = message + r.at - FIXED_SIZE;
		size = number(fixed + 8, 2);
		if (!skip(&r, size))
			break;
		if (i < before || number(fixed, 2) != TYPE_SOA ||
		    number(fixed + 2, 2) != CLASS_IN || size < SOA_SIZE_MIN)
			continue;
		ttl = ttl_of(number(fixed + 4, 4));
		minimum = ttl_of(number(message + r.at - 4, 4));
		return ttl < minimum ? ttl : minimum;
	}
	return RECORD_TTL_NONE;
}

static enum record_status status_of(int ares_status)
{
	switch (ares_status) {
	case ARES_SUCCESS:
		return RECORD_OK;
	case ARES_ENOTFOUND:
		return RECORD_NO_NAME;
	case ARES_ENODATA:
		return RECORD_NO_DATA;
	case ARES_ETIMEOUT:
		return RECORD_TIMEOUT;
	case ARES_ENOMEM:
		return RECORD_NO_MEMORY;
	default:
		/* SERVFAIL, REFUSED and NOTIMP of all servers come as ARES_ECONNREFUSED. */
		return RECORD_FAILED;
	}
}

void record_add(struct record *r, const struct addr *addr, uint32_t ttl_s)
{
	for (size_t i = 0; i < r->count; i++)
		if (addr_equal(&r->addrs[i], addr))
			return;
	if (r->count == RECORD_ADDRS_MAX)
		return;
	r->status = RECORD_OK;
	r->addrs[r->count++] = *addr;
	if (ttl_s < r->ttl_s)
		r->ttl_s = ttl_s;
}

/* c-ares has made each TTL no longer than those of the aliases on the way. */
static int read_ipv4(struct record *r, const unsigned char *message, int len)
{
	struct ares_addrttl found[ANSWERS_MAX];
	int count = ARRAY_LEN(found);
	int status = ares_parse_a_reply(message, len, NULL, found, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
		struct addr a = {.family = AF_INET, .ip.v4 = found[i].ipaddr};

		record_add(r, &a, ttl_of((uint32_t)found[i].ttl));
	}
	return status;
}

static int read_ipv6(struct record *r, const unsigned char *message, int len)
{
	struct ares_addr6ttl found[ANSWERS_MAX];
	int count = ARRAY_LEN(found);
	int status = ares_parse_aaaa_reply(message, len, NULL, found, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
		struct addr a = {.family = AF_INET6};

		memcpy(&a.ip.v6, &found[i].ip6addr, sizeof(a.ip.v6));
		record_add(r, &a, ttl_of((uint32_t)found[i].ttl));
	}
	return status;
}

void record_read(
    struct record *r, sa_family_t family, int ares_status, const unsigned char *message, size_t len)
{
	*r = (struct record){.ttl_s = RECORD_TTL_NONE};
	/* c-ares 1.18 takes the question itself, sent back, for an answer. */
	if (message && len >= HEADER_SIZE && !(message[2] & IS_ANSWER))
		ares_status = ARES_EBADRESP;
	/* An answer over TCP has 65535 bytes at the most. */
	if (ares_status == ARES_SUCCESS && (!message || len > UINT16_MAX))
		ares_status = ARES_EBADRESP;
	if (ares_status == ARES_SUCCESS)
		ares_status = family == AF_INET ? read_ipv4(r, message, (int)len)
						: read_ipv6(r, message, (int)len);
	r->status = status_of(ares_status);
	if (r->status == RECORD_OK && r->count == 0)
		r->status = RECORD_NO_DATA; /* aliases that lead to none */
	if (message && (r->status == RECORD_NO_NAME || r->status == RECORD_NO_DATA))
		r->ttl_s = negative_ttl(message, len);
}

static bool says_no(const struct record *r)
{
	return r->status == RECORD_NO_NAME || r->status == RECORD_NO_DATA;
}

enum record_status record_outcome(const struct record *ipv4, const struct record *ipv6)
{
	if (ipv4->status == RECORD_OK || ipv6->status == RECORD_OK)
		return RECORD_OK;
	if (ipv4->status == RECORD_NO_MEMORY || ipv6->status == RECORD_NO_MEMORY)
		return RECORD_NO_MEMORY;
	if (ipv4->status == RECORD_NO_NAME)
		return RECORD_NO_NAME;
	if (says_no(ipv4))
		return ipv6->status;
	if (says_no(ipv6))
		return ipv4->status;
	return ipv4->status == ipv6->status ? ipv4->status : RECORD_FAILED;
}

int64_t record_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
