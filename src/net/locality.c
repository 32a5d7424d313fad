#include "net/locality.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/addr.h"

#define ANSWER_MAX 4096 /* an answer has some 200 bytes */

struct locality {
	pthread_mutex_t lock; /* one asks at a time */
	int fd;
	uint32_t asked;
};

struct question {
	struct nlmsghdr head;
	struct rtmsg route;
	struct rtattr to;
	struct in6_addr ip; /* or an IPv4 address at its beginning */
};

struct locality *locality_new(void)
{
	struct locality *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (l->fd < 0) {
		free(l);
		return NULL;
	}
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void locality_free(struct locality *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	close(l->fd);
	free(l);
}

static int locality_ask(struct locality *l, const struct addr *a)
{
	struct question q = {.head.nlmsg_type = RTM_GETROUTE, .head.nlmsg_flags = NLM_F_REQUEST};
	size_t len = a->family == AF_INET ? sizeof(a->ip.v4) : sizeof(a->ip.v6);

	memcpy(&q.ip, &a->ip, len);
	q.to = (struct rtattr){(unsigned short)RTA_LENGTH(len), RTA_DST};
	q.route.rtm_family = (unsigned char)a->family;
	q.route.rtm_dst_len = (unsigned char)(8 * len);
	q.head.nlmsg_len = (uint32_t)(offsetof(struct question, ip) + len);
	q.head.nlmsg_seq = ++l->asked;
	return send(l->fd, &q, q.head.nlmsg_len, 0) == (ssize_t)q.head.nlmsg_len ? 0 : -1;
}

/* The answer is there as soon as it was asked for.  An error says that no way leads there. */
static bool locality_hear(struct locality *l)
{
	union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} answer;
	const struct rtmsg *route = (const struct rtmsg *)NLMSG_DATA(&answer.head);
	ssize_t got;

	while ((got = recv(l->fd, &answer, sizeof(answer), 0)) > 0) {
		if (!NLMSG_OK(&answer.head, (size_t)got) || answer.head.nlmsg_seq != l->asked)
			continue;
		if (answer.head.nlmsg_type == NLMSG_ERROR)
			return false;
		if (answer.head.nlmsg_type == RTM_NEWROUTE &&
		    answer.head.nlmsg_len >= NLMSG_LENGTH(sizeof(*route)))
			return route->rtm_type == RTN_LOCAL || route->rtm_type == RTN_ANYCAST;
	}
	return true;
}

bool locality_has(struct locality *l, const struct addr *a)
{
	bool local = true;

	if (!l)
		return true;
	pthread_mutex_lock(&l->lock);
	if (locality_ask(l, a) == 0)
		local = locality_hear(l);
	pthread_mutex_unlock(&l->lock);
	return local;
}
