#include "proxy/door.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/spare.h"
#include "net/listener.h"
#include "net/reserve.h"
#include "proxy/config.h"
#include "proxy/entrance.h"

/* How long accepting pauses when descriptors run out. */
#define DOOR_PAUSE_MS 100

/* Clients that are let in before it is asked again whether there are enough. */
#define DOOR_UNASKED 8
#define DOOR_NEVER_S (366 * 86400)

/* What evhttp may read of a request by itself, and how long a read or a write may take it. */
#define DOOR_FALLBACK_MAX 16384
#define DOOR_FALLBACK_S 10

/* How often the queue of a socket that is to be left is looked at. */
#define DOOR_LEAVING_MS 10

enum door_step {
	DOOR_ACCEPTING,
	DOOR_EMPTYING, /* to be left when its queue is empty */
	DOOR_LEAVING,
	DOOR_LEFT /* libevent is told, the kernel not yet */
};

/* A socket that we accept on. */
struct door_place {
	LIST_ENTRY(door_place) all;
	struct door *door;
	int fd;
	struct evhttp_bound_socket *bound;
	struct entrance *entrance;
	struct entrance *coming; /* from door_configure on; NULL: no other */
	enum door_step step;
	struct event turn; /* for the steps */
};

struct door {
	struct evhttp *http;
	struct locality *locality;
	LIST_HEAD(door_places, door_place) places;
	door_left_fn *on_left;
	void *on_left_arg;
	void (*on_empty)(void *arg); /* while draining */
	void *on_empty_arg;
	struct event accept_again;
	struct bufferevent *spare; /* there always is one while we accept */
	unsigned unasked;          /* clients since reserve was asked */
	bool short_of;             /* descriptors, when last asked */
	void (*give_back)(void *arg);
	struct intake_shared shared;
};

static void door_on_request(struct evhttp_request *req, void *arg)
{
	struct door *door = arg;

	if (intake_take_request(&door->shared, req))
		return;
	/* A connection that no intake could be made for: evhttp made a bufferevent of its own. */
	evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
	evhttp_send_error(req, 503, "Out of memory");
}

static void door_accept(struct door *door, bool on)
{
	struct door_place *place;

	for (place = LIST_FIRST(&door->places); place; place = LIST_NEXT(place, all)) {
		struct evconnlistener *listener = evhttp_bound_socket_get_listener(place->bound);

		if (on && place->step != DOOR_LEFT)
			evconnlistener_enable(listener);
		else
			evconnlistener_disable(listener);
	}
}

static bool door_has_spare(struct door *door)
{
	struct timeval patience = {DOOR_FALLBACK_S, 0};

	if (door->spare)
		return true;
	door->spare = bufferevent_socket_new(door->shared.base, -1, 0);
	if (door->spare)
		bufferevent_set_timeouts(door->spare, &patience, &patience);
	return door->spare != NULL;
}

static void door_pause(struct door *door, const char *why)
{
	struct timeval pause = {0, DOOR_PAUSE_MS * 1000};

	if (log_is_due(LOG_TOPIC_ACCEPT))
		log_warning("cannot accept connections: %s; %zu clients here, pausing", why,
		    door->shared.count);
	door_accept(door, false);
	event_add(&door->accept_again, &pause);
}

/* What is left belongs to those who are in. */
static bool door_is_full(struct door *door)
{
	if (++door->unasked < DOOR_UNASKED && !door->short_of)
		return false;
	door->unasked = 0;
	door->short_of = reserve_is_reached();
	if (door->short_of && door->give_back)
		door->give_back(door->shared.on_request_arg);
	return door->short_of;
}

static struct door_place *door_find_place(const struct door *door, int fd)
{
	struct door_place *place;

	for (place = LIST_FIRST(&door->places); place; place = LIST_NEXT(place, all)) {
		if (place->fd == fd)
			return place;
	}
	return NULL;
}

/*
 * evhttp does not tell which of its listeners it accepts on (2.1.12), but the event that runs is
 * that listener's.
 */
static struct bufferevent *door_new_intake(struct door *door)
{
	const struct event *running = event_base_get_running_event(door->shared.base);
	struct door_place *place = running ? door_find_place(door, event_get_fd(running)) : NULL;

	return place ? intake_new(&door->shared, place->entrance) : NULL;
}

/*
 * Without memory for an intake the client gets evhttp's own refusal.  evhttp crashes when it
 * gets no bufferevent and cannot make one either (2.1.12).
 */
static struct bufferevent *door_on_accept(struct event_base *base, void *arg)
{
	struct door *door = arg;
	struct bufferevent *bev = door_new_intake(door);

	(void)base;
	if (!bev) {
		bev = door->spare;
		door->spare = NULL;
	}
	if (!door_has_spare(door) || !spare_refill())
		door_pause(door, "out of memory");
	else if (door_is_full(door))
		door_pause(door, "few descriptors are left");
	return bev;
}

static void door_on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct door *door = arg;
	struct timeval never = {DOOR_NEVER_S, 0};

	(void)fd;
	(void)what;
	if (!door_has_spare(door) || !spare_refill()) {
		door_pause(door, "out of memory");
		return;
	}
	if (door_is_full(door)) {
		door_pause(door, "few descriptors are left");
		return;
	}
	door_accept(door, true);
	event_add(&door->accept_again, &never);
}

static int door_find(const struct event_base *base, const struct event *event, void *arg)
{
	struct door **ret_door = arg;

	(void)base;
	if (event_get_callback(event) != door_on_accept_again)
		return 0;
	*ret_door = event_get_callback_arg(event);
	return 1;
}

/*
 * The socket stays readable while accept fails for want of descriptors, and libevent 2.1.12 would
 * call accept again and again: pause.  The listener's one argument is evhttp's own, so the door
 * is found by its timer, which is always set for that.
 */
static void door_on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct door *door = NULL;
	int error = errno;

	(void)arg;
	event_base_foreach_event(evconnlistener_get_base(listener), door_find, &door);
	if (!door)
		return;
	door->short_of = true;
	door_pause(door, strerror(error));
}

struct door *door_new(const struct intake_shared *shared, struct locality *locality)
{
	struct timeval never = {DOOR_NEVER_S, 0};
	struct door *door = calloc(1, sizeof(*door));

	if (!door)
		return NULL;
	door->shared = *shared;
	door->locality = locality;
	door->http = evhttp_new(shared->base);
	if (!door->http || !door_has_spare(door)) {
		if (door->http)
			evhttp_free(door->http);
		free(door);
		return NULL;
	}
	LIST_INIT(&door->shared.intakes);
	LIST_INIT(&door->places);
	tide_init(&door->shared.tide, shared->base);
	evtimer_assign(&door->accept_again, shared->base, door_on_accept_again, door);
	event_add(&door->accept_again, &never);
	evhttp_set_bevcb(door->http, door_on_accept, door);
	/* For connections that no intake could be made for. */
	evhttp_set_max_headers_size(door->http, DOOR_FALLBACK_MAX);
	evhttp_set_max_body_size(door->http, DOOR_FALLBACK_MAX);
	evhttp_set_gencb(door->http, door_on_request, door);
	return door;
}

void door_on_shortage(struct door *door, void (*give_back)(void *arg))
{
	door->give_back = give_back;
}

/* ---- sockets ---------------------------------------------------------------------------- */

static void door_look_empty(void *arg)
{
	struct door *door = arg;

	if (door->on_empty && door->shared.count == 0 && LIST_EMPTY(&door->places))
		door->on_empty(door->on_empty_arg);
}

static void door_forget(struct door_place *place)
{
	event_del(&place->turn);
	LIST_REMOVE(place, all);
	evhttp_del_accept_socket(place->door->http, place->bound);
	entrance_unref(place->entrance);
	entrance_unref(place->coming);
	free(place);
}

/*
 * libevent tells the kernel at the beginning of a turn what it is not to poll any more, and only
 * then may the descriptor be closed: so the last step has a turn of its own.  Only a timer's is:
 * what is made active within a callback runs in the same turn (2.1.12).
 */
static void door_on_turn(evutil_socket_t none, short what, void *arg)
{
	struct timeval soon = {0, DOOR_LEAVING_MS * 1000}, next = {0, 0};
	struct door_place *place = arg;
	struct door *door = place->door;
	int fd = place->fd;

	(void)none;
	(void)what;
	if (place->step == DOOR_EMPTYING && listener_has_waiting(fd) &&
	    event_add(&place->turn, &soon) == 0)
		return;
	if (place->step != DOOR_LEFT) {
		place->step = DOOR_LEFT;
		evconnlistener_disable(evhttp_bound_socket_get_listener(place->bound));
		if (event_add(&place->turn, &next) != 0)
			event_active(&place->turn, 0, 0);
		return;
	}
	door_forget(place);
	if (door->on_left)
		door->on_left(fd, door->on_left_arg);
	door_look_empty(door);
}

int door_listen(struct door *door, int fd, struct entrance *entrance)
{
	struct door_place *place = calloc(1, sizeof(*place));
	struct evconnlistener *listener = NULL;

	if (place)
		listener =
		    evconnlistener_new(door->shared.base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener)
		place->bound = evhttp_bind_listener(door->http, listener);
	if (!place || !place->bound) {
		if (listener)
			evconnlistener_free(listener);
		entrance_unref(entrance);
		free(place);
		return -1;
	}
	evconnlistener_set_error_cb(listener, door_on_accept_error);
	place->door = door;
	place->fd = fd;
	place->entrance = entrance;
	evtimer_assign(&place->turn, door->shared.base, door_on_turn, place);
	LIST_INSERT_HEAD(&door->places, place, all);
	return 0;
}

void door_leave(struct door *door, int fd, bool empty_first)
{
	struct door_place *place = door_find_place(door, fd);

	if (!place || place->step != DOOR_ACCEPTING)
		return;
	place->step = empty_first ? DOOR_EMPTYING : DOOR_LEAVING;
	event_active(&place->turn, 0, 0);
}

void door_set_on_left(struct door *door, door_left_fn *on_left, void *arg)
{
	door->on_left = on_left;
	door->on_left_arg = arg;
}

void door_rename(struct door *door, int fd, struct entrance *entrance)
{
	struct door_place *place = door_find_place(door, fd);

	if (!place) {
		entrance_unref(entrance);
		return;
	}
	entrance_unref(place->coming);
	place->coming = entrance;
}

void door_configure(struct door *door, const struct config *config)
{
	struct door_place *place;

	door->shared.config = config;
	for (place = LIST_FIRST(&door->places); place; place = LIST_NEXT(place, all)) {
		if (!place->coming)
			continue;
		entrance_succeed(place->entrance, place->coming);
		entrance_unref(place->entrance);
		place->entrance = place->coming;
		place->coming = NULL;
	}
}

/* ---- ending ----------------------------------------------------------------------------- */

void door_drain(struct door *door, void (*on_empty)(void *arg), void *arg)
{
	door->shared.draining = true;
	door->shared.on_empty = door_look_empty;
	door->shared.on_empty_arg = door;
	door->on_empty = on_empty;
	door->on_empty_arg = arg;
	intake_close_idle(&door->shared);
	door_look_empty(door);
}

void door_stop(struct door *door)
{
	struct door_place *place, *next;

	door->shared.draining = true;
	door->shared.on_empty = NULL;
	event_del(&door->accept_again);
	for (place = LIST_FIRST(&door->places); place; place = next) {
		next = LIST_NEXT(place, all);
		door_forget(place);
	}
	intake_close_all(&door->shared);
}

bool door_is_at(const struct door *door, const struct addr *to)
{
	const struct door_place *place;

	for (place = LIST_FIRST(&door->places); place; place = LIST_NEXT(place, all)) {
		if (entrance_is_at(place->entrance, to, door->locality))
			return true;
	}
	return false;
}

size_t door_count(const struct door *door)
{
	return door->shared.count;
}

void door_free(struct door *door)
{
	struct door_place *place, *next;

	if (!door)
		return;
	event_del(&door->accept_again);
	door->shared.on_empty = NULL;
	for (place = LIST_FIRST(&door->places); place; place = next) {
		next = LIST_NEXT(place, all);
		door_forget(place);
	}
	intake_free_all(&door->shared);
	tide_done(&door->shared.tide);
	evhttp_free(door->http);
	if (door->spare)
		bufferevent_free(door->spare);
	free(door);
}
