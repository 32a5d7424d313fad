/*
 * lists -- what a blocklist of a million names costs: to load, to hold, to look up in.
 *
 *     lists [NAMES [SLACK]]
 *
 * Writes a list in the hosts format, as the large public ones are, reads it ROUNDS times, and looks
 * up hosts of which a half are on it or below a name on it.  Prints the best of the rounds; ends
 * with 1 when one figure is above its limit.  Times are of the CPU: other work on the machine does
 * not count, but for what it does to the caches.  Where that is not in one's hand, a time may be
 * SLACK times its limit.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/nameset.h"

#define NAMES_DEFAULT 1000000
#define ROUNDS 3
#define HOSTS ((size_t)1 << 20)
#define HOST_SIZE 80 /* more than any */

#define LOAD_S_MAX 1.0
#define BYTES_MAX 64.0
#define LOOKUP_NS_MAX 200.0

static uint64_t seed = 88172645463325252U;

/* xorshift: the same list on every machine. */
static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* Words of 3 to 12 letters, here and there a digit or a hyphen. */
static size_t put_label(char *out)
{
	static const char letters[] = "eeettaaooiinnsshhrrddlluccmmwwffggyyppbvkjxqz0123-";
	size_t len = 3 + next_random() % 10;

	for (size_t i = 0; i < len; i++)
		out[i] = letters[next_random() % (sizeof(letters) - (i == 0 || i + 1 == len) - 1)];
	return len;
}

/* The nth name: most are a domain, the others of some host in it. */
static void make_name(size_t n, char *out)
{
	static const char *const tops[] = {
	    ".com", ".com", ".com", ".net", ".org", ".info", ".ru", ".de", ".co.uk", ".xyz"};
	size_t len = 0;

	seed = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	for (int i = 0; i < 3; i++)
		next_random();
	for (uint64_t labels = 1 + next_random() % 3; labels > 1; labels--) {
		len += put_label(out + len);
		out[len++] = '.';
	}
	len += put_label(out + len);
	strcpy(out + len, tops[next_random() % (sizeof(tops) / sizeof(tops[0]))]);
}

static void write_list(const char *path, size_t names)
{
	FILE *out = fopen(path, "w");
	char name[HOST_SIZE];

	if (!out)
		die(path);
	fputs("# A list.\n127.0.0.1 localhost\n::1 localhost\n\n", out);
	for (size_t i = 0; i < names; i++) {
		make_name(i, name);
		fprintf(out, "0.0.0.0 %s\n", name);
	}
	if (fclose(out) != 0)
		die(path);
}

/* A line of /proc/self/status, in bytes. */
static double memory(const char *key)
{
	FILE *in = fopen("/proc/self/status", "r");
	char line[256];
	double kib = 0;

	while (in && fgets(line, sizeof(line), in)) {
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtod(line + strlen(key) + 1, NULL);
	}
	if (in)
		fclose(in);
	return kib * 1024;
}

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One in four is on the list, every other one has a label in front. */
static char *make_hosts(size_t names)
{
	char *hosts = malloc(HOSTS * HOST_SIZE);

	for (size_t i = 0; hosts && i < HOSTS; i++) {
		char *host = hosts + i * HOST_SIZE;
		size_t n = (size_t)(i * UINT64_C(2654435761) % names);

		strcpy(host, "www.");
		make_name(i % 4 == 0 ? n : names + n, host + (i / 4 % 2 ? 4 : 0));
	}
	return hosts;
}

static double look_up(const struct nameset *set, const char *hosts, size_t *ret_found)
{
	double began = cpu_s();

	*ret_found = 0;
	for (size_t i = 0; i < HOSTS; i++) {
		const char *host = hosts + i * HOST_SIZE;

		*ret_found += nameset_has(set, (struct slice){host, strlen(host)});
	}
	return (cpu_s() - began) / (double)HOSTS * 1e9;
}

static bool judge(const char *what, double value, double limit, const char *unit)
{
	bool good = value <= limit;

	printf(
	    "%-12s %8.3f %s, at most %.0f%s\n", what, value, unit, limit, good ? "" : ": TOO MUCH");
	return good;
}

int main(int argc, char **argv)
{
	size_t names = argc > 1 ? strtoul(argv[1], NULL, 10) : NAMES_DEFAULT, found = 0;
	char path[] = "/tmp/penstock-list-XXXXXX";
	double slack = argc > 2 ? strtod(argv[2], NULL) : 1, load_s = 1e9, lookup_ns = 1e9, before,
	       held = 0, peak = 0, one;
	struct nameset *set = NULL;
	char *hosts = make_hosts(names);
	int fd = mkstemp(path);
	bool good;

	if (fd < 0 || !hosts || names == 0)
		die("lists");
	close(fd);
	write_list(path, names);
	before = memory("VmRSS:");
	for (int i = 0; i < ROUNDS; i++) {
		double began = cpu_s();

		nameset_unref(set);
		set = nameset_load(path, NULL, NULL);
		one = cpu_s() - began;
		if (!set)
			die(path);
		load_s = one < load_s ? one : load_s;
		if (i == 0) {
			held = memory("VmRSS:") - before;
			peak = memory("VmHWM:") - before;
		}
		one = look_up(set, hosts, &found);
		lookup_ns = one < lookup_ns ? one : lookup_ns;
	}
	unlink(path);
	printf("%zu lines, %zu different names; %zu of %zu hosts are on the list\n", names,
	    nameset_facts(set)->names, found, HOSTS);
	good = judge("loading", load_s, LOAD_S_MAX * slack, "s of CPU");
	good &= judge("held", held / (double)names, BYTES_MAX, "bytes a name");
	good &= judge("at its peak", peak / (double)names, BYTES_MAX, "bytes a name");
	good &= judge("a lookup", lookup_ns, LOOKUP_NS_MAX * slack, "ns");
	good &= found >= HOSTS / 4;
	nameset_unref(set);
	free(hosts);
	return good ? 0 : 1;
}
