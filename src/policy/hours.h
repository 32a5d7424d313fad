/*
 * hours -- a part of the week: days and hours.
 *
 * "mon-fri 08:00-17:00", "sat,sun", "22:00-06:00": what begins on a day may end on the next, and
 * without days it is every day.  Minutes of the week are counted from Monday, 00:00; which minute
 * it is, is for a time zone to say.
 */
#ifndef POLICY_HOURS_H
#define POLICY_HOURS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define HOURS_WEEK 10080 /* minutes */
#define HOURS_SPANS 8    /* seven days, and one of them goes over the end of the week */

struct hours {
	uint8_t days;      /* on which it begins; bit 0 is Monday */
	uint16_t from, to; /* minutes of the day; from > to: it ends on the next day */
};

/* Minutes of the week, both ends included. */
struct hours_span {
	uint16_t first, last;
};

/* 0, or -1 when that is no part of the week. */
MUST_USE int hours_parse(struct slice text, struct hours *ret_hours);

/* In no order; returns how many there are. */
size_t hours_spans(const struct hours *hours, struct hours_span ret_spans[HOURS_SPANS]);

/* The minute of the week when clocks show this: seconds since 1970, as if they went by UTC. */
uint16_t hours_minute(int64_t clock);

#endif
