#include "proxy/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
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

/* One more socket.  place->at gets the port that the kernel chose for 0. */
static int place_open_socket(struct place *place)
{
	bool first = place->fd_count == 0;
	int fd =
	    first && !listener_is_free(&place->at) ? -1 : listener_open(&place->at, PLACES_BACKLOG);

	if (fd < 0)
		return -1;
	place->fds[place->fd_count++] = fd;
	return listener_address(fd, &place->at);
}

static struct place *place_new(const struct addr *wanted, size_t workers)
{
	struct place *place = calloc(1, sizeof(*place));
	int error;

	if (!place)
		return NULL;
	place->wanted = *wanted;
	place->at = *wanted;
	place->fds = calloc(workers, sizeof(*place->fds));
	while (place->fds && place->fd_count < workers && place_open_socket(place) == 0)
		;
	if (place->fd_count == workers)
		return place;
	error = errno;
	place_free(place);
	errno = error;
	return NULL;
}

int places_open(struct places *places, const struct addr *addresses, size_t count, size_t workers)
{
	char text[ADDR_TEXT_MAX];

	places->workers = workers;
	places->items = calloc(count, sizeof(struct place *));
	if (!places->items)
		return -1;
	while (places->count < count) {
		struct place *place = place_new(&addresses[places->count], workers);

		if (!place) {
			addr_format(&addresses[places->count], text);
			log_error("cannot listen on %s: %s", text, strerror(errno));
			return -1;
		}
		places->items[places->count++] = place;
	}
	return 0;
}

int place_take(struct place *place, size_t worker)
{
	int fd = place->fds[worker];

	place->fds[worker] = -1;
	return fd;
}

void places_done(struct places *places)
{
	for (size_t i = 0; i < places->count; i++)
		place_free(places->items[i]);
	free(places->items);
	memset(places, 0, sizeof(*places));
}
