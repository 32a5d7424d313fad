#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "net/addr.h"

static int listener_set(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on));
}

/* Options and bind.  -1 with errno. */
static int listener_prepare(int fd, const struct addr *at, bool share)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(at, &sa);

	if (listener_set(fd, SOL_SOCKET, SO_REUSEADDR) < 0)
		return -1;
	if (share && listener_set(fd, SOL_SOCKET, SO_REUSEPORT) < 0)
		return -1;
	/* Handed down to each accepted socket. */
	if (listener_set(fd, IPPROTO_TCP, TCP_NODELAY) < 0)
		return -1;
	/* So that "::" and "0.0.0.0" can stand side by side, whatever net.ipv6.bindv6only is. */
	if (at->family == AF_INET6 && listener_set(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0)
		return -1;
	return bind(fd, (const struct sockaddr *)&sa, len);
}

static int listener_bind(const struct addr *at, bool share)
{
	int fd = socket(at->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int error;

	if (fd < 0)
		return -1;
	if (listener_prepare(fd, at, share) < 0) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int listener_open(const struct addr *at, int backlog)
{
	int fd = listener_bind(at, true);
	int error;

	if (fd >= 0 && listen(fd, backlog) < 0) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int listener_get(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

const char *listener_adopt(int fd)
{
	int family = listener_get(fd, SO_DOMAIN);
	int flags = fcntl(fd, F_GETFL);

	if (family < 0 || flags < 0)
		return strerror(errno);
	if (family != AF_INET && family != AF_INET6)
		return "neither an IPv4 nor an IPv6 socket";
	if (listener_get(fd, SO_TYPE) != SOCK_STREAM)
		return "not a TCP socket";
	if (listener_get(fd, SO_ACCEPTCONN) != 1)
		return "a socket that does not listen";
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    listener_set(fd, IPPROTO_TCP, TCP_NODELAY) < 0)
		return strerror(errno);
	return NULL;
}

static bool listener_can_bind(const struct addr *at, bool share)
{
	int fd = listener_bind(at, share);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

bool listener_is_free(const struct addr *at)
{
	return listener_can_bind(at, false);
}

bool listener_may_share(const struct addr *at)
{
	return listener_can_bind(at, true);
}

/*
 * A socket filter on a listening socket sees each segment from the TCP header on; this one drops
 * SYN without ACK.  Accepted sockets inherit it, and are never sent such a segment.
 */
void listener_hold(int fd, bool on)
{
	static struct sock_filter steps[] = {
	    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags */
	    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog filter = {.len = ARRAY_LEN(steps), .filter = steps};
	int nothing = 0;

	/* Without a filter the queue is accepted all the same, only those who come last are not. */
	if (on)
		(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
	else
		(void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof(nothing));
}

bool listener_has_waiting(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	return poll(&ready, 1, 0) == 1;
}

bool listener_takes_both(int fd)
{
	int only = 1;
	socklen_t len = sizeof(only);

	return listener_get(fd, SO_DOMAIN) == AF_INET6 &&
	       getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && !only;
}

int listener_address(int fd, struct addr *ret_addr)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -1;
	return addr_from_sockaddr((const struct sockaddr *)&sa, ret_addr);
}
