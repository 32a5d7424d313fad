#include "proxy/tide.h"

#include "base/recycle.h"

enum {
	TIDE_LEAST = 64, /* clients that have left: fewer are not worth the while */
	TIDE_QUIET_S = 5
};

static bool tide_is_low(const struct tide *t)
{
	return t->high - t->count >= TIDE_LEAST && t->count <= t->high / 2;
}

static void tide_on_ebb(void *arg)
{
	struct tide *t = arg;

	t->ebbing = false;
	if (!tide_is_low(t))
		return;
	t->high = t->count;
	recycle_trim();
}

void tide_init(struct tide *t, struct event_base *base)
{
	*t = (struct tide){.count = 0};
	deadline_init(&t->ebb, base, tide_on_ebb, t);
}

void tide_done(struct tide *t)
{
	deadline_done(&t->ebb);
}

void tide_set(struct tide *t, size_t count)
{
	t->count = count;
	if (count > t->high)
		t->high = count;
	if (t->ebbing || !tide_is_low(t))
		return;
	t->ebbing = true;
	deadline_set(&t->ebb, TIDE_QUIET_S);
}
