/*
 * tempo -- whether the ends of an exchange keep up the least rate of its bodies.
 *
 * Of each direction one end is waited for at any time: the one that takes while bytes are
 * pending towards it, else the one that sends, if it is known to have more.  Only the time of
 * the one that is waited for counts: nobody is blamed for the other's slowness, and an event
 * stream may be silent.  An end has an allowance of time.  Waiting uses it up; each byte that
 * the end moves earns a part of a second back, up to what there was at first.  Pure: no clock.
 */
#ifndef POLICY_TEMPO_H
#define POLICY_TEMPO_H

#include <stdbool.h>
#include <stdint.h>

/* Of one end; all zero at first. */
struct tempo {
	uint64_t moved;   /* bytes in all, when last noted */
	uint64_t used_ms; /* of the allowance */
	bool waited_for;  /* from the last time on */
};

struct tempo_rate {
	uint64_t bytes_s; /* 0: no rate is too low */
	uint64_t allowance_ms;
};

/*
 * The end has moved so many bytes in all, `elapsed_ms` after this was noted last.  Returns
 * whether it keeps up.
 */
bool tempo_note(
    struct tempo *p, const struct tempo_rate *rate, uint64_t moved, uint64_t elapsed_ms);

#endif
