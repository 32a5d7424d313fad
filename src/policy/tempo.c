#include "policy/tempo.h"

/* So that a second's worth of milliseconds does not overflow; far above any allowance. */
#define MOST (UINT64_C(1) << 40)

bool tempo_note(struct tempo *p, const struct tempo_rate *rate, uint64_t moved, uint64_t elapsed_ms)
{
	uint64_t bytes = moved > p->moved ? moved - p->moved : 0, earned;

	if (moved > p->moved)
		p->moved = moved;
	if (rate->bytes_s == 0)
		return true;
	if (p->waited_for)
		p->used_ms += elapsed_ms;
	earned = (bytes < MOST ? bytes : MOST) * 1000 / rate->bytes_s;
	p->used_ms -= earned < p->used_ms ? earned : p->used_ms;
	return p->used_ms <= rate->allowance_ms;
}
