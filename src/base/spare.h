/*
 * spare -- memory for libevent, put by for when there is none.
 *
 * evhttp does not survive every malloc that fails (2.1.12: evhttp_request_new and
 * evhttp_connection_base_bufferevent_new free what they have not made yet).  So its small
 * objects come out of what each thread has put by, when malloc fails; and a thread that has not all
 * of that takes on no new work, which needs many.
 */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/* As recycle_alloc and recycle_free, which it may be mixed with. */
MUST_USE void *spare_alloc(size_t size);

/* Put by what is missing.  Returns whether all is there: before new work is taken on. */
MUST_USE bool spare_refill(void);

/* Give back what the calling thread has put by: before it ends. */
void spare_flush(void);

#endif
