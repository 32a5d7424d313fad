/*
 * zone -- a time zone: what clocks show there, at any time.
 *
 * Read once from the system's zone files (RFC 8536) and never changed: any thread may ask, and
 * asking takes no lock and no system call.
 */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include <stdint.h>

struct zone;

#define ZONE_NAME_MAX 64

/*
 * "Europe/Berlin", or NULL for this machine's: what the variable TZ says, else /etc/localtime,
 * else UTC.  Returns new, or NULL with a sentence: "there is no such time zone".
 */
struct zone *zone_load(const char *name, const char **ret_why);
void zone_free(struct zone *zone);

/* Seconds that clocks there are ahead of UTC at the time t, seconds since 1970. */
int32_t zone_offset(const struct zone *zone, int64_t t);

#endif
