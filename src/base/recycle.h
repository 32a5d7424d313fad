/*
 * recycle -- malloc(3), with what was freed kept at hand by its thread.
 *
 * Requests make and free the same few dozen objects again and again.  glibc's own cache
 * (2.36) holds no more than seven of a size, none above 1032 bytes, and its calloc passes it
 * by.  Blocks are ordinary malloc blocks: they may be freed by any thread, and those of
 * realloc and malloc may be mixed with these.  With a sanitizer all is malloc, so that it
 * sees every use of what is gone.
 */
#ifndef BASE_RECYCLE_H
#define BASE_RECYCLE_H

#include <stddef.h>

#include "base/attr.h"

MUST_USE void *recycle_alloc(size_t size);
MUST_USE void *recycle_zero(size_t size); /* all bytes zero */
void recycle_free(void *block);           /* NULL is fine */

/* Give back what the calling thread keeps: before it ends. */
void recycle_flush(void);

/* And what malloc keeps, of all threads, to the kernel.  Takes milliseconds when it is much. */
void recycle_trim(void);

#endif
