#include "base/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "/usr/share/zoneinfo/"
#define LOCAL "/etc/localtime"
#define FILE_MAX 131072
#define HEADER_SIZE 44
#define OFFSET_MAX (26 * 3600)
#define DAY 86400

/* The day of a year on which clocks change: POSIX, 8.3. */
struct change {
	enum { CHANGE_WEEKDAY, CHANGE_NO_LEAP, CHANGE_DAY } how;
	int month, week, day; /* "Mm.w.d"; else only day */
	int32_t time;         /* seconds of that day, on the clock before the change */
};

/* What holds behind the last transition: "CET-1CEST,M3.5.0,M10.5.0/3". */
struct tail {
	int32_t standard, summer; /* seconds ahead of UTC */
	bool changes;
	struct change start, end; /* of summer time */
};

struct transition {
	int64_t at;
	int32_t offset; /* from then on */
};

struct zone {
	struct transition *transitions;
	size_t count;
	int32_t first; /* before all transitions */
	bool has_tail;
	struct tail tail;
};

/* ---- days ------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to the first day of a year. */
static int64_t days_to_year(int64_t year)
{
	int64_t y = year - 1;

	return 365 * (year - 1970) + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) - 477;
}

static int64_t year_of_day(int64_t day)
{
	int64_t year = 1970 + floor_div(day, 366);

	while (days_to_year(year + 1) <= day)
		year++;
	return year;
}

static int days_to_month(int64_t year, int month)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};

	return before[month - 1] + (month > 2 && is_leap(year));
}

/* The day of the year, from 0. */
static int change_day(const struct change *c, int64_t year)
{
	int first, weekday, day, length;

	if (c->how == CHANGE_DAY)
		return c->day;
	if (c->how == CHANGE_NO_LEAP)
		return c->day - 1 + (is_leap(year) && c->day > 59);
	first = days_to_month(year, c->month);
	length = days_to_month(year, c->month + 1) - first;
	/* 1970-01-01 was a Thursday. */
	weekday = (int)((days_to_year(year) + first + 4) % 7 + 7) % 7;
	day = (c->day - weekday + 7) % 7 + 7 * (c->week - 1);
	return first + (day < length ? day : day - 7);
}

static int64_t change_at(const struct change *c, int64_t year, int32_t offset)
{
	return (days_to_year(year) + change_day(c, year)) * DAY + c->time - offset;
}

static int32_t tail_offset(const struct tail *tail, int64_t t)
{
	int64_t year, start, end;

	if (!tail->changes)
		return tail->standard;
	year = year_of_day(floor_div(t + tail->standard, DAY));
	start = change_at(&tail->start, year, tail->standard);
	end = change_at(&tail->end, year, tail->summer);
	if (start < end ? t >= start && t < end : t >= start || t < end)
		return tail->summer;
	return tail->standard;
}

/* ---- the notation of POSIX -------------------------------------------------------------- */

/* "CET" or "<+0330>". */
static bool read_name(const char **at)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t len;

	if (**at == '<') {
		len = strcspn(*at, ">");
		if ((*at)[len] != '>')
			return false;
		*at += len + 1;
		return true;
	}
	len = strspn(*at, letters);
	*at += len;
	return len >= 3;
}

static bool read_number(const char **at, int low, int high, int *ret)
{
	int value = 0;
	size_t digits = 0;

	for (; **at >= '0' && **at <= '9' && digits < 4; digits++)
		value = value * 10 + *(*at)++ - '0';
	*ret = value;
	return digits > 0 && value >= low && value <= high;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(const char **at, int hours_max, int32_t *ret)
{
	int sign = **at == '-' ? -1 : 1, part[3] = {0, 0, 0};

	if (**at == '-' || **at == '+')
		++*at;
	if (!read_number(at, 0, hours_max, &part[0]))
		return false;
	for (int i = 1; i < 3 && **at == ':'; i++) {
		++*at;
		if (!read_number(at, 0, 59, &part[i]))
			return false;
	}
	*ret = sign * (part[0] * 3600 + part[1] * 60 + part[2]);
	return true;
}

static bool read_point(const char **at)
{
	return *(*at)++ == '.';
}

static bool read_change(const char **at, struct change *ret)
{
	ret->time = 2 * 3600;
	if (**at == 'M') {
		++*at;
		ret->how = CHANGE_WEEKDAY;
		if (!read_number(at, 1, 12, &ret->month) || !read_point(at) ||
		    !read_number(at, 1, 5, &ret->week) || !read_point(at) ||
		    !read_number(at, 0, 6, &ret->day))
			return false;
	} else {
		bool no_leap = **at == 'J';

		*at += no_leap;
		ret->how = no_leap ? CHANGE_NO_LEAP : CHANGE_DAY;
		if (!read_number(at, no_leap, 365, &ret->day))
			return false;
	}
	if (**at != '/')
		return true;
	++*at;
	return read_time(at, 167, &ret->time);
}

static bool read_tail(const char *at, struct tail *ret)
{
	if (!read_name(&at) || !read_time(&at, 24, &ret->standard))
		return false;
	ret->standard = -ret->standard;
	ret->changes = *at != '\0';
	if (!ret->changes)
		return true;
	if (!read_name(&at))
		return false;
	ret->summer = ret->standard + 3600;
	if (*at != ',' && *at != '\0') {
		if (!read_time(&at, 24, &ret->summer))
			return false;
		ret->summer = -ret->summer;
	}
	if (*at == '\0')
		at = ",M3.2.0,M11.1.0";
	return *at++ == ',' && read_change(&at, &ret->start) && *at++ == ',' &&
	       read_change(&at, &ret->end) && *at == '\0';
}

/* ---- files ------------------------------------------------------------------------------ */

struct bytes {
	const unsigned char *at;
	size_t left;
};

static int64_t big_endian(const unsigned char *at, size_t size)
{
	uint64_t value = at[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | at[i];
	return (int64_t)value;
}

/* The counts of a block, in the order of the file. */
struct counts {
	size_t isut, isstd, leap, time, type, text;
};

static size_t count_at(const unsigned char *at)
{
	return (size_t)big_endian(at, 4) & 0xfffff;
}

static bool read_header(struct bytes *b, struct counts *ret)
{
	const unsigned char *at = b->at + 20;

	if (b->left < HEADER_SIZE || memcmp(b->at, "TZif", 4) != 0)
		return false;
	*ret = (struct counts){count_at(at), count_at(at + 4), count_at(at + 8), count_at(at + 12),
	    count_at(at + 16), count_at(at + 20)};
	b->at += HEADER_SIZE;
	b->left -= HEADER_SIZE;
	return true;
}

static size_t block_size(const struct counts *c, size_t width)
{
	return c->time * (width + 1) + c->type * 6 + c->text + c->leap * (width + 4) + c->isstd +
	       c->isut;
}

/* Times of so many bytes each, their types, and what these are. */
static bool read_block(
    struct zone *zone, const struct bytes *b, const struct counts *c, size_t width)
{
	const unsigned char *types = b->at + c->time * width, *infos = types + c->time;

	zone->transitions = calloc(c->time + 1, sizeof(*zone->transitions));
	if (zone->transitions == NULL || c->type == 0)
		return false;
	zone->first = (int32_t)big_endian(infos, 4);
	for (size_t i = 0; i < c->time; i++) {
		struct transition *t = &zone->transitions[i];

		if (types[i] >= c->type)
			return false;
		t->at = big_endian(b->at + i * width, width);
		t->offset = (int32_t)big_endian(infos + 6 * (size_t)types[i], 4);
		if ((i > 0 && t->at <= t[-1].at) || t->offset > OFFSET_MAX ||
		    t->offset < -OFFSET_MAX)
			return false;
	}
	zone->count = c->time;
	return zone->first <= OFFSET_MAX && zone->first >= -OFFSET_MAX;
}

static bool read_footer(struct zone *zone, struct bytes b)
{
	char text[128];
	size_t len;

	if (b.left < 2 || b.at[0] != '\n')
		return false;
	for (len = 0; 1 + len < b.left && b.at[1 + len] != '\n'; len++) {
		if (len == sizeof(text) - 1)
			return false;
		text[len] = (char)b.at[1 + len];
	}
	text[len] = '\0';
	zone->has_tail = len > 0;
	return len == 0 || read_tail(text, &zone->tail);
}

/* From the second version on there are two blocks, the first with times of four bytes. */
static bool zone_read(struct zone *zone, struct bytes b)
{
	int last = b.left >= HEADER_SIZE && b.at[4] >= '2' ? 2 : 1;
	struct counts c;

	for (int i = 1; i <= last; i++) {
		size_t width = i == 2 ? 8 : 4, size;

		if (!read_header(&b, &c))
			return false;
		size = block_size(&c, width);
		if (size > b.left || (i == last && !read_block(zone, &b, &c, width)))
			return false;
		b.at += size;
		b.left -= size;
	}
	return last == 1 || read_footer(zone, b);
}

/* 0, or an errno; EINVAL: it is no zone file. */
static int zone_read_file(struct zone *zone, const char *path)
{
	unsigned char *buffer = malloc(FILE_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0 || buffer == NULL)
		error = errno;
	while (error == 0 && len < FILE_MAX && (n = read(fd, buffer + len, FILE_MAX - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		error = errno;
	if (error == 0 && !zone_read(zone, (struct bytes){buffer, len}))
		error = EINVAL;
	if (fd >= 0)
		close(fd);
	free(buffer);
	return error;
}

/* Nothing that would leave the folder. */
static bool is_name(const char *name)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789_+-/";
	size_t len = strlen(name);

	return len > 0 && len <= ZONE_NAME_MAX && name[0] != '/' && strspn(name, good) == len;
}

static int zone_find(struct zone *zone, const char *name)
{
	char path[sizeof(FOLDER) + ZONE_NAME_MAX];

	if (!is_name(name))
		return ENOENT;
	snprintf(path, sizeof(path), "%s%s", FOLDER, name);
	return zone_read_file(zone, path);
}

/* What cannot be read leaves UTC, as in the C library. */
static void zone_find_local(struct zone *zone)
{
	const char *tz = getenv("TZ");
	int error;

	if (tz != NULL && *tz == ':')
		tz++;
	if (tz == NULL)
		error = zone_read_file(zone, LOCAL);
	else if (*tz == '/')
		error = zone_read_file(zone, tz);
	else
		error = zone_find(zone, tz);
	if (error == 0)
		return;
	zone->count = 0;
	zone->first = 0;
	zone->has_tail = tz != NULL && read_tail(tz, &zone->tail);
}

struct zone *zone_load(const char *name, const char **ret_why)
{
	struct zone *zone = calloc(1, sizeof(*zone));
	int error = zone != NULL ? 0 : ENOMEM;

	if (zone != NULL && name != NULL)
		error = zone_find(zone, name);
	else if (zone != NULL)
		zone_find_local(zone);
	if (error == 0)
		return zone;
	if (error == ENOENT || error == ENOTDIR)
		*ret_why = "there is no such time zone in " FOLDER;
	else if (error == EINVAL || error == EISDIR)
		*ret_why = "its file in " FOLDER " is no zone file";
	else
		*ret_why = strerror(error);
	zone_free(zone);
	return NULL;
}

void zone_free(struct zone *zone)
{
	if (zone == NULL)
		return;
	free(zone->transitions);
	free(zone);
}

int32_t zone_offset(const struct zone *zone, int64_t t)
{
	size_t low = 0, high = zone->count;

	/* How many transitions are past. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (zone->transitions[middle].at <= t)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == zone->count && zone->has_tail)
		return tail_offset(&zone->tail, t);
	return low == 0 ? zone->first : zone->transitions[low - 1].offset;
}
