#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>

#include "net/deadline.h"

static void count(void *arg)
{
	int *fired = arg;

	(*fired)++;
}

/* How often one fires on the next turns of the loop, after what `act` has done with it. */
static int fires(void (*act)(struct deadline *d))
{
	struct event_base *base = event_base_new();
	struct deadline d;
	int fired = 0;

	deadline_init(&d, base, count, &fired);
	act(&d);
	for (int turn = 0; turn < 3; turn++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	deadline_done(&d);
	event_base_free(base);
	return fired;
}

static void soon(struct deadline *d)
{
	deadline_soon(d);
}

static void soon_twice(struct deadline *d)
{
	deadline_soon(d);
	deadline_soon(d);
}

static void soon_instead_of_later(struct deadline *d)
{
	deadline_set(d, 3600);
	deadline_soon(d);
}

static void later(struct deadline *d)
{
	deadline_set(d, 3600);
}

static void later_instead_of_soon(struct deadline *d)
{
	deadline_soon(d);
	deadline_set(d, 3600);
}

static void later_instead_of_soon_while_armed(struct deadline *d)
{
	deadline_set(d, 3600);
	deadline_soon(d);
	deadline_set(d, 3600);
}

static void stopped(struct deadline *d)
{
	deadline_soon(d);
	deadline_stop(d);
}

static void done(struct deadline *d)
{
	deadline_soon(d);
	deadline_done(d);
}

static void the_last_word_counts(void **state)
{
	(void)state;
	assert_int_equal(fires(soon), 1);
	assert_int_equal(fires(soon_twice), 1);
	assert_int_equal(fires(soon_instead_of_later), 1);
	assert_int_equal(fires(later), 0);
	assert_int_equal(fires(later_instead_of_soon), 0);
	assert_int_equal(fires(later_instead_of_soon_while_armed), 0);
	assert_int_equal(fires(stopped), 0);
	assert_int_equal(fires(done), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_word_counts)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
