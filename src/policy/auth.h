/*
 * auth -- what is remembered of those who said who they are: proofs that held, and failures.
 *
 * One for the process, used by all threads.  A proof is kept as a seal over the user's hash, his
 * name and the password, under a key of this process: a user who is gone or whose hash has
 * changed has none.  Failures are counted for each client (net/addr), AUTH_CLIENTS of them at
 * most; beyond that the one who failed longest ago is forgotten.  Times are CLOCK_MONOTONIC's, in
 * nanoseconds.
 */
#ifndef POLICY_AUTH_H
#define POLICY_AUTH_H

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct auth;
struct basic;
struct htpasswd;
struct htpasswd_user;

#define AUTH_PROOFS 65536
#define AUTH_CLIENTS 65536

struct auth *auth_new(void); /* NULL when out of memory, or of random numbers */
void auth_free(struct auth *auth);

/*
 * The user whom the credentials name, when it was proved no longer than keep_s seconds ago that
 * they are his; else NULL.
 */
const struct htpasswd_user *auth_recall(struct auth *auth, const struct htpasswd *table,
    const struct basic *basic, int keep_s, uint64_t now);

/* It has been proved that the credentials are this user's. */
void auth_remember(
    struct auth *auth, const struct htpasswd_user *user, const struct basic *basic, uint64_t now);

/*
 * The user whose hash a password is to be checked against: the one named, or, when there is none
 * of that name, always the same other one (*ret_decoy), so that both take the same time.  NULL
 * when the table is empty.
 */
const struct htpasswd_user *auth_subject(
    struct auth *auth, const struct htpasswd *table, const struct basic *basic, bool *ret_decoy);

/* A client may fail so often in a minute (0: as he likes), and earns it back evenly. */
void auth_fail(struct auth *auth, const struct addr *client, int failures, uint64_t now);

/* How long until the client may try again; 0: now. */
uint64_t auth_wait(struct auth *auth, const struct addr *client, int failures, uint64_t now);

#endif
