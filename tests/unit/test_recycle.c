#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/recycle.h"

enum { BLOCKS = 500, SIZES = 5000 };

/* Every size, from both sides of the shelves: nobody else writes to a block that is in use. */
static void blocks_are_as_large_as_asked_for(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t size = 0; size < SIZES; size++) {
			unsigned char *a = recycle_alloc(size), *b = recycle_zero(size);

			assert_non_null(a);
			assert_non_null(b);
			memset(a, 0xa5, size);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(b[i], 0);
			recycle_free(b);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(a[i], 0xa5);
			recycle_free(a);
		}
		if (round == 1)
			recycle_trim();
	}
}

/* Tiny ones are made many at a time, and are all different. */
static void tiny_blocks_do_not_overlap(void **state)
{
	static const size_t sizes[] = {0, 1, 8, 9, 23, 24, 25};
	unsigned char *blocks[BLOCKS];

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (int i = 0; i < BLOCKS; i++) {
			blocks[i] = recycle_alloc(sizes[s]);
			assert_non_null(blocks[i]);
			memset(blocks[i], i & 0xff, sizes[s]);
		}
		for (int i = 0; i < BLOCKS; i++) {
			for (size_t at = 0; at < sizes[s]; at++)
				assert_int_equal(blocks[i][at], i & 0xff);
			recycle_free(blocks[i]);
		}
	}
	recycle_free(NULL);
	recycle_flush();
}

/* They are malloc's own. */
static void may_be_mixed_with_malloc(void **state)
{
	char *from_malloc = malloc(100), *from_recycle = recycle_alloc(100);

	(void)state;
	assert_non_null(from_malloc);
	assert_non_null(from_recycle);
	from_recycle = realloc(from_recycle, 1000);
	assert_non_null(from_recycle);
	recycle_free(from_malloc);
	free(from_recycle);
	recycle_flush();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blocks_are_as_large_as_asked_for),
	    cmocka_unit_test(tiny_blocks_do_not_overlap),
	    cmocka_unit_test(may_be_mixed_with_malloc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
