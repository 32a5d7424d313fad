/*
 * sd -- what we use of sd-daemon(3): libsystemd's own where it is there, else the same in few
 * lines.
 *
 * Both read the environment that the service manager set, and are used by the main thread
 * before others run, but for sd_notify.
 */
#ifndef BASE_SD_H
#define BASE_SD_H

#ifdef WITH_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#else
#include <stdint.h>

#define SD_LISTEN_FDS_START 3

/* Above 0 when the state was sent, 0 when nobody wants it, else a negative errno. */
int sd_notify(int unset_environment, const char *state);

/* Above 0 when "WATCHDOG=1" is awaited within every *usec, 0 when not, else a negative errno. */
int sd_watchdog_enabled(int unset_environment, uint64_t *usec);

/*
 * How many descriptors, from SD_LISTEN_FDS_START on, were handed over; they get close-on-exec.
 * When there are any *names is a list for the caller to free, its strings too, ending in NULL.
 */
int sd_listen_fds_with_names(int unset_environment, char ***names);
#endif

#endif
