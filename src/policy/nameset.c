#include "policy/nameset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/leisure.h"
#include "base/siphash.h"
#include "policy/namelist.h"

#define BLOCK_SIZE ((size_t)2 * 1024) /* some 15 us of work */
#define HUGE_PAGE ((size_t)2 * 1024 * 1024)

/* Where a name of one byte takes two in the list, it takes three here. */
#define NAMES_SIZE(list_size) ((list_size) + (list_size) / 2 + BLOCK_SIZE)
#define LIST_SIZE_MAX ((off_t)1 << 31)

/* A file that was touched a moment ago may be so again without its time showing it. */
#define SETTLED_S 2

/* A name is its length, whether it is an exception, and its bytes. */
#define HEADER_SIZE 2
#define EXCEPTION 1

/*
 * Names lie in buckets by their hash, one behind the other, and a small table tells where each
 * bucket begins.  To look at a bucket is to wait for memory that is in no cache, so two bits in the
 * table are set for each name in it: that spares the look at nineteen of twenty where a name is
 * not.
 */
#define NAMES_PER_BUCKET 4

#define SUFFIXES_MAX (NAMELIST_NAME_MAX / 2 + 1)
#define CACHE_LINE 64

struct bucket {
	uint32_t start, mask;
};

/* Pages of our own; all zero is empty. */
struct pages {
	void *ptr;
	size_t size;
};

/* Which file, and what its last change was. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

struct nameset {
	atomic_size_t refs;
	struct siphash_key key;
	struct pages names;
	size_t names_len;
	struct pages buckets;  /* struct bucket of each, and the end of the last */
	uint32_t bucket_count; /* 0: there is no name */
	bool settled;          /* stamp tells whether the file has changed */
	struct stamp stamp;
	struct nameset_facts facts;
	struct leisure *leisure; /* while it is loaded */
};

/* ---- memory ----------------------------------------------------------------------------- */

/* Not malloc: it keeps much of what another thread frees. */
static int pages_make(struct pages *pages, size_t size)
{
	void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ptr == MAP_FAILED)
		return -1;
	/* Not to wait for the page tables too.  Refused where there are none. */
	if (size >= HUGE_PAGE)
		(void)madvise(ptr, size, MADV_HUGEPAGE);
	pages->ptr = ptr;
	pages->size = size;
	return 0;
}

static void pages_free(struct pages *pages)
{
	if (pages->size > 0)
		munmap(pages->ptr, pages->size);
}

/* ---- looking up ------------------------------------------------------------------------- */

/* Where a name belongs. */
struct place {
	struct bucket *bucket;
	uint32_t mask;
};

static unsigned char *entry(const struct nameset *set, size_t at)
{
	return (unsigned char *)set->names.ptr + at;
}

static struct place place_of(const struct nameset *set, struct slice name)
{
	uint64_t hash = siphash(&set->key, name.ptr, name.len);
	struct bucket *buckets = set->buckets.ptr;

	return (struct place){.bucket = &buckets[(hash >> 32) * set->bucket_count >> 32],
	    .mask = UINT32_C(1) << (hash & 31) | UINT32_C(1) << (hash >> 5 & 31)};
}

/* The name in its bucket, or NULL. */
static unsigned char *find_entry(const struct nameset *set, struct place place, struct slice name)
{
	unsigned char *at = entry(set, place.bucket->start);
	const unsigned char *end = entry(set, place.bucket[1].start);

	/* Of the same name there may have been more; what they leave at the end is zero. */
	for (; at < end && at[0] > 0; at += HEADER_SIZE + at[0]) {
		if (at[0] == name.len && memcmp(at + HEADER_SIZE, name.ptr, name.len) == 0)
			return at;
	}
	return NULL;
}

bool nameset_find(const struct nameset *set, struct slice host, struct nameset_match *ret_match)
{
	const char *end = host.ptr + host.len, *at = host.ptr;
	struct slice suffixes[SUFFIXES_MAX];
	struct place places[SUFFIXES_MAX];
	size_t count = 0;

	if (set->bucket_count == 0 || host.len == 0 || host.len > NAMELIST_NAME_MAX)
		return false;
	/* All of the table that is needed is asked for before any of it is waited for. */
	while (at != NULL && at < end && count < SUFFIXES_MAX) {
		suffixes[count] = (struct slice){at, (size_t)(end - at)};
		places[count] = place_of(set, suffixes[count]);
		__builtin_prefetch(places[count].bucket);
		at = memchr(at, '.', (size_t)(end - at));
		at = at != NULL ? at + 1 : NULL;
		count++;
	}
	for (size_t i = 0; i < count; i++) {
		const unsigned char *known;

		if ((places[i].bucket->mask & places[i].mask) != places[i].mask)
			continue;
		__builtin_prefetch(entry(set, places[i].bucket->start) + CACHE_LINE);
		known = find_entry(set, places[i], suffixes[i]);
		if (known == NULL)
			continue;
		ret_match->len = suffixes[i].len;
		ret_match->exception = known[1] == EXCEPTION;
		return true;
	}
	return false;
}

/* ---- loading ---------------------------------------------------------------------------- */

static int nameset_on_name(struct slice name, bool exception, void *arg)
{
	struct nameset *set = arg;
	unsigned char *at;

	/* The file has grown meanwhile. */
	if (set->names.size - set->names_len < HEADER_SIZE + name.len) {
		errno = ESTALE;
		return -1;
	}
	at = entry(set, set->names_len);
	at[0] = (unsigned char)name.len;
	at[1] = exception ? EXCEPTION : 0;
	memcpy(at + HEADER_SIZE, name.ptr, name.len);
	set->names_len += HEADER_SIZE + name.len;
	set->facts.names++;
	return 0;
}

static struct slice entry_name(const unsigned char *at)
{
	return (struct slice){(const char *)at + HEADER_SIZE, at[0]};
}

/* Where each bucket will begin, for the names as they were read.  False: it was stopped. */
static bool measure_buckets(struct nameset *set, const struct pages *read, size_t len)
{
	const unsigned char *at = read->ptr, *end = at + len;
	struct bucket *buckets = set->buckets.ptr;
	uint32_t sum = 0, i;

	for (; at < end && leisure_step(set->leisure); at += HEADER_SIZE + at[0])
		place_of(set, entry_name(at)).bucket->start += HEADER_SIZE + (uint32_t)at[0];
	for (i = 0; at == end && i <= set->bucket_count && leisure_step(set->leisure); i++) {
		uint32_t size = buckets[i].start;

		buckets[i].start = sum;
		sum += size;
	}
	return i > set->bucket_count;
}

/* A name that is there already may become an exception. */
static void place_name(struct nameset *set, const unsigned char *fresh)
{
	struct slice name = entry_name(fresh);
	struct place place = place_of(set, name);
	unsigned char *known = find_entry(set, place, name);

	if (known == NULL) {
		known = entry(set, place.bucket->start);
		while (known[0] > 0)
			known += HEADER_SIZE + known[0];
		memcpy(known, fresh, HEADER_SIZE + name.len);
		place.bucket->mask |= place.mask;
		set->facts.names++;
		set->facts.exceptions += fresh[1];
		return;
	}
	set->facts.exceptions += fresh[1] & ~known[1];
	known[1] |= fresh[1];
}

/* Put the names, as they were read, into buckets. */
static int build(struct nameset *set)
{
	size_t buckets = set->facts.names / NAMES_PER_BUCKET + 1;
	struct pages read = set->names;
	const unsigned char *at = read.ptr, *end = at + set->names_len;

	if (set->facts.names == 0)
		return 0;
	set->names = (struct pages){0};
	set->facts.names = 0;
	set->bucket_count = (uint32_t)buckets;
	if (pages_make(&set->buckets, (buckets + 1) * sizeof(struct bucket)) != 0 ||
	    pages_make(&set->names, set->names_len) != 0) {
		pages_free(&read);
		return -1;
	}
	if (measure_buckets(set, &read, set->names_len)) {
		for (; at < end && leisure_step(set->leisure); at += HEADER_SIZE + at[0])
			place_name(set, at);
	}
	pages_free(&read);
	if (at < end)
		errno = ECANCELED;
	return at < end ? -1 : 0;
}

/* For a list of so many bytes. */
static struct nameset *nameset_new(size_t list_size)
{
	struct nameset *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return NULL;
	atomic_init(&set->refs, 1);
	if (siphash_pick(&set->key) != 0 || pages_make(&set->names, NAMES_SIZE(list_size)) != 0) {
		nameset_unref(set);
		return NULL;
	}
	return set;
}

/* 0, or -1 with errno. */
static int finish(struct nameset *set, struct namelist *list)
{
	if (namelist_end(list) != 0)
		return -1;
	set->facts.unknown = list->unknown;
	set->facts.first_unknown = list->first_unknown;
	return build(set);
}

struct nameset *nameset_parse(struct slice text)
{
	struct nameset *set = nameset_new(text.len);
	struct namelist list = {.each = nameset_on_name, .arg = set};

	if (set == NULL)
		return NULL;
	if (namelist_feed(&list, text.ptr, text.len) == 0 && finish(set, &list) == 0)
		return set;
	nameset_unref(set);
	return NULL;
}

/* Returns how many bytes the file has, or -1 with errno. */
static off_t read_blocks(const struct nameset *set, int fd, struct namelist *list, char *block)
{
	off_t total = 0;
	ssize_t n;

	do {
		if (!leisure_stride(set->leisure)) {
			errno = ECANCELED;
			return -1;
		}
		n = read(fd, block, BLOCK_SIZE);
		if (n > 0 && namelist_feed(list, block, (size_t)n) != 0)
			return -1;
		total += n > 0 ? n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -1 : total;
}

static int read_names(struct nameset *set, int fd)
{
	struct namelist list = {.each = nameset_on_name, .arg = set};
	char *block = malloc(BLOCK_SIZE);
	off_t total;

	if (block == NULL)
		return -1;
	total = read_blocks(set, fd, &list, block);
	free(block);
	if (total < 0)
		return -1;
	/* Somebody writes to it: the half of a list would look like a whole one. */
	if (total != set->stamp.size) {
		errno = ESTALE;
		return -1;
	}
	return finish(set, &list);
}

static int read_stamp(int fd, struct stamp *ret_stamp)
{
	struct stat info;

	if (fstat(fd, &info) != 0)
		return -1;
	if (!S_ISREG(info.st_mode)) {
		errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
		return -1;
	}
	if (info.st_size > LIST_SIZE_MAX) {
		errno = EFBIG;
		return -1;
	}
	*ret_stamp = (struct stamp){
	    .dev = info.st_dev, .ino = info.st_ino, .size = info.st_size, .changed = info.st_ctim};
	return 0;
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct nameset *nameset_share(struct nameset *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

static struct nameset *load_file(int fd, struct nameset *old, struct leisure *leisure)
{
	struct stamp stamp;
	struct nameset *set;

	if (read_stamp(fd, &stamp) != 0)
		return NULL;
	if (old != NULL && old->settled && is_same(&stamp, &old->stamp))
		return nameset_share(old);
	set = nameset_new((size_t)stamp.size);
	if (set == NULL)
		return NULL;
	set->stamp = stamp;
	set->settled = stamp.changed.tv_sec + SETTLED_S < time(NULL);
	set->leisure = leisure;
	if (read_names(set, fd) != 0) {
		nameset_unref(set);
		return NULL;
	}
	set->leisure = NULL;
	return set;
}

struct nameset *nameset_load(const char *path, struct nameset *old, struct leisure *leisure)
{
	/* Opening must not wait, whatever the path names. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct nameset *set;
	int error;

	if (fd < 0)
		return NULL;
	set = load_file(fd, old, leisure);
	error = errno;
	close(fd);
	errno = error;
	return set;
}

/* ---- life ------------------------------------------------------------------------------- */

void nameset_unref(struct nameset *set)
{
	int error = errno;

	if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1)
		return;
	pages_free(&set->buckets);
	pages_free(&set->names);
	free(set);
	errno = error;
}

const struct nameset_facts *nameset_facts(const struct nameset *set)
{
	return &set->facts;
}
