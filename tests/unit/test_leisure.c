#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "base/leisure.h"

#define PAUSES 20
#define STEPS (1 << 21) /* some 20 ms */

static atomic_bool over;

static void *be_busy(void *arg)
{
	(void)arg;
	while (!atomic_load(&over))
		;
	return NULL;
}

/* How often the thread has waited of its own accord. */
static long pauses(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

/* In a thread of its own, as it never comes back to the front. */
static void *work_beside_nobody(void *arg)
{
	const char **ret_wrong = arg;
	struct leisure leisure = {0};
	long before = pauses();
	int steps, where = getpriority(PRIO_PROCESS, 0);

	for (steps = 0; steps < STEPS && leisure_step(&leisure); steps++)
		;
	if (steps < STEPS)
		*ret_wrong = "it ended";
	if (pauses() - before >= PAUSES)
		*ret_wrong = "it paused for nobody";
	if (getpriority(PRIO_PROCESS, 0) <= where && where < PRIO_MAX - 1)
		*ret_wrong = "it did not step back";
	return NULL;
}

static void *work_beside_another(void *arg)
{
	const char **ret_wrong = arg;
	struct leisure leisure = {0};
	long before = pauses();

	while (pauses() - before < PAUSES) {
		if (!leisure_step(&leisure))
			*ret_wrong = "it ended";
	}
	return NULL;
}

static void run(void *(*work)(void *))
{
	pthread_t thread;
	const char *wrong = NULL;

	assert_int_equal(pthread_create(&thread, NULL, work, &wrong), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (wrong != NULL)
		fail_msg("%s", wrong);
}

static void test_pauses_while_others_run(void **state)
{
	pthread_t busy;

	(void)state;
	run(work_beside_nobody);
	assert_int_equal(pthread_create(&busy, NULL, be_busy, NULL), 0);
	run(work_beside_another); /* or it would not end */
	atomic_store(&over, true);
	assert_int_equal(pthread_join(busy, NULL), 0);
}

static void test_stops(void **state)
{
	atomic_bool stop = true;
	struct leisure leisure = {.stop = &stop};
	int steps = 0, where = getpriority(PRIO_PROCESS, 0);

	(void)state;
	while (leisure_step(&leisure))
		steps++;
	assert_in_range(steps, 0, 1000);
	assert_false(leisure_stride(&leisure));
	assert_true(leisure_step(NULL));
	assert_true(leisure_stride(NULL));
	/* Stopped before it began: the thread is where it was. */
	assert_int_equal(getpriority(PRIO_PROCESS, 0), where);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stops),
	    cmocka_unit_test(test_pauses_while_others_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
