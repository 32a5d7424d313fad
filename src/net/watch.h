/*
 * watch -- a file, and whether it has changed since we last looked.
 */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct watch {
	const char *path; /* set by the owner; the rest is 0 at first */
	struct timespec mtime;
	ino_t inode;
	off_t size;
};

/* Looks (one system call).  A file that is not there looks like an empty one. */
bool watch_changed(struct watch *w);

#endif
