#include "proxy/inflow.h"

#include <event2/buffer.h>
#include <string.h>

#include "base/recycle.h"

struct inflow_head {
	struct head head;
	char text[]; /* what was skipped in front of it included */
};

void inflow_drop_input(struct inflow *flow)
{
	if (flow->input)
		evbuffer_free(flow->input);
	flow->input = NULL;
}

void inflow_drop_head(struct inflow *flow)
{
	if (flow->head)
		head_done(&flow->head->head);
	recycle_free(flow->head);
	flow->head = NULL;
}

static enum head_progress inflow_fail(enum fail fail, const char *why, struct head_error *ret_error)
{
	*ret_error = (struct head_error){fail, why};
	return HEAD_BAD;
}

/* -1 when out of memory. */
static int inflow_copy_head(struct inflow *flow, const char *bytes, size_t len)
{
	flow->head = recycle_alloc(sizeof(*flow->head) + len);
	if (!flow->head)
		return -1;
	flow->head->head = (struct head){.fields = NULL};
	memcpy(flow->head->text, bytes, len);
	return 0;
}

/* Look for a head's end in what is there of it, and copy the head. */
static enum head_progress inflow_scan(struct inflow *flow, struct slice bytes,
    const struct head_limits *limits, size_t *ret_head_len, struct head_error *ret_error)
{
	struct head_source source = {.request = true, .data = bytes.ptr, .len = bytes.len};
	enum head_progress progress =
	    head_scan(&flow->scan, &source, limits, ret_head_len, ret_error);

	if (progress == HEAD_COMPLETE && inflow_copy_head(flow, bytes.ptr, *ret_head_len) != 0)
		return inflow_fail(FAIL_NO_MEMORY, NULL, ret_error);
	return progress;
}

/* The whole head is there. */
static enum head_progress inflow_parse(
    struct inflow *flow, size_t len, struct head_error *ret_error)
{
	const char *why = NULL;
	struct slice text = {flow->head->text + flow->scan.skipped, len - flow->scan.skipped};
	enum fail fail = head_parse_request(&flow->head->head, text, &why);

	return fail == FAIL_NONE ? HEAD_COMPLETE : inflow_fail(fail, why, ret_error);
}

enum head_progress inflow_look(
    struct inflow *flow, const struct head_limits *limits, struct head_error *ret_error)
{
	struct slice bytes = {
	    (const char *)evbuffer_pullup(flow->input, -1), evbuffer_get_length(flow->input)};
	size_t head_len;
	enum head_progress progress;

	if (!bytes.ptr)
		return inflow_fail(FAIL_NO_MEMORY, NULL, ret_error);
	progress = inflow_scan(flow, bytes, limits, &head_len, ret_error);
	if (progress != HEAD_COMPLETE)
		return progress;
	evbuffer_drain(flow->input, head_len);
	return inflow_parse(flow, head_len, ret_error);
}

/* What came behind a head, or is a part of one.  -1 when out of memory. */
static int inflow_keep(struct inflow *flow, const char *bytes, size_t len)
{
	if (len == 0)
		return 0;
	return inflow_input(flow) ? evbuffer_add(flow->input, bytes, len) : -1;
}

enum head_progress inflow_take(struct inflow *flow, struct slice bytes,
    const struct head_limits *limits, struct head_error *ret_error)
{
	size_t head_len = 0;
	enum head_progress progress = inflow_scan(flow, bytes, limits, &head_len, ret_error);

	if (progress == HEAD_BAD)
		return HEAD_BAD;
	if (inflow_keep(flow, bytes.ptr + head_len, bytes.len - head_len) != 0)
		return inflow_fail(FAIL_NO_MEMORY, NULL, ret_error);
	return progress == HEAD_COMPLETE ? inflow_parse(flow, head_len, ret_error) : HEAD_MORE;
}

const struct head *inflow_head(const struct inflow *flow)
{
	return &flow->head->head;
}

bool inflow_is_to_head(const struct inflow *flow)
{
	static const char method[] = "HEAD ";

	return flow->head &&
	       strncmp(flow->head->text + flow->scan.skipped, method, sizeof(method) - 1) == 0;
}

bool inflow_waits(const struct inflow *flow)
{
	return flow->input && evbuffer_get_length(flow->input) > 0;
}

struct evbuffer *inflow_input(struct inflow *flow)
{
	if (!flow->input)
		flow->input = evbuffer_new();
	return flow->input;
}

void inflow_next(struct inflow *flow)
{
	memset(&flow->scan, 0, sizeof(flow->scan));
	if (!inflow_waits(flow))
		inflow_drop_input(flow);
}
