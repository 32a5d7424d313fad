#include "net/watch.h"

#include <sys/stat.h>

bool watch_changed(struct watch *w)
{
	struct stat st;
	bool changed;

	if (stat(w->path, &st) != 0)
		st = (struct stat){0};
	changed = st.st_mtim.tv_sec != w->mtime.tv_sec || st.st_mtim.tv_nsec != w->mtime.tv_nsec ||
		  st.st_ino != w->inode || st.st_size != w->size;
	w->mtime = st.st_mtim;
	w->inode = st.st_ino;
	w->size = st.st_size;
	return changed;
}
