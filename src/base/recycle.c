#include "base/recycle.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RECYCLE_NOTHING
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RECYCLE_NOTHING
#endif

enum {
	STEP = 16, /* of the sizes that malloc gives */
	SHELVES = 4096 / STEP,
	SHELF_MAX = 32 * 1024, /* bytes kept of one size */
	TINY = 1,              /* the shelf of what malloc gives least of */
	TINY_AT_ONCE = 128     /* a page of them */
};

/* The blocks of one size; the first word of each leads to the next. */
struct shelf {
	void *first;
	size_t bytes;
};

#ifdef RECYCLE_NOTHING

void *recycle_alloc(size_t size)
{
	return malloc(size);
}

void recycle_free(void *block)
{
	free(block);
}

void recycle_flush(void)
{
}

#else

static _Thread_local struct shelf shelves[SHELVES];

/* malloc's blocks are a word short of a multiple of 16: 24, 40, 56.  The first fits size. */
static size_t shelf_for(size_t size)
{
	return (size + STEP - 1 - sizeof(void *)) / STEP;
}

static void shelf_put(size_t at, void *block)
{
	memcpy(block, &shelves[at].first, sizeof(void *));
	shelves[at].first = block;
	shelves[at].bytes += at * STEP;
}

/*
 * What is tiny may stay longest: libevent 2.1.12 keeps some 20 bytes for ever for each
 * descriptor there ever was.  Strewn among what comes and goes they would hold a page each.
 */
COLD static void *recycle_make(size_t at, size_t size)
{
	for (int i = 0; at == TINY && i < TINY_AT_ONCE; i++) {
		void *block = malloc(TINY * STEP + sizeof(void *));

		if (!block)
			break;
		shelf_put(TINY, block);
	}
	return malloc(size);
}

void *recycle_alloc(size_t size)
{
	size_t at = shelf_for(size > sizeof(void *) ? size : sizeof(void *) + 1);
	void *block = at < SHELVES ? shelves[at].first : NULL;

	if (!block)
		return recycle_make(at, size);
	memcpy(&shelves[at].first, block, sizeof(void *));
	shelves[at].bytes -= at * STEP;
	return block;
}

void recycle_free(void *block)
{
	/* What malloc really gave.  A block that is larger than its shelf says is no harm. */
	size_t at = block ? malloc_usable_size(block) / STEP : SHELVES;

	if (at >= SHELVES || shelves[at].bytes >= SHELF_MAX) {
		free(block);
		return;
	}
	shelf_put(at, block);
}

void recycle_flush(void)
{
	for (size_t at = 0; at < SHELVES; at++) {
		while (shelves[at].first) {
			void *block = shelves[at].first;

			memcpy(&shelves[at].first, block, sizeof(void *));
			free(block);
		}
		shelves[at].bytes = 0;
	}
}

#endif

void recycle_trim(void)
{
	recycle_flush();
	malloc_trim(0);
}

void *recycle_zero(size_t size)
{
	void *block = recycle_alloc(size);

	return block ? memset(block, 0, size) : NULL;
}
