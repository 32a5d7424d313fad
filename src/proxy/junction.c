#include "proxy/junction.h"

#include <event2/buffer.h>
#include <string.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/recycle.h"
#include "net/tunnel.h"
#include "net/wire.h"
#include "proxy/upstream.h"

struct junction {
	struct tunnel *tunnel;
	struct upstream *up;
	int server_fd;
	uint64_t head_len; /* of the bytes to the client, what went first */
	struct metrics *metrics;
	junction_done_fn *done;
	void *arg;
};

static uint64_t junction_down(const struct junction *j, uint64_t sent)
{
	return sent > j->head_len ? sent - j->head_len : 0;
}

static void junction_free(struct junction *j)
{
	if (j->up)
		upstream_discard(j->up);
	else
		close(j->server_fd);
	recycle_free(j);
}

static void junction_on_tunnelled(const struct tunnel_result *ended, void *arg)
{
	static const enum fail fails[] = {
	    [TUNNEL_FINISHED] = FAIL_NONE,
	    [TUNNEL_CLIENT_FAILED] = FAIL_CLIENT_GONE,
	    [TUNNEL_SERVER_FAILED] = FAIL_TRUNCATED,
	    [TUNNEL_IDLE] = FAIL_ORIGIN_TIMEOUT,
	    [TUNNEL_EXPIRED] = FAIL_EXPIRED,
	    [TUNNEL_NO_RESOURCES] = FAIL_NO_MEMORY,
	};
	struct junction *j = arg;
	struct junction_result result = {.fail = fails[ended->end],
	    .end = INTAKE_CLOSE,
	    .up = ended->up,
	    .down = junction_down(j, ended->down)};
	junction_done_fn *done = j->done;
	void *done_arg = j->arg;

	/* A reset is passed on, and what we cut ourselves must not look like the end either. */
	if (ended->end != TUNNEL_FINISHED) {
		wire_reset(j->server_fd);
		result.end = INTAKE_RESET;
	}
	metrics_sub(j->metrics, METRIC_TUNNELS, 1);
	junction_free(j);
	done(&result, done_arg);
}

/* Collect what the client is to get first: what is pending, the greeting, what the server said. */
static struct evbuffer *junction_first(struct junction *j, const struct junction_sides *sides)
{
	struct evbuffer *first = evbuffer_new(), *behind = NULL;
	bool good = first && wire_take_pending(intake_wire(sides->intake), first) == 0 &&
		    evbuffer_add(first, sides->greeting, strlen(sides->greeting)) == 0;

	if (good) {
		j->head_len = evbuffer_get_length(first);
		if (j->up)
			j->server_fd = upstream_detach(j->up, &behind);
		good = !behind || evbuffer_add_buffer(first, behind) == 0;
	}
	if (good)
		return first;
	if (first)
		evbuffer_free(first);
	return NULL;
}

struct junction *junction_start(struct event_base *base, struct pipe_pool *pipes, int idle_s,
    const struct junction_sides *sides, struct metrics *metrics, junction_done_fn *done, void *arg)
{
	struct junction *j = recycle_zero(sizeof(*j));
	struct evbuffer *first = NULL;
	struct tunnel_sides ends = {.allowance = sides->allowance, .lifetime_s = sides->lifetime_s};

	if (!j) {
		if (sides->up)
			upstream_discard(sides->up);
		else
			close(sides->server_fd);
		return NULL;
	}
	j->up = sides->up;
	j->server_fd = sides->server_fd;
	j->metrics = metrics;
	j->done = done;
	j->arg = arg;
	first = junction_first(j, sides);
	if (first) {
		ends.client_fd = intake_wire(sides->intake)->fd;
		ends.server_fd = j->server_fd;
		if (intake_has_input(sides->intake))
			ends.client_prefix = intake_input(sides->intake);
		ends.server_prefix = first;
		j->tunnel = tunnel_start(
		    base, pipes, &ends, (struct timeval){idle_s, 0}, junction_on_tunnelled, j);
		evbuffer_free(first);
	}
	if (!j->tunnel) {
		junction_free(j);
		return NULL;
	}
	intake_detach(sides->intake);
	metrics_add(metrics, METRIC_TUNNELS, 1);
	metrics_add(metrics, METRIC_TUNNELS_TOTAL, 1);
	return j;
}

void junction_cancel(struct junction *j, uint64_t *ret_up, uint64_t *ret_down)
{
	tunnel_counts(j->tunnel, ret_up, ret_down);
	*ret_down = junction_down(j, *ret_down);
	tunnel_cancel(j->tunnel);
	wire_reset(j->server_fd);
	metrics_sub(j->metrics, METRIC_TUNNELS, 1);
	junction_free(j);
}
