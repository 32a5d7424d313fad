/*
 * question -- one family of a name, asked of the name servers.
 *
 * For dns only.  Embedded in its owner.
 */
#ifndef NET_QUESTION_H
#define NET_QUESTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/record.h"

struct channel;
struct question;

/*
 * The channel has let go of it: with an answer, or without (it is closed, or time was out).
 * Possibly from inside question_ask and channel_close.
 */
typedef void question_back_fn(bool answered, void *arg);

struct question {
	struct record record; /* the answer, when it is known; at first there is no address */
	sa_family_t family;
	bool asked, known; /* the channel has it; there is an answer */
	bool again;        /* asked once more, after a FORMERR */
	int64_t known_ms;  /* since then, when a server said it */
	const char *name;
	struct channel *channel;
	question_back_fn *back;
	void *arg;
};

/* Borrows the name, which is absolute.  Without `wanted` it is known, as having no address. */
void question_init(struct question *q, const char *name, sa_family_t family, bool wanted,
    question_back_fn *back, void *arg);

/* channel_arm is up to the caller. */
void question_ask(struct question *q, struct channel *channel);

/* Time is out: a time-out is the answer, where there is none yet.  The channel still has it. */
void question_give_up(struct question *q);

/* The answer, to be believed for so much less as it has lain here since it came. */
struct record question_answer(const struct question *q);

#endif
