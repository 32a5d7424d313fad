/*
 * schedule -- by when what has to have happened in an exchange, and who is late when it has not.
 *
 * The first byte of the response, the next bytes of either body, the rest of an upload behind the
 * response; and how fast the bodies go, which is patience's.  Embedded in its owner.
 */
#ifndef PROXY_SCHEDULE_H
#define PROXY_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "http/reply.h"
#include "net/deadline.h"
#include "proxy/patience.h"

struct config;
struct event_base;
struct relay;

struct schedule {
	const struct config *config;
	struct deadline deadline;
	struct patience patience;
	uint64_t due_ms; /* when nothing moves; the deadline may come before, to have a look */
	uint64_t answer_due_ms; /* behind interim responses; 0: there was none */
	uint64_t interim_at;    /* the request's bytes at the first of them */
	bool awaiting; /* the request is sent, and the deadline of the response head runs */
};

/* Where the exchange stands. */
struct schedule_view {
	const struct relay *up, *down; /* up's sink is there while the origin is */
	bool origin;                   /* it takes part still */
	bool request_done, response_done;
	bool answered;    /* a final response head has come */
	bool upload_dead; /* the origin takes no more */
	bool held;        /* the client waits for the origin's leave to send */
	bool paced;       /* by us */
};

/* Borrows config.  `late` is called from the loop when schedule_look is due. */
void schedule_init(struct schedule *s, struct event_base *base, const struct config *config,
    deadline_fn *late, void *arg);
void schedule_done(struct schedule *s);

/* Something has moved. */
void schedule_touch(struct schedule *s, const struct schedule_view *view);

/* So has an interim response, when so many bytes of the request had been read. */
void schedule_interim(struct schedule *s, uint64_t bytes);

enum schedule_end {
	SCHEDULE_KEPT,
	SCHEDULE_UPLOAD_LATE, /* the response is complete, only the rest of an upload is late */
	SCHEDULE_LATE         /* *ret_fail says who */
};

/* Something has moved, and all that could be written has been: do all keep up? */
enum schedule_end schedule_judge(
    struct schedule *s, const struct schedule_view *view, enum fail *ret_fail);

/* Nothing was heard of for a while. */
enum schedule_end schedule_look(
    struct schedule *s, const struct schedule_view *view, enum fail *ret_fail);

#endif
