/*
 * namelist -- files of host names, in the formats that such lists come in.
 *
 *     example.org                     plain; .example.org and *.example.org are the same
 *     0.0.0.0 example.org ...         hosts: names that lead nowhere (0.0.0.0, 127.0.0.0/8, ::,
 * ::1) address=/example.org/           dnsmasq, also local= and server=; what is behind the last
 *                                     slash, if anything, has to lead nowhere
 *     ||example.org^                  adblock, without options
 *     @@example.org, @@||example.org^, server=/example.org/#
 *                                     exceptions
 *     # ! ; and [ ]                   comments; "#" also behind a blank
 *
 * Each line is told by itself, so they may be mixed.  A name is letters, digits, "-" and "_" in
 * labels (international ones as xn--), and no address.  Lines that hosts files have for the
 * machine itself (localhost and other names without a dot) say nothing.  All other lines are
 * counted as unknown.  Safe for any bytes.
 */
#ifndef POLICY_NAMELIST_H
#define POLICY_NAMELIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define NAMELIST_NAME_MAX 253
#define NAMELIST_LINE_MAX 4096 /* bytes; a longer line is unknown */

/* A name, lower case and without a trailing dot, borrowed.  0 to go on, or -1 to end. */
typedef int namelist_fn(struct slice name, bool exception, void *arg);

/* A list while it is read: all zero but each and arg. */
struct namelist {
	namelist_fn *each;
	void *arg;
	uint64_t line;          /* that was read last, from 1 on */
	uint64_t unknown;       /* lines that no format explains */
	uint64_t first_unknown; /* the first of them */
	bool overlong;          /* held is the beginning of a line that is too long */
	size_t held_len;
	char held[NAMELIST_LINE_MAX]; /* a line that has not ended yet */
};

/* Take the next bytes of the file.  Returns 0, or -1 when each did. */
MUST_USE int namelist_feed(struct namelist *n, const char *bytes, size_t len);
/* There are no more. */
MUST_USE int namelist_end(struct namelist *n);

/*
 * Check a name and write it in lower case, terminated.  Returns its length, or 0: it is none, and
 * out is then undefined.
 */
size_t namelist_read_name(struct slice text, char out[NAMELIST_NAME_MAX + 1]);

#endif
