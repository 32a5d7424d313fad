#include "net/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/addr.h"

#define TCP_STATE_LISTEN 0x0a
#define INODES_MAX 256 /* as many workers as there may be, each with a socket at the place */

struct inodes {
	unsigned long items[INODES_MAX];
	size_t count;
};

/* ---- /proc/net/tcp ---- */

/* "0100007F" or four of those: the words of the address as this machine stores them. */
static bool parse_ip(const char *hex, sa_family_t family, struct addr *ret_addr)
{
	size_t words = family == AF_INET ? 1 : 4;
	uint32_t ip[4] = {0};

	if (strlen(hex) != words * 8)
		return false;
	for (size_t i = 0; i < words; i++) {
		char word[9] = {0};

		memcpy(word, hex + i * 8, 8);
		ip[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	memset(ret_addr, 0, sizeof(*ret_addr));
	ret_addr->family = family;
	if (family == AF_INET)
		memcpy(&ret_addr->ip.v4, ip, sizeof(ret_addr->ip.v4));
	else
		memcpy(&ret_addr->ip.v6, ip, sizeof(ret_addr->ip.v6));
	return true;
}

static bool is_any(const struct addr *a)
{
	return a->family == AF_INET ? a->ip.v4.s_addr == INADDR_ANY
				    : IN6_IS_ADDR_UNSPECIFIED(&a->ip.v6);
}

/* Whether a socket bound to `held` keeps us from `at`.  "::" may stand for IPv4, too. */
static bool stands_in_the_way(const struct addr *held, const struct addr *at)
{
	struct addr wanted = *at;

	if (held->port != at->port)
		return false;
	if (held->family != at->family)
		return held->family == AF_INET6 && is_any(held);
	wanted.scope = held->scope;
	return is_any(held) || is_any(at) || addr_equal(held, &wanted);
}

static void read_table(
    const char *path, sa_family_t family, const struct addr *at, struct inodes *inodes)
{
	FILE *table = fopen(path, "re");
	char line[512], ip[33];
	unsigned port, state;
	unsigned long inode;
	struct addr held;

	if (!table)
		return;
	while (inodes->count < INODES_MAX && fgets(line, sizeof(line), table)) {
		if (sscanf(line, " %*[^:]: %32[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", ip,
			&port, &state, &inode) != 4 ||
		    state != TCP_STATE_LISTEN || !parse_ip(ip, family, &held))
			continue;
		held.port = (uint16_t)port;
		if (stands_in_the_way(&held, at))
			inodes->items[inodes->count++] = inode;
	}
	fclose(table);
}

/* ---- /proc/PID ---- */

static bool is_one_of(const char *link, const struct inodes *inodes)
{
	unsigned long inode;

	if (sscanf(link, "socket:[%lu]", &inode) != 1)
		return false;
	for (size_t i = 0; i < inodes->count; i++) {
		if (inodes->items[i] == inode)
			return true;
	}
	return false;
}

static bool process_holds(const char *pid, const struct inodes *inodes)
{
	char path[64], name[300], link[64];
	struct dirent *entry;
	bool holds = false;
	ssize_t len;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	folder = opendir(path);
	if (!folder)
		return false;
	while (!holds && (entry = readdir(folder)) != NULL) {
		snprintf(name, sizeof(name), "%s", entry->d_name);
		len = readlinkat(dirfd(folder), name, link, sizeof(link) - 1);
		if (len <= 0)
			continue;
		link[len] = '\0';
		holds = is_one_of(link, inodes);
	}
	closedir(folder);
	return holds;
}

static void read_name(const char *pid, struct holder *holder)
{
	char path[64];
	FILE *file;

	holder->pid = (pid_t)strtol(pid, NULL, 10);
	snprintf(holder->name, sizeof(holder->name), "?");
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(holder->name, sizeof(holder->name), file))
		holder->name[strcspn(holder->name, "\n")] = '\0';
	fclose(file);
}

bool holder_find(const struct addr *at, const char *preferred, struct holder *ret_holder)
{
	struct inodes inodes = {.count = 0};
	struct dirent *entry;
	bool found = false, best = false;
	DIR *folder;

	read_table("/proc/net/tcp", AF_INET, at, &inodes);
	read_table("/proc/net/tcp6", AF_INET6, at, &inodes);
	folder = inodes.count > 0 ? opendir("/proc") : NULL;
	if (!folder)
		return false;
	while (!best && (entry = readdir(folder)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !process_holds(entry->d_name, &inodes))
			continue;
		read_name(entry->d_name, ret_holder);
		found = true;
		best = strcmp(ret_holder->name, preferred) == 0;
	}
	closedir(folder);
	return found;
}
