#include "policy/hours.h"

#include <stdbool.h>

#define DAY 1440

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool next_is(const struct slice *text, char c)
{
	return text->len > 0 && text->ptr[0] == c;
}

static void skip(struct slice *text, size_t len)
{
	text->ptr += len;
	text->len -= len;
}

static bool take(struct slice *text, char c)
{
	if (!next_is(text, c))
		return false;
	skip(text, 1);
	return true;
}

/* "mon": 0. */
static bool take_day(struct slice *text, unsigned *ret_day)
{
	static const char days[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

	for (unsigned i = 0; text->len >= 3 && i < 7; i++) {
		if (slice_is_nocase((struct slice){text->ptr, 3}, days[i])) {
			*ret_day = i;
			skip(text, 3);
			return true;
		}
	}
	return false;
}

/* "mon-fri,sun"; "sat-mon" goes over the end of the week. */
static bool take_days(struct slice *text, uint8_t *ret_days)
{
	unsigned day, last;

	do {
		if (!take_day(text, &day))
			return false;
		last = day;
		if (take(text, '-') && !take_day(text, &last))
			return false;
		*ret_days |= (uint8_t)(1U << last);
		for (; day != last; day = (day + 1) % 7)
			*ret_days |= (uint8_t)(1U << day);
	} while (take(text, ','));
	return true;
}

/* "08:00", up to "24:00". */
static bool take_minute(struct slice *text, uint16_t *ret_minute)
{
	const char *t = text->ptr;
	int minute;

	if (text->len < 5 || !is_digit(t[0]) || !is_digit(t[1]) || t[2] != ':' || !is_digit(t[3]) ||
	    !is_digit(t[4]) || t[3] > '5')
		return false;
	minute = (t[0] - '0') * 600 + (t[1] - '0') * 60 + (t[3] - '0') * 10 + t[4] - '0';
	skip(text, 5);
	*ret_minute = (uint16_t)minute;
	return minute <= DAY;
}

int hours_parse(struct slice text, struct hours *ret_hours)
{
	struct hours h = {.from = 0, .to = DAY};

	if (text.len == 0)
		return -1;
	if (is_digit(text.ptr[0]))
		h.days = 0x7f;
	else if (!take_days(&text, &h.days) || (text.len > 0 && !take(&text, ' ')))
		return -1;
	else if (text.len == 0 && text.ptr[-1] != ' ') {
		*ret_hours = h;
		return 0;
	}
	if (!take_minute(&text, &h.from) || !take(&text, '-') || !take_minute(&text, &h.to) ||
	    text.len > 0 || h.from == h.to || h.from == DAY)
		return -1;
	*ret_hours = h;
	return 0;
}

size_t hours_spans(const struct hours *hours, struct hours_span ret_spans[HOURS_SPANS])
{
	unsigned length = (hours->to + (hours->from > hours->to ? DAY : 0U)) - hours->from;
	size_t count = 0;

	for (unsigned day = 0; day < 7; day++) {
		unsigned first = day * DAY + hours->from, last = first + length - 1;

		if (!(hours->days & 1U << day))
			continue;
		if (last >= HOURS_WEEK) {
			ret_spans[count++] = (struct hours_span){0, (uint16_t)(last - HOURS_WEEK)};
			last = HOURS_WEEK - 1;
		}
		ret_spans[count++] = (struct hours_span){(uint16_t)first, (uint16_t)last};
	}
	return count;
}

uint16_t hours_minute(int64_t clock)
{
	/* 1970-01-01 was a Thursday, the fourth day. */
	int64_t minute = (clock - (clock % 60 + 60) % 60) / 60 + 3 * DAY;

	return (uint16_t)((minute % HOURS_WEEK + HOURS_WEEK) % HOURS_WEEK);
}
