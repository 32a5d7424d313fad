/*
 * pair -- two ends of one TCP connection, for tests that need what only TCP has.
 *
 * Behind cmocka.h, which has to come after the headers that it needs itself.
 */
#ifndef UNIT_PAIR_H
#define UNIT_PAIR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* fds[0] is the end that connected, fds[1] the one that was accepted; both block. */
static inline void connect_pair(int fds[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&at, len), 0);
	fds[1] = accept(listener, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(listener);
}

#endif
