/*
 * sandbox -- what the process can no longer do, whatever runs in it: seccomp(2) through libseccomp.
 *
 * The filter lets through what a proxy that has started needs, which is little more than
 * sockets, polling, memory, threads, and opening files.  Whoever makes another call, to run a
 * program, trace a process, mount, load, become another user or open a raw socket, ends with
 * the whole process, by SIGSYS.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stdbool.h>

#include "base/attr.h"

/* Whether there is a filter in this build; sanitizers make calls of their own and have none. */
bool sandbox_is_built(void);

/*
 * No new privileges, for good: set-user-ID programs and file capabilities give none.
 * Returns 0, or -1 with errno.
 */
MUST_USE int sandbox_keep_privileges(void);

/*
 * Put the filter on this thread and those it starts.  Before there are any.
 * Returns 0, or -1 with errno; ENOSYS: not built, or the kernel has no seccomp.
 */
MUST_USE int sandbox_enter(void);

#endif
