/*
 * explain -- what a configuration would do with a request, and why, in a sentence.
 *
 * For operators who want to test their rules: judged as in an exchange, without any network.
 */
#ifndef PROXY_EXPLAIN_H
#define PROXY_EXPLAIN_H

#include <stddef.h>
#include <stdio.h>

struct config;

#define EXPLAIN_ADDRESSES_MAX 16

/* As the command line has it; what is NULL is not known. */
struct explain_question {
	const char *request;                          /* "CLIENT [USER] METHOD URL" */
	const char *addresses[EXPLAIN_ADDRESSES_MAX]; /* of the host */
	size_t address_count;
	const char *at;       /* "2024-05-01 12:00", local; NULL: now */
	const char *listener; /* its name */
};

/*
 * Write the answer to out: its first word is allow or deny.  file: what to call the configuration.
 * 0: allowed, 1: denied, EX_USAGE: the question makes no sense, which `wrong` is told.
 */
int explain_run(const struct config *config, const char *file,
    const struct explain_question *question, FILE *out, FILE *wrong);

#endif
