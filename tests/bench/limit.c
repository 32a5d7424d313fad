/*
 * limit -- the least a proxy in user space can cost: a relay that moves bytes both ways between
 * each client and 127.0.0.1:TARGET_PORT and looks at none of them.
 *
 *     limit [-p CPU] LISTEN_PORT TARGET_PORT
 *
 * One thread on edge-triggered epoll.  A short message is a recv() and a send(); when one fills
 * the buffer, the direction goes over to splice() through a pipe until it is drained.  Half-closes
 * are passed on.
 */
#include "ground.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS = 512,
	SHORT_MOST = 16 * 1024, /* of what is copied instead of spliced */
	PIPE_SIZE = 1024 * 1024,
	PIPES_KEPT = 64,
	TURNS_MOST = 16, /* splices in a row before others have their turn */
	DESCRIPTORS = 200 * 1000
};

struct pipe {
	int read_fd, write_fd;
};

/* One end of a pair, with what goes on from here to the other end. */
struct side {
	struct pair *pair;
	struct side *other;
	int fd;
	bool watches_output;
	bool hung_up;  /* the end of what comes from here is near: read on until it is there */
	bool readable; /* epoll tells so once */
	bool ended;    /* the end was read */
	bool ended_on; /* and passed on */
	bool piped;
	struct pipe pipe;
	size_t held; /* in the pipe */
};

struct pair {
	struct side sides[2];
	bool dead;
	struct pair *next_dead, *next_again;
	bool again; /* stands in the list of those whose turn was cut short */
};

struct limit {
	int epoll, listener;
	struct sockaddr_in target;
	struct pair *dead, *again;
	size_t pipes_kept;
	struct pipe pipes[PIPES_KEPT];
};

/* ---- pipes ------------------------------------------------------------------------------- */

static bool pipe_take(struct limit *l, struct side *s)
{
	int fds[2];

	if (s->piped)
		return true;
	if (l->pipes_kept > 0) {
		s->pipe = l->pipes[--l->pipes_kept];
	} else {
		if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0)
			return false;
		/* A refusal leaves the usual 64 KiB. */
		fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
		s->pipe = (struct pipe){.read_fd = fds[0], .write_fd = fds[1]};
	}
	s->piped = true;
	return true;
}

static void pipe_give(struct limit *l, struct side *s)
{
	if (!s->piped)
		return;
	s->piped = false;
	if (s->held == 0 && l->pipes_kept < PIPES_KEPT) {
		l->pipes[l->pipes_kept++] = s->pipe;
		return;
	}
	close(s->pipe.read_fd);
	close(s->pipe.write_fd);
}

/* ---- pairs ------------------------------------------------------------------------------- */

static void side_watch(struct limit *l, struct side *s, int operation, uint32_t output)
{
	struct epoll_event event = {
	    .events = EPOLLIN | EPOLLRDHUP | EPOLLET | output,
	    .data.ptr = s,
	};

	if (epoll_ctl(l->epoll, operation, s->fd, &event) != 0)
		ground_fail("epoll_ctl: %s", strerror(errno));
}

/* Most sockets never have to wait for room; those that did once are told of it from then on. */
static void side_watch_output(struct limit *l, struct side *s)
{
	if (!s->watches_output)
		side_watch(l, s, EPOLL_CTL_MOD, EPOLLOUT);
	s->watches_output = true;
}

/* Events of this turn may still point to the pair: it is freed when they are done. */
static void pair_end(struct limit *l, struct pair *p)
{
	if (p->dead)
		return;
	p->dead = true;
	p->next_dead = l->dead;
	l->dead = p;
	for (size_t i = 0; i < 2; i++) {
		close(p->sides[i].fd);
		pipe_give(l, &p->sides[i]);
	}
}

static void limit_bury(struct limit *l)
{
	struct pair *p;

	while ((p = l->dead)) {
		l->dead = p->next_dead;
		if (!p->again)
			free(p);
	}
}

static void limit_come_again(struct limit *l, struct pair *p)
{
	if (p->again)
		return;
	p->again = true;
	p->next_again = l->again;
	l->again = p;
}

/* ---- bytes ------------------------------------------------------------------------------- */

enum moved { MOVED, WAIT, DRAINED, FAILED };

/* Move what the pipe holds.  WAIT: there is no room. */
static enum moved side_flush(struct limit *l, struct side *s)
{
	while (s->held > 0) {
		ssize_t sent = splice(s->pipe.read_fd, NULL, s->other->fd, NULL, s->held,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (sent < 0 && ground_blocked(errno)) {
			side_watch_output(l, s->other);
			return WAIT;
		}
		if (sent <= 0)
			return FAILED;
		s->held -= (size_t)sent;
	}
	return MOVED;
}

/* What could not be sent waits in a pipe, where there is room for it in any case. */
static enum moved side_put_aside(struct limit *l, struct side *s, const char *bytes, size_t size)
{
	if (!pipe_take(l, s) || write(s->pipe.write_fd, bytes, size) != (ssize_t)size)
		return FAILED;
	s->held = size;
	side_watch_output(l, s->other);
	return WAIT;
}

static enum moved side_copy(struct limit *l, struct side *s)
{
	char bytes[SHORT_MOST];
	ssize_t got = recv(s->fd, bytes, sizeof(bytes), 0), sent;

	if (got < 0)
		return ground_blocked(errno) ? DRAINED : FAILED;
	if (got == 0) {
		s->ended = true;
		return DRAINED;
	}
	sent = send(s->other->fd, bytes, (size_t)got, MSG_NOSIGNAL);
	if (sent < 0 && !ground_blocked(errno))
		return FAILED;
	if (sent < 0)
		sent = 0;
	if (sent < got)
		return side_put_aside(l, s, bytes + sent, (size_t)(got - sent));
	if (got == sizeof(bytes))
		return pipe_take(l, s) ? MOVED : FAILED;
	/* A short read has emptied the socket: what comes later has an event of its own. */
	return s->hung_up ? MOVED : DRAINED;
}

static enum moved side_splice(struct limit *l, struct side *s)
{
	ssize_t got = splice(
	    s->fd, NULL, s->pipe.write_fd, NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (got < 0 && !ground_blocked(errno))
		return FAILED;
	if (got <= 0) {
		s->ended = got == 0;
		pipe_give(l, s);
		return DRAINED;
	}
	s->held = (size_t)got;
	return side_flush(l, s);
}

/* Move bytes from here to the other side until there are none or no room for them. */
static void side_move(struct limit *l, struct side *s)
{
	enum moved moved = side_flush(l, s);

	for (int turn = 0; moved == MOVED && s->readable; turn++) {
		if (turn == TURNS_MOST) {
			limit_come_again(l, s->pair);
			return;
		}
		moved = s->piped ? side_splice(l, s) : side_copy(l, s);
		if (moved == DRAINED)
			s->readable = false;
	}
	if (moved == FAILED) {
		pair_end(l, s->pair);
		return;
	}
	if (!s->ended || s->ended_on || s->held > 0)
		return;
	s->ended_on = true;
	if (s->other->ended_on || shutdown(s->other->fd, SHUT_WR) != 0)
		pair_end(l, s->pair);
}

/* ---- the relay --------------------------------------------------------------------------- */

static void limit_accept(struct limit *l)
{
	const int on = 1;
	int client = ground_accept(l->listener), server;
	struct pair *p;

	if (client < 0)
		return;
	p = calloc(1, sizeof(*p));
	server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!p || server < 0)
		ground_fail("no socket, the limit of open files is ulimit -n: %s", strerror(errno));
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(server, (const struct sockaddr *)&l->target, sizeof(l->target)) != 0 &&
	    errno != EINPROGRESS) {
		close(client);
		close(server);
		free(p);
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		p->sides[i].pair = p;
		p->sides[i].other = &p->sides[1 - i];
		p->sides[i].fd = i == 0 ? client : server;
		side_watch(l, &p->sides[i], EPOLL_CTL_ADD, 0);
	}
}

static void limit_on_event(struct limit *l, struct side *s, uint32_t events)
{
	if (s->pair->dead)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->hung_up = true;
	if (s->readable)
		side_move(l, s);
	if ((events & EPOLLOUT) && !s->pair->dead)
		side_move(l, s->other);
}

static void limit_go_on(struct limit *l)
{
	struct pair *p = l->again, *next;

	l->again = NULL;
	for (; p; p = next) {
		next = p->next_again;
		p->again = false;
		if (p->dead) {
			free(p);
			continue;
		}
		for (size_t i = 0; i < 2 && !p->dead; i++)
			side_move(l, &p->sides[i]);
	}
}

static _Noreturn void limit_run(struct limit *l)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int count = epoll_wait(l->epoll, events, EVENTS, l->again ? 0 : -1);

		limit_go_on(l);
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				limit_on_event(l, events[i].data.ptr, events[i].events);
			else
				limit_accept(l);
		}
		limit_bury(l);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct limit *l = calloc(1, sizeof(*l));
	int option;

	while ((option = getopt(argc, argv, "p:")) != -1) {
		if (option != 'p')
			ground_fail("limit [-p CPU] LISTEN_PORT TARGET_PORT");
		ground_pin((int)ground_number(optarg, 1023, "-p"));
	}
	if (argc - optind != 2)
		ground_fail("limit [-p CPU] LISTEN_PORT TARGET_PORT");
	if (!l)
		ground_fail("out of memory");
	/* splice() has no MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	ground_descriptors(DESCRIPTORS);
	l->target.sin_family = AF_INET;
	l->target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->target.sin_port =
	    htons((uint16_t)ground_number(argv[optind + 1], UINT16_MAX, "TARGET_PORT"));
	l->listener =
	    ground_listen((uint16_t)ground_number(argv[optind], UINT16_MAX, "LISTEN_PORT"));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->listener, &event) != 0)
		ground_fail("epoll: %s", strerror(errno));
	ground_ready();
	limit_run(l);
}
