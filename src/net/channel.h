/*
 * channel -- c-ares in an event loop: its sockets and its time.
 *
 * For dns only.  Belongs to one event loop.  Sockets are open while something is asked:
 * one for UDP and one for TCP per server.
 */
#ifndef NET_CHANNEL_H
#define NET_CHANNEL_H

#include <ares.h>
#include <stdbool.h>

struct channel;
struct event_base;
struct nameserver_options;

/* c-ares had its turn: answers have been handed out.  Has to call channel_arm, may not close. */
typedef void channel_turn_fn(void *arg);

/*
 * on_socket_state and its arg are filled in here.  Returns new, or NULL: *ret_status is then
 * what nameserver_open says.
 */
struct channel *channel_open(struct event_base *base, struct nameserver_options options,
    channel_turn_fn *turn, void *arg, int *ret_status);

/* What is asked ends with ARES_EDESTRUCTION, from inside. */
void channel_close(struct channel *c);

ares_channel channel_ares(struct channel *c);

/* How often a query is sent over UDP when nobody answers. */
int channel_attempts(const struct channel *c);

/* Whether something is being asked over TCP: there c-ares 1.18 asks each server once. */
bool channel_uses_tcp(const struct channel *c);

/* To be called when something was asked, and at each turn. */
void channel_arm(struct channel *c);

#endif
