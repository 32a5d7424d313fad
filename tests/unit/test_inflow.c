#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <event2/buffer.h>

#include "proxy/inflow.h"

#define GET "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_LEN (sizeof(GET) - 1)

static const struct head_limits limits = {.line = 1024, .size = 2048, .fields = 20};

/* What came first, and what came then, if anything. */
struct row {
	const char *first, *then;
	enum head_progress progress; /* of the last look */
	enum fail fail;
	const char *waits;
	bool to_head;
};

static const struct row rows[] = {
    {GET, NULL, HEAD_COMPLETE, FAIL_NONE, NULL, false},
    {"\r\n" GET, NULL, HEAD_COMPLETE, FAIL_NONE, NULL, false},
    {GET "body", NULL, HEAD_COMPLETE, FAIL_NONE, "body", false},
    {"G", NULL, HEAD_MORE, FAIL_NONE, "G", false},
    {"GET http:", "//a/ HTTP/1.1\r\nHost: a\r\n\r\n" GET, HEAD_COMPLETE, FAIL_NONE, GET, false},
    {"HEAD http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", NULL, HEAD_COMPLETE, FAIL_NONE, NULL, true},
    {"\r\nHEAD http://a/ HTTP/1.1\r\n\r\n", NULL, HEAD_BAD, FAIL_BAD_REQUEST, NULL, true},
    {"HEADS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", NULL, HEAD_COMPLETE, FAIL_NONE, NULL, false},
    {"GET http://a/ HTTP/2.5\r\nHost: a\r\n\r\n", NULL, HEAD_BAD, FAIL_BAD_VERSION, NULL, false},
    {"GET \n", NULL, HEAD_BAD, FAIL_BAD_REQUEST, NULL, false},
    {"GET ", "\n", HEAD_BAD, FAIL_BAD_REQUEST, "GET \n", false},
};

static enum head_progress look(
    struct inflow *flow, const struct row *row, struct head_error *ret_error)
{
	enum head_progress progress =
	    inflow_take(flow, (struct slice){row->first, strlen(row->first)}, &limits, ret_error);

	if (!row->then)
		return progress;
	assert_int_equal(progress, HEAD_MORE);
	assert_int_equal(evbuffer_add(inflow_input(flow), row->then, strlen(row->then)), 0);
	return inflow_look(flow, &limits, ret_error);
}

static void assert_waits(struct inflow *flow, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	assert_int_equal(inflow_waits(flow), len > 0);
	if (len == 0)
		return;
	assert_int_equal(evbuffer_get_length(inflow_input(flow)), len);
	assert_memory_equal(evbuffer_pullup(inflow_input(flow), -1), text, len);
}

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct inflow flow = {.input = NULL};
		struct head_error error = {FAIL_NONE, NULL};

		print_message("%s|%s\n", row->first, row->then ? row->then : "");
		assert_int_equal(look(&flow, row, &error), row->progress);
		assert_int_equal(error.fail, row->fail);
		assert_int_equal(inflow_is_to_head(&flow), row->to_head);
		assert_waits(&flow, row->waits);
		inflow_drop_head(&flow);
		inflow_drop_input(&flow);
	}
}

/* Three requests in one piece, and then none: the buffer goes when it is empty. */
static void test_pipelined(void **state)
{
	struct inflow flow = {.input = NULL};
	struct head_error error;

	(void)state;
	assert_int_equal(inflow_take(&flow, SLICE(GET GET GET), &limits, &error), HEAD_COMPLETE);
	for (size_t left = 2; left > 0; left--) {
		assert_true(slice_is(inflow_head(&flow)->method, "GET"));
		inflow_drop_head(&flow);
		inflow_next(&flow);
		assert_int_equal(evbuffer_get_length(flow.input), left * GET_LEN);
		assert_int_equal(inflow_look(&flow, &limits, &error), HEAD_COMPLETE);
	}
	inflow_drop_head(&flow);
	inflow_next(&flow);
	assert_null(flow.input);
	assert_int_equal(flow.scan.pos, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_heads),
	    cmocka_unit_test(test_pipelined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
