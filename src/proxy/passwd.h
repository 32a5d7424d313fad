/*
 * passwd -- penstock --passwd NAME: a line for the file of auth.users.
 *
 * The password comes twice from the terminal, unseen, or, when standard input is none, once as its
 * first line.
 */
#ifndef PROXY_PASSWD_H
#define PROXY_PASSWD_H

/* Write the line to standard output.  Returns an exit status (sysexits.h), having said why. */
int passwd_run(const char *name);

#endif
