#include "proxy/loader.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/leisure.h"
#include "base/recycle.h"
#include "proxy/load.h"

int loader_init(struct loader *l)
{
	memset(l, 0, sizeof(*l));
	l->fd = eventfd(0, EFD_CLOEXEC);
	return l->fd < 0 ? -1 : 0;
}

static void *loader_run(void *arg)
{
	struct loader *l = arg;
	struct leisure leisure = {.stop = &l->stop};
	const struct load_help help = {.old = l->old, .leisure = &leisure};
	uint64_t one = 1;

	pthread_setname_np(pthread_self(), "loader");
	l->config = config_load_again(l->path, &help, &l->error);
	recycle_flush();
	while (write(l->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return NULL;
}

static void loader_join(struct loader *l)
{
	if (l->joinable)
		pthread_join(l->thread, NULL);
	l->joinable = false;
}

int loader_start(struct loader *l, const char *path, const struct config *old)
{
	sigset_t all, before;
	int error;

	loader_join(l);
	l->path = path;
	l->old = old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&l->thread, NULL, loader_run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	l->running = l->joinable = error == 0;
	errno = error;
	return error == 0 ? 0 : -1;
}

struct config *loader_take(struct loader *l, const char **ret_why)
{
	struct config *config;
	uint64_t count;

	/* The thread has stepped back: its very last steps may take it long, and are not waited
	 * for. */
	(void)!read(l->fd, &count, sizeof(count));
	l->running = false;
	config = l->config;
	l->config = NULL;
	*ret_why = l->error.message;
	return config;
}

void loader_done(struct loader *l)
{
	const char *why;

	if (l->running) {
		atomic_store_explicit(&l->stop, true, memory_order_relaxed);
		config_unref(loader_take(l, &why));
	}
	loader_join(l);
	if (l->fd >= 0)
		close(l->fd);
}
