/*
 * attr -- compiler attributes under short names.
 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

/* The result says whether it worked: ignoring it is a bug. */
#define MUST_USE __attribute__((warn_unused_result))

/* Arguments are checked like those of printf(3). */
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* In a loop where the call would cost as much as what it does. */
#define ALWAYS_INLINE __attribute__((always_inline))

/* Seldom called: kept out of the way of its callers. */
#define COLD __attribute__((cold, noinline))

#endif
