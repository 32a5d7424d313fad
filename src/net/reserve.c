#include "net/reserve.h"

#include <sys/resource.h>
#include <unistd.h>

enum { RESERVE_SHARE = 4, RESERVE_MOST = 1024 };

bool reserve_is_reached(void)
{
	struct rlimit limit;
	rlim_t reserve;
	int lowest;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return false;
	reserve = limit.rlim_cur / RESERVE_SHARE;
	if (reserve > RESERVE_MOST)
		reserve = RESERVE_MOST;
	/* The kernel gives out the lowest that is free: all below it are taken. */
	lowest = dup(STDERR_FILENO);
	if (lowest < 0)
		return true;
	close(lowest);
	return (rlim_t)lowest >= limit.rlim_cur - reserve;
}
