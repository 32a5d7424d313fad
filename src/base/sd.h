/*
 * sd -- what we use of sd-daemon(3): libsystemd's own where it is there, else the same in few
 * lines.
 *
 * libsystemd is looked for when the environment says that somebody wants to be spoken to, and not
 * before: with all that it brings along it takes a megabyte, a third of what the daemon does at
 * rest.  For the main thread, first of all before there is a sandbox, which lets nothing be loaded.
 */
#ifndef BASE_SD_H
#define BASE_SD_H

#include <stdint.h>

#define SD_LISTEN_FDS_START 3

struct sd {
	/* Above 0 when the state was sent, 0 when nobody wants it, else a negative errno. */
	int (*notify)(int unset_environment, const char *state);

	/* Above 0 when "WATCHDOG=1" is awaited within every *usec, 0 when not, else a negative
	 * errno. */
	int (*watchdog_enabled)(int unset_environment, uint64_t *usec);

	/*
	 * How many descriptors, from SD_LISTEN_FDS_START on, were handed over; they get
	 * close-on-exec.  When there are any *names is a list for the caller to free, its strings
	 * too, ending in NULL.
	 */
	int (*listen_fds_with_names)(int unset_environment, char ***names);
};

const struct sd *sd_get(void);

#endif
