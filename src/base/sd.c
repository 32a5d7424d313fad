#include "base/sd.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A decimal number from 1 to max.  0, or -EINVAL. */
static int parse_number(const char *text, unsigned long long max, unsigned long long *ret_number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return errno != 0 || *end != '\0' || *ret_number < 1 || *ret_number > max ? -EINVAL : 0;
}

/* Whether the variable names this process: 1 or 0, or -EINVAL when it is no number. */
static int names_us(const char *variable)
{
	const char *text = getenv(variable);
	unsigned long long pid;

	if (text == NULL)
		return 0;
	if (parse_number(text, INT_MAX, &pid) < 0)
		return -EINVAL;
	return pid == (unsigned long long)getpid();
}

/* ---- telling ---- */

static int send_to(const char *path, const char *state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd, result;

	if ((path[0] != '/' && path[0] != '@') || len < 2)
		return -EAFNOSUPPORT;
	if (len >= sizeof(to.sun_path))
		return -E2BIG;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@') /* Linux's names that are no files */
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	result = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0
		     ? -errno
		     : 1;
	close(fd);
	return result;
}

static int own_notify(int unset_environment, const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int result = path == NULL ? 0 : send_to(path, state);

	if (unset_environment)
		unsetenv("NOTIFY_SOCKET");
	return result;
}

static int own_watchdog_enabled(int unset_environment, uint64_t *usec)
{
	const char *text = getenv("WATCHDOG_USEC");
	unsigned long long number = 0;
	int result = 0;

	if (text != NULL && parse_number(text, UINT64_MAX - 1, &number) < 0)
		result = -EINVAL;
	else if (text != NULL)
		result = getenv("WATCHDOG_PID") == NULL ? 1 : names_us("WATCHDOG_PID");
	if (result > 0)
		*usec = number;
	if (unset_environment) {
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
	}
	return result;
}

/* ---- being handed sockets ---- */

static void free_names(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}

/* count names from "one:two", or "unknown" for each when there is no text. */
static int split_names(const char *text, size_t count, char ***ret_names)
{
	char **names = calloc(count + 1, sizeof(*names));
	int result = names == NULL ? -ENOMEM : 0;

	for (size_t i = 0; i < count && result == 0; i++) {
		size_t len = text == NULL ? 0 : strcspn(text, ":");
		bool last = text == NULL || text[len] == '\0';

		names[i] = text == NULL ? strdup("unknown") : strndup(text, len);
		if (names[i] == NULL)
			result = -ENOMEM;
		else if (text != NULL && last != (i + 1 == count))
			result = -EINVAL;
		else if (text != NULL)
			text += len + !last;
	}
	if (result == 0)
		*ret_names = names;
	else
		free_names(names);
	return result;
}

static int listen_fds(char ***ret_names)
{
	const char *text = getenv("LISTEN_FDS");
	unsigned long long count;
	int ours = names_us("LISTEN_PID");

	if (ours <= 0 || text == NULL)
		return ours < 0 ? ours : 0;
	if (parse_number(text, INT_MAX - SD_LISTEN_FDS_START, &count) < 0)
		return -EINVAL;
	for (int i = 0; i < (int)count; i++) {
		int flags = fcntl(SD_LISTEN_FDS_START + i, F_GETFD);

		if (flags < 0 || fcntl(SD_LISTEN_FDS_START + i, F_SETFD, flags | FD_CLOEXEC) < 0)
			return -errno;
	}
	if (ret_names != NULL) {
		int result = split_names(getenv("LISTEN_FDNAMES"), (size_t)count, ret_names);

		if (result < 0)
			return result;
	}
	return (int)count;
}

static int own_listen_fds_with_names(int unset_environment, char ***names)
{
	int result = listen_fds(names);

	if (unset_environment) {
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		unsetenv("LISTEN_FDNAMES");
	}
	return result;
}

/* ---- whose ---- */

static const struct sd own = {.notify = own_notify,
    .watchdog_enabled = own_watchdog_enabled,
    .listen_fds_with_names = own_listen_fds_with_names};

#ifdef WITHOUT_LIBSYSTEMD

const struct sd *sd_get(void)
{
	return &own;
}

#else

/* ISO C has no cast from dlsym's pointer to one of a function. */
static bool sd_find(void *library, const char *name, void *ret_function, size_t size)
{
	void *found = dlsym(library, name);

	memcpy(ret_function, &found, size);
	return found != NULL;
}

static bool sd_load(struct sd *ret_sd)
{
	void *library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);

	return library != NULL &&
	       sd_find(library, "sd_notify", &ret_sd->notify, sizeof(ret_sd->notify)) &&
	       sd_find(library, "sd_watchdog_enabled", &ret_sd->watchdog_enabled,
		   sizeof(ret_sd->watchdog_enabled)) &&
	       sd_find(library, "sd_listen_fds_with_names", &ret_sd->listen_fds_with_names,
		   sizeof(ret_sd->listen_fds_with_names));
}

/* Nobody is there to be told anything: then it is not worth a megabyte of libraries. */
static bool sd_is_wanted(void)
{
	return getenv("NOTIFY_SOCKET") != NULL || getenv("LISTEN_PID") != NULL ||
	       getenv("WATCHDOG_USEC") != NULL;
}

const struct sd *sd_get(void)
{
	static struct sd loaded;
	static const struct sd *chosen;

	if (chosen == NULL)
		chosen = sd_is_wanted() && sd_load(&loaded) ? &loaded : &own;
	return chosen;
}

#endif
