#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proxy/places.h"

static struct listen entry(const char *name)
{
	struct listen listen = {.addr = {.family = AF_INET}};

	listen.addr.ip.v4.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(listen.name, name, strlen(name) + 1);
	return listen;
}

static void match(struct places *places, const struct listen *list, size_t count)
{
	const struct addr *failed;

	assert_int_equal(places_match(places, list, count, &failed), 0);
}

static void open_all(struct places *places)
{
	struct place *place;

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all))
		if (place->listed)
			place_open(place);
}

static size_t rename_all(struct places *places)
{
	struct place *place;
	size_t renamed = 0;

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all))
		renamed += place_rename(place);
	return renamed;
}

/* Several at port 0 are told apart by their order. */
static void test_names_stay_with_their_sockets(void **state)
{
	struct listen list[] = {entry("a"), entry("b"), entry("c")};
	struct places places = {.workers = 2};
	struct place *place;
	uint16_t ports[3];
	size_t i = 0;

	(void)state;
	match(&places, list, 3);
	open_all(&places);
	for (place = LIST_FIRST(&places.all); place; place = LIST_NEXT(place, all)) {
		assert_string_equal(place->as.name, list[i].name);
		ports[i++] = place->at.port;
	}
	for (int round = 0; round < 3; round++) {
		match(&places, list, 3);
		assert_int_equal(rename_all(&places), 0);
	}
	memcpy(list[1].name, "x", 2);
	list[2].source.v4 = (struct network){.base = {.family = AF_INET}, .bits = 8};
	match(&places, list, 3);
	assert_string_equal(LIST_NEXT(LIST_FIRST(&places.all), all)->as.name, "b");
	assert_int_equal(rename_all(&places), 2);
	i = 0;
	for (place = LIST_FIRST(&places.all); place; place = LIST_NEXT(place, all)) {
		assert_string_equal(place->as.name, list[i].name);
		assert_int_equal(place->at.port, ports[i++]);
	}
	assert_int_equal(i, 3);
	places_done(&places);
}

static void test_a_list_that_fails_changes_no_name(void **state)
{
	struct listen list[] = {entry("a"), entry("b")};
	struct places places = {.workers = 1};
	const struct addr *failed;

	(void)state;
	match(&places, list, 1);
	open_all(&places);
	memcpy(list[0].name, "x", 2);
	list[1].addr.ip.v4.s_addr = htonl(0xc0000201); /* not of this machine */
	assert_int_equal(places_match(&places, list, 2, &failed), -1);
	assert_ptr_equal(failed, &list[1].addr);
	assert_int_equal(rename_all(&places), 0);
	assert_string_equal(LIST_FIRST(&places.all)->as.name, "a");
	assert_null(LIST_NEXT(LIST_FIRST(&places.all), all));
	places_done(&places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names_stay_with_their_sockets),
	    cmocka_unit_test(test_a_list_that_fails_changes_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
