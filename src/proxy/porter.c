#include "proxy/porter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/supervisor.h"
#include "net/addr.h"
#include "net/listener.h"
#include "proxy/config.h"
#include "proxy/entrance.h"
#include "proxy/worker.h"

#define ROOT_PORTS 1024

int porter_match(struct porter *p, const struct config *config, char *text, size_t size)
{
	const struct addr *failed;
	char where[ADDR_TEXT_MAX];

	if (p->inherited)
		return 0;
	if (places_match(&p->places, config->listen, config->listen_count, &failed) == 0)
		return 0;
	addr_format(failed, where);
	snprintf(text, size, "cannot listen on %s: %s%s", where, strerror(errno),
	    errno == EACCES && failed->port < ROOT_PORTS
		? "; a port below 1024 takes root, or a socket from systemd"
		: "");
	return -1;
}

int porter_inherit(struct porter *p)
{
	struct supervisor_sockets sockets = {0};
	const char *why = NULL;
	char name[LISTEN_NAME_MAX];

	if (supervisor_take_sockets(&sockets) != 0) {
		log_error("cannot take the sockets of the service manager: LISTEN_PID, LISTEN_FDS, "
			  "LISTEN_FDNAMES: %s",
		    strerror(errno));
		return -1;
	}
	p->inherited = sockets.count > 0;
	if (p->inherited)
		log_info("the service manager listens for us; `listen` is not looked at");
	for (size_t i = 0; i < sockets.count && !why; i++) {
		int fd = sockets.first_fd + (int)i;

		why = places_adopt(&p->places, fd, sockets.names[i]);
		if (!why)
			continue;
		log_escape(name, sizeof(name), sockets.names[i], strlen(sockets.names[i]));
		log_error("cannot use socket %d (%s) of the service manager: %s", fd, name, why);
	}
	supervisor_sockets_done(&sockets);
	return why ? -1 : 0;
}

/* An entrance goes with those orders that need one. */
static int porter_tell_worker(
    struct worker *w, const struct place *place, struct worker_order *order)
{
	if (order->command == WORKER_LISTEN || order->command == WORKER_RENAME) {
		order->entrance =
		    entrance_new(&place->as, &place->at, listener_takes_both(order->fd));
		if (!order->entrance) {
			log_error("a worker cannot be told of a listener: out of memory");
			return -1;
		}
	}
	return worker_tell(w, order);
}

/* Give the place's sockets to the workers, or ask for them back. */
static void porter_tell(struct porter *p, struct place *place, enum worker_command command)
{
	for (size_t i = 0; i < p->worker_count; i++) {
		struct worker_order order = {.command = command, .fd = place_socket(place, i)};

		if (order.fd < 0)
			continue;
		if (command == WORKER_LISTEN)
			place->borrowers++;
		/* Nobody may connect to where nobody accepts. */
		if (porter_tell_worker(p->workers[i], place, &order) != 0 &&
		    command == WORKER_LISTEN)
			places_return(&p->places, order.fd);
	}
}

void porter_rename(struct porter *p)
{
	struct place *place;

	for (place = LIST_FIRST(&p->places.all); place; place = LIST_NEXT(place, all)) {
		if (place_rename(place))
			porter_tell(p, place, WORKER_RENAME);
	}
}

static void porter_log(const struct place *place, const char *where)
{
	char plain[ADDR_TEXT_MAX];

	addr_format(&place->as.addr, plain);
	if (place->inherited)
		log_info("listening on %s (inherited, %s)", where, place->as.name);
	else if (strcmp(place->as.name, plain) != 0)
		log_info("listening on %s (%s)", where, place->as.name);
	else
		log_info("listening on %s", where);
}

void porter_settle(struct porter *p)
{
	char where[ADDR_TEXT_MAX];
	struct place *place;

	for (place = LIST_FIRST(&p->places.all); place; place = LIST_NEXT(place, all)) {
		addr_format(&place->at, where);
		if (place->state == PLACE_NEW)
			porter_tell(p, place, WORKER_LISTEN);
		if (place->listed && place->state != PLACE_OPEN) {
			place_open(place);
			porter_log(place, where);
		} else if (!place->listed && place->state == PLACE_OPEN) {
			place_close(place);
			log_info("no longer listening on %s", where);
		}
	}
}

void porter_leave(struct porter *p)
{
	struct place *place;

	while ((place = places_due(&p->places)) != NULL)
		porter_tell(p, place, place->inherited ? WORKER_ABANDON : WORKER_LEAVE);
}

void porter_close(struct porter *p)
{
	struct place *place;

	for (place = LIST_FIRST(&p->places.all); place; place = LIST_NEXT(place, all)) {
		if (place->state == PLACE_OPEN)
			place_close(place);
	}
}
