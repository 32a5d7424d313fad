#include "base/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/sd.h"

/* Status lines are cut behind this. */
#define SUPERVISOR_MESSAGE_MAX 512

int supervisor_take_sockets(struct supervisor_sockets *ret_sockets)
{
	char **names = NULL;
	int count = sd_get()->listen_fds_with_names(1, &names);

	if (count < 0) {
		errno = -count;
		return -1;
	}
	*ret_sockets = (struct supervisor_sockets){SD_LISTEN_FDS_START, (size_t)count, names};
	return 0;
}

void supervisor_sockets_done(struct supervisor_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		free(sockets->names[i]);
	free(sockets->names);
	*sockets = (struct supervisor_sockets){0};
}

bool supervisor_is_there(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

uint64_t supervisor_watchdog_us(void)
{
	uint64_t us = 0;

	return sd_get()->watchdog_enabled(0, &us) > 0 ? us : 0;
}

/* Type=notify-reload compares the time with that of its signal. */
static size_t format_reloading(char *out, size_t size)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (size_t)snprintf(out, size, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
	    (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

int supervisor_tell(enum supervisor_news news, const char *status)
{
	static const char *const words[] = {[SUPERVISOR_STATUS] = "",
	    [SUPERVISOR_READY] = "READY=1\n",
	    [SUPERVISOR_STOPPING] = "STOPPING=1\n",
	    [SUPERVISOR_ALIVE] = "WATCHDOG=1\n"};
	char message[SUPERVISOR_MESSAGE_MAX];
	size_t len;
	int sent;

	if (news == SUPERVISOR_RELOADING)
		len = format_reloading(message, sizeof(message));
	else
		len = (size_t)snprintf(message, sizeof(message), "%s", words[news]);
	if (status != NULL)
		snprintf(message + len, sizeof(message) - len, "STATUS=%s\n", status);
	sent = sd_get()->notify(0, message);
	if (sent >= 0)
		return 0;
	errno = -sent;
	return -1;
}
