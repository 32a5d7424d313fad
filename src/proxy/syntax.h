/*
 * syntax -- a configuration's text, before libconfig reads it.
 *
 * libconfig 1.5 takes a string without an end for the end of the file, wraps large
 * numbers around, opens other files at @include, recurses as deeply as it is told to,
 * and takes quadratic time over many settings.  What goes past here does none of that.
 */
#ifndef PROXY_SYNTAX_H
#define PROXY_SYNTAX_H

#include "base/text.h"

/*
 * Returns NULL, or why the text is refused: a static sentence, *ret_line is the line.
 * Numbers too large for any key are overwritten by one that is out of range in the same
 * place.  The text must end with a line feed.
 */
const char *syntax_check(struct text *text, unsigned *ret_line);

#endif
