#include "http/home.h"

#include "base/text.h"
#include "http/headers.h"

/* Origin-form: the one page there is. */
static enum fail home_write_page(struct text *out, const struct head *request,
    const struct target *target, const struct reply *reply)
{
	struct reply page = *reply;

	if (!slice_is(target->path, "/"))
		return FAIL_NOT_FOUND;
	if (!slice_is(request->method, "GET") && !slice_is(request->method, "HEAD"))
		return FAIL_METHOD;
	if (request->host.len > 0)
		page.host = request->host;
	reply_write_about(out, &page);
	return FAIL_NONE;
}

/* RFC 9110 9.3.8: what was received, as the body. */
static void home_write_trace(
    struct text *out, const struct head *request, const struct reply *reply)
{
	struct text body = {0};

	headers_write_trace(&body, request);
	reply_write_body(out, reply, "message/http", text_slice(&body));
	out->failed |= body.failed;
	text_done(&body);
}

enum fail home_write(struct text *out, const struct head *request, const struct target *target,
    const struct reply *reply)
{
	if (target->form == TARGET_ORIGIN)
		return home_write_page(out, request, target, reply);
	if (slice_is(request->method, "TRACE"))
		home_write_trace(out, request, reply);
	else
		reply_write_body(out, reply, NULL, SLICE(""));
	return FAIL_NONE;
}
