/*
 * What a name server may answer, one byte in front of it that says what c-ares thinks of it: what
 * is read of it keeps what record.h promises.
 */
#include <ares.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "net/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {ARES_SUCCESS, ARES_ENODATA, ARES_ENOTFOUND};
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	unsigned char *message;
	struct record r;

	if (size == 0)
		return 0;
	message = malloc(size > 1 ? size - 1 : 1); /* of exactly its size */
	check(message != NULL);
	memcpy(message, data + 1, size - 1);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		record_read(&r, families[i], statuses[data[0] % 3], message, size - 1);
		check((r.count > 0) == (r.status == RECORD_OK) && r.count <= RECORD_ADDRS_MAX);
		check(r.status <= RECORD_NO_MEMORY);
		check(r.ttl_s <= INT32_MAX || r.ttl_s == RECORD_TTL_NONE);
		for (size_t k = 0; k < r.count; k++)
			check(r.addrs[k].family == families[i] && r.addrs[k].port == 0);
	}
	free(message);
	return 0;
}
