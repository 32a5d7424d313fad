#include "proxy/places.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/deadline.h"
#include "net/listener.h"

#define PLACES_BACKLOG 4096

static void place_free(struct place *place)
{
	for (size_t i = 0; i < place->fd_count; i++) {
		if (place->fds[i] >= 0)
			close(place->fds[i]);
	}
	free(place->fds);
	free(place);
}

/* ---- opening ---------------------------------------------------------------------------- */

/*
 * Whether a place of ours stands in the way: on its way out, or "0.0.0.0" and "192.0.2.1" at
 * one port.  SO_REUSEPORT has no objection.
 */
static bool places_overlap(const struct places *places, const struct addr *at)
{
	const struct place *place;

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all)) {
		if (addr_equal(&place->at, at) && place->state == PLACE_LEFT)
			return true;
		if (place->at.family == at->family && place->at.port == at->port &&
		    addr_is_unspecified(&place->at) != addr_is_unspecified(at))
			return true;
	}
	return false;
}

/* One more socket.  place->at gets the port that the kernel chose for 0. */
static int place_add_socket(struct place *place, bool alone)
{
	int fd =
	    alone && !listener_is_free(&place->at) ? -1 : listener_open(&place->at, PLACES_BACKLOG);

	if (fd < 0)
		return -1;
	place->fds[place->fd_count++] = fd;
	return listener_address(fd, &place->at);
}

static struct place *place_new(const struct places *places, const struct listen *listen)
{
	struct place *place = calloc(1, sizeof(*place));
	bool alone = !places_overlap(places, &listen->addr);
	int error;

	if (!place)
		return NULL;
	place->as = *listen;
	place->at = listen->addr;
	place->listed = listen;
	place->fds = calloc(places->workers, sizeof(*place->fds));
	while (place->fds && place->fd_count < places->workers &&
	       place_add_socket(place, alone && place->fd_count == 0) == 0)
		;
	if (place->fds && place->fd_count == places->workers)
		return place;
	error = errno;
	place_free(place);
	errno = error;
	return NULL;
}

/* ---- matching --------------------------------------------------------------------------- */

/* The last one, as the list is gone through from its end: several may have port 0. */
static struct place *places_find(const struct places *places, const struct addr *wanted)
{
	struct place *place, *found = NULL;

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all)) {
		if (!place->listed && place->state != PLACE_LEFT &&
		    addr_equal(&place->as.addr, wanted))
			found = place;
	}
	return found;
}

/* Nothing has happened: what is open is what is listed. */
static void places_forget_new(struct places *places)
{
	struct place *place, *next;

	for (place = LIST_FIRST(&places->all); place; place = next) {
		next = LIST_NEXT(place, all);
		place->listed = place->state == PLACE_OPEN ? &place->as : NULL;
		if (place->state != PLACE_NEW)
			continue;
		LIST_REMOVE(place, all);
		place_free(place);
	}
}

int places_match(
    struct places *places, const struct listen *list, size_t count, const struct addr **ret_failed)
{
	struct place *place;
	int error;

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all))
		place->listed = NULL;
	/* From the last to the first: the set keeps the order of the list. */
	for (size_t i = count; i-- > 0;) {
		place = places_find(places, &list[i].addr);
		if (place) {
			place->listed = &list[i];
			continue;
		}
		place = place_new(places, &list[i]);
		if (!place) {
			error = errno;
			*ret_failed = &list[i].addr;
			places_forget_new(places);
			errno = error;
			return -1;
		}
		LIST_INSERT_HEAD(&places->all, place, all);
	}
	return 0;
}

const char *places_adopt(struct places *places, int fd, const char *name)
{
	const char *why = listener_adopt(fd);
	struct place *place, *last = LIST_FIRST(&places->all);

	if (why)
		return why;
	place = calloc(1, sizeof(*place));
	if (place)
		place->fds = calloc(1, sizeof(*place->fds));
	if (!place || !place->fds || listener_address(fd, &place->at) != 0) {
		why = strerror(errno);
		if (place)
			place_free(place);
		return why;
	}
	place->as.addr = place->at;
	place->fds[place->fd_count++] = fd;
	place->inherited = true;
	place->listed = &place->as;
	log_escape(place->as.name, sizeof(place->as.name), name, strlen(name));
	while (last && LIST_NEXT(last, all))
		last = LIST_NEXT(last, all);
	if (last)
		LIST_INSERT_AFTER(last, place, all);
	else
		LIST_INSERT_HEAD(&places->all, place, all);
	return NULL;
}

/* ---- one place -------------------------------------------------------------------------- */

int place_socket(const struct place *place, size_t worker)
{
	return place->fds[place->fd_count == 1 ? 0 : worker];
}

bool place_rename(struct place *place)
{
	bool differs;

	if (!place->listed)
		return false;
	differs = !listen_alike(&place->as, place->listed);
	place->as = *place->listed;
	place->listed = &place->as;
	return differs;
}

static void place_hold(struct place *place, bool on)
{
	for (size_t i = 0; i < place->fd_count && !place->inherited; i++) {
		if (place->fds[i] >= 0)
			listener_hold(place->fds[i], on);
	}
}

void place_open(struct place *place)
{
	if (place->state == PLACE_CLOSING)
		place_hold(place, false);
	place->state = PLACE_OPEN;
}

/* Who waits in the queue of an inherited socket is served by whoever has it next. */
void place_close(struct place *place)
{
	place->state = PLACE_CLOSING;
	place->leave_at_ms = deadline_now_ms() + (place->inherited ? 0 : PLACES_GRACE_MS);
	place_hold(place, true);
}

/* ---- leaving ---------------------------------------------------------------------------- */

int places_patience(const struct places *places)
{
	const struct place *place;
	uint64_t now = deadline_now_ms(), least = INT_MAX;

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all)) {
		uint64_t left;

		if (place->state != PLACE_CLOSING)
			continue;
		left = place->leave_at_ms > now ? place->leave_at_ms - now : 0;
		if (left < least)
			least = left;
	}
	return least == INT_MAX ? -1 : (int)least;
}

struct place *places_due(struct places *places)
{
	struct place *place;
	uint64_t now = deadline_now_ms();

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all)) {
		if (place->state != PLACE_CLOSING || place->leave_at_ms > now)
			continue;
		place->state = PLACE_LEFT;
		if (place->borrowers > 0)
			return place;
		/* No worker could be reached to be told of it. */
		LIST_REMOVE(place, all);
		place_free(place);
		return places_due(places);
	}
	return NULL;
}

/* Whether it was one of the place's. */
static bool place_return(struct place *place, int fd)
{
	for (size_t i = 0; i < place->fd_count; i++) {
		if (place->fds[i] != fd)
			continue;
		place->borrowers--;
		if (place->borrowers == 0 || place->fd_count > 1) {
			close(fd);
			place->fds[i] = -1;
		}
		return true;
	}
	return false;
}

void places_return(struct places *places, int fd)
{
	struct place *place;

	for (place = LIST_FIRST(&places->all); place; place = LIST_NEXT(place, all)) {
		if (!place_return(place, fd))
			continue;
		if (place->borrowers == 0 && place->state == PLACE_LEFT) {
			LIST_REMOVE(place, all);
			place_free(place);
		}
		return;
	}
}

void places_done(struct places *places)
{
	struct place *place, *next;

	for (place = LIST_FIRST(&places->all); place; place = next) {
		next = LIST_NEXT(place, all);
		place_free(place);
	}
	LIST_INIT(&places->all);
}
