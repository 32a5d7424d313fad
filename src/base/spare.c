#include "base/spare.h"

#include <stdlib.h>

#include "base/recycle.h"

/* Larger than every object of evhttp; a connection with its first request has a dozen. */
enum { SPARE_SIZE = 1024, SPARE_BLOCKS = 48 };

static _Thread_local struct {
	void *blocks[SPARE_BLOCKS];
	size_t count;
} spare;

void *spare_alloc(size_t size)
{
	void *block = recycle_alloc(size);

	if (block || size > SPARE_SIZE || spare.count == 0)
		return block;
	return spare.blocks[--spare.count];
}

bool spare_refill(void)
{
	while (spare.count < SPARE_BLOCKS) {
		void *block = malloc(SPARE_SIZE);

		if (!block)
			return false;
		spare.blocks[spare.count++] = block;
	}
	return true;
}

void spare_flush(void)
{
	while (spare.count > 0)
		free(spare.blocks[--spare.count]);
}
