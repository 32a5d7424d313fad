/*
 * utf8 -- characters beyond ASCII, as RFC 3629 writes them.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

#include "base/slice.h"

/*
 * The bytes of the character that s begins with, when it is beyond ASCII, well formed and no
 * control (C1); else 0.
 */
size_t utf8_len(struct slice s);

#endif
