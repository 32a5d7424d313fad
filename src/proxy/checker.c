#include "proxy/checker.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "http/basic.h"
#include "net/addr.h"
#include "net/deadline.h"
#include "policy/auth.h"
#include "policy/hash.h"
#include "policy/htpasswd.h"
#include "proxy/config.h"

/* Where a question is; changed under the lock. */
enum state {
	WAITING,  /* in the queue */
	CHECKING, /* a thread's */
	ANSWERED, /* on its desk */
	LEFT      /* a thread's, and nobody waits for it */
};

struct check {
	TAILQ_ENTRY(check) next; /* of the queue, or of the desk */
	struct checker_desk *desk;
	enum state state;
	struct config *config;
	struct addr client;
	struct basic basic;
	struct check_answer answer;
	check_done_fn *done;
	void *arg;
};

TAILQ_HEAD(checks, check);

struct checker_desk {
	struct checker *checker;
	struct checks answered;
	struct event news;
	int fd; /* an eventfd: something is answered */
};

struct checker {
	struct auth *auth;
	pthread_mutex_t lock; /* of all below, the desks' answers, and states */
	pthread_cond_t work;
	struct checks queue;
	size_t queued;
	pthread_t threads[CHECKER_THREADS];
	size_t thread_count;
	bool ending;
};

static void check_free(struct check *check)
{
	config_unref(check->config);
	basic_wipe(&check->basic);
	free(check);
}

/* ---- checking --------------------------------------------------------------------------- */

/* Whether it is settled without a look at the password. */
static bool check_is_settled(struct auth *auth, struct check *check, uint64_t now)
{
	const struct config *config = check->config;
	struct check_answer *answer = &check->answer;

	answer->verdict = CHECK_LIMITED;
	answer->wait_ns = auth_wait(auth, &check->client, config->auth.failures, now);
	if (answer->wait_ns > 0)
		return true;
	/* The same may have been asked, and answered, while this was waiting. */
	answer->verdict = CHECK_GOOD;
	answer->user = auth_recall(auth, config->auth.table, &check->basic, config->auth.keep, now);
	return answer->user != NULL;
}

static enum hash_verdict check_password(
    struct auth *auth, struct hash_bench *bench, struct check *check)
{
	bool decoy;
	const struct htpasswd_user *user =
	    auth_subject(auth, check->config->auth.table, &check->basic, &decoy);
	enum hash_verdict verdict;

	if (!bench)
		return HASH_NO_MEMORY;
	if (!user)
		return HASH_DIFFERS;
	verdict = hash_check(bench, user->hash, check->basic.password);
	check->answer.user = user;
	return decoy && verdict == HASH_FITS ? HASH_DIFFERS : verdict;
}

static void check_run(struct auth *auth, struct hash_bench *bench, struct check *check)
{
	const struct config *config = check->config;
	struct check_answer *answer = &check->answer;

	if (check_is_settled(auth, check, deadline_now_ns()))
		return;
	switch (check_password(auth, bench, check)) {
	case HASH_FITS:
		answer->verdict = CHECK_GOOD;
		if (config->auth.keep > 0)
			auth_remember(auth, answer->user, &check->basic, deadline_now_ns());
		break;
	case HASH_DIFFERS:
		answer->verdict = CHECK_BAD;
		auth_fail(auth, &check->client, config->auth.failures, deadline_now_ns());
		break;
	case HASH_NO_MEMORY:
		answer->verdict = CHECK_NO_MEMORY;
		break;
	}
}

/* ---- threads ---------------------------------------------------------------------------- */

/* The next question, now the thread's; NULL: it is to end.  Under the lock. */
static struct check *checker_next(struct checker *checker)
{
	struct check *check;

	while (!checker->ending && TAILQ_EMPTY(&checker->queue))
		pthread_cond_wait(&checker->work, &checker->lock);
	if (checker->ending)
		return NULL;
	check = TAILQ_FIRST(&checker->queue);
	TAILQ_REMOVE(&checker->queue, check, next);
	checker->queued--;
	check->state = CHECKING;
	return check;
}

/* To its desk.  False when nobody waits for it.  Under the lock. */
static bool check_deliver(struct check *check)
{
	const uint64_t one = 1;

	if (check->state == LEFT)
		return false;
	check->state = ANSWERED;
	TAILQ_INSERT_TAIL(&check->desk->answered, check, next);
	/* Fails only when there is news already, which is not read. */
	while (write(check->desk->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
	return true;
}

static void *checker_run(void *arg)
{
	struct checker *checker = arg;
	struct hash_bench *bench = hash_bench_new();
	struct check *check;
	bool delivered;

	pthread_setname_np(pthread_self(), "checker");
	pthread_mutex_lock(&checker->lock);
	while ((check = checker_next(checker)) != NULL) {
		pthread_mutex_unlock(&checker->lock);
		check_run(checker->auth, bench, check);
		pthread_mutex_lock(&checker->lock);
		delivered = check_deliver(check);
		if (delivered)
			continue;
		pthread_mutex_unlock(&checker->lock);
		check_free(check);
		pthread_mutex_lock(&checker->lock);
	}
	pthread_mutex_unlock(&checker->lock);
	hash_bench_free(bench);
	return NULL;
}

/* As many as there can be; false when there is none.  Signals stay the main thread's. */
static bool checker_staff(struct checker *checker)
{
	sigset_t all, old;

	if (checker->thread_count == CHECKER_THREADS)
		return true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (checker->thread_count < CHECKER_THREADS &&
	       pthread_create(
		   &checker->threads[checker->thread_count], NULL, checker_run, checker) == 0)
		checker->thread_count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return checker->thread_count > 0;
}

struct checker *checker_new(struct auth *auth)
{
	struct checker *checker = calloc(1, sizeof(*checker));

	if (!checker)
		return NULL;
	checker->auth = auth;
	pthread_mutex_init(&checker->lock, NULL);
	pthread_cond_init(&checker->work, NULL);
	TAILQ_INIT(&checker->queue);
	return checker;
}

void checker_free(struct checker *checker)
{
	if (!checker)
		return;
	pthread_mutex_lock(&checker->lock);
	checker->ending = true;
	pthread_cond_broadcast(&checker->work);
	pthread_mutex_unlock(&checker->lock);
	for (size_t i = 0; i < checker->thread_count; i++)
		pthread_join(checker->threads[i], NULL);
	pthread_cond_destroy(&checker->work);
	pthread_mutex_destroy(&checker->lock);
	free(checker);
}

/* ---- desks ------------------------------------------------------------------------------ */

static struct check *desk_take(struct checker_desk *desk)
{
	struct check *check;

	pthread_mutex_lock(&desk->checker->lock);
	check = TAILQ_FIRST(&desk->answered);
	if (check)
		TAILQ_REMOVE(&desk->answered, check, next);
	pthread_mutex_unlock(&desk->checker->lock);
	return check;
}

static void desk_on_news(evutil_socket_t fd, short what, void *arg)
{
	struct checker_desk *desk = arg;
	struct check *check;
	uint64_t count;

	(void)what;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		continue;
	while ((check = desk_take(desk)) != NULL) {
		struct check_answer answer = check->answer;
		check_done_fn *done = check->done;
		void *done_arg = check->arg;

		/* Whoever asked counts the configuration too, and so keeps the user. */
		check_free(check);
		done(&answer, done_arg);
	}
}

struct checker_desk *checker_desk_new(struct checker *checker, struct event_base *base)
{
	struct checker_desk *desk = calloc(1, sizeof(*desk));

	if (!desk)
		return NULL;
	desk->checker = checker;
	TAILQ_INIT(&desk->answered);
	desk->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (desk->fd < 0) {
		free(desk);
		return NULL;
	}
	event_assign(&desk->news, base, desk->fd, EV_READ | EV_PERSIST, desk_on_news, desk);
	if (event_add(&desk->news, NULL) != 0) {
		close(desk->fd);
		free(desk);
		return NULL;
	}
	return desk;
}

void checker_desk_free(struct checker_desk *desk)
{
	if (!desk)
		return;
	event_del(&desk->news);
	close(desk->fd);
	free(desk);
}

static bool same_client(const struct addr *one, const struct addr *other)
{
	struct addr_client a = addr_client(one), b = addr_client(other);

	return a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0;
}

/* Whether there is room for one more of this client.  Under the lock. */
static bool checker_has_room(const struct checker *checker, const struct addr *client)
{
	const struct check *check;
	size_t his = 0;

	if (checker->queued < CHECKER_CLIENT_MAX)
		return true;
	for (check = TAILQ_FIRST(&checker->queue); check; check = TAILQ_NEXT(check, next))
		his += same_client(&check->client, client);
	return checker->queued < CHECKER_QUEUE_MAX && his < CHECKER_CLIENT_MAX;
}

/* Into the queue, with somebody there to work on it. */
static bool checker_queue(struct checker *checker, struct check *check)
{
	bool taken;

	pthread_mutex_lock(&checker->lock);
	taken = checker_has_room(checker, &check->client) && checker_staff(checker);
	if (taken) {
		TAILQ_INSERT_TAIL(&checker->queue, check, next);
		checker->queued++;
		pthread_cond_signal(&checker->work);
	}
	pthread_mutex_unlock(&checker->lock);
	return taken;
}

struct check *check_start(struct checker_desk *desk, struct config *config,
    const struct addr *client, const struct basic *basic, check_done_fn *done, void *arg)
{
	struct check *check = calloc(1, sizeof(*check));

	if (!check)
		return NULL;
	check->desk = desk;
	check->config = config_ref(config);
	check->client = *client;
	check->basic = *basic;
	check->done = done;
	check->arg = arg;
	if (checker_queue(desk->checker, check))
		return check;
	check_free(check);
	return NULL;
}

void check_cancel(struct check *check)
{
	struct checker *checker = check->desk->checker;
	bool ours;

	pthread_mutex_lock(&checker->lock);
	ours = check->state != CHECKING;
	switch (check->state) {
	case WAITING:
		TAILQ_REMOVE(&checker->queue, check, next);
		checker->queued--;
		break;
	case CHECKING:
		check->state = LEFT;
		break;
	case ANSWERED:
		TAILQ_REMOVE(&check->desk->answered, check, next);
		break;
	case LEFT:
		break;
	}
	pthread_mutex_unlock(&checker->lock);
	if (ours)
		check_free(check);
}
