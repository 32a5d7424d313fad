#include "proxy/passwd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "base/attr.h"
#include "http/basic.h"
#include "policy/hash.h"

/* A line that is one byte too long is seen to be. */
struct line {
	char text[BASIC_PASSWORD_MAX + 2];
	size_t len;
};

/* Those that would leave the terminal without its echo. */
static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

static int complain(const char *what)
{
	fprintf(stderr, "penstock: %s\n", what);
	return -1;
}

/* Up to the line feed or the end.  Byte by byte: what is behind it is not ours. */
static int read_line(struct line *line)
{
	ssize_t n;
	char c;

	line->len = 0;
	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n') {
		line->text[line->len] = c;
		if (line->len < sizeof(line->text) - 1)
			line->len++;
	}
	line->text[line->len] = '\0';
	return n < 0 ? -1 : 0;
}

/* ---- the terminal ----------------------------------------------------------------------- */

/* No echo; signals wait, and the descriptor says when there is one. */
struct silence {
	struct termios before;
	sigset_t mask;
	int signal_fd;
};

static int silence_begin(struct silence *silence)
{
	struct termios quiet;
	sigset_t waiting;

	if (tcgetattr(STDIN_FILENO, &silence->before) != 0)
		return -1;
	sigemptyset(&waiting);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		sigaddset(&waiting, signals[i]);
	silence->signal_fd = signalfd(-1, &waiting, SFD_CLOEXEC);
	if (silence->signal_fd < 0)
		return -1;
	sigprocmask(SIG_BLOCK, &waiting, &silence->mask);
	quiet = silence->before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
	quiet.c_lflag |= ECHONL;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	return 0;
}

/* All as it was; a signal that waits does then what it does. */
static void silence_end(const struct silence *silence)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silence->before);
	close(silence->signal_fd);
	sigprocmask(SIG_SETMASK, &silence->mask, NULL);
}

enum heard { HEARD_LINE, HEARD_SIGNAL, HEARD_NOTHING };

/* A terminal gives a line at a time. */
static enum heard listen_for(const struct silence *silence, struct line *line)
{
	struct pollfd fds[] = {
	    {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = silence->signal_fd, .events = POLLIN}};
	ssize_t n;

	if (poll(fds, ARRAY_LEN(fds), -1) < 0)
		return errno == EINTR ? HEARD_SIGNAL : HEARD_NOTHING;
	if (fds[1].revents != 0)
		return HEARD_SIGNAL;
	n = read(STDIN_FILENO, line->text, sizeof(line->text) - 1);
	if (n <= 0)
		return HEARD_NOTHING;
	line->len = (size_t)n - (line->text[n - 1] == '\n');
	line->text[line->len] = '\0';
	return HEARD_LINE;
}

/* Whoever was stopped and goes on is asked again. */
static int ask(const char *prompt, struct line *line)
{
	enum heard heard = HEARD_SIGNAL;
	struct silence silence;

	while (heard == HEARD_SIGNAL) {
		if (silence_begin(&silence) != 0)
			return complain(strerror(errno));
		fputs(prompt, stderr);
		heard = listen_for(&silence, line);
		silence_end(&silence);
	}
	return heard == HEARD_LINE ? 0 : complain("no password was read");
}

static int ask_twice(struct line *line)
{
	struct line again;
	int result = 0;

	if (ask("Password: ", line) != 0)
		return -1;
	if (ask("Again: ", &again) != 0)
		result = -1;
	else if (strcmp(line->text, again.text) != 0)
		result = complain("the two passwords differ; nothing was written");
	explicit_bzero(&again, sizeof(again));
	return result;
}

/* ---- the line --------------------------------------------------------------------------- */

static int read_password(struct line *line)
{
	if (isatty(STDIN_FILENO))
		return ask_twice(line);
	return read_line(line) == 0 ? 0 : complain(strerror(errno));
}

static int write_line(const char *name, const struct line *line)
{
	struct hash_bench *bench = hash_bench_new();
	char hash[HASH_MAX];
	int result = -1;

	if (bench && hash_make(bench, line->text, hash) == 0 && printf("%s:%s\n", name, hash) > 0 &&
	    fflush(stdout) == 0)
		result = 0;
	else
		complain(strerror(errno));
	hash_bench_free(bench);
	return result;
}

int passwd_run(const char *name)
{
	struct line line;
	int status = EX_OK;

	if (!basic_is_name(slice_of(name)) || name[0] == '#' || name[0] == ' ' ||
	    name[strlen(name) - 1] == ' ') {
		fprintf(stderr,
		    "penstock: a user's name has 1 to %d bytes, no colon and no controls, no # in "
		    "front, no space at either end\n",
		    BASIC_NAME_MAX);
		return EX_USAGE;
	}
	if (read_password(&line) != 0) {
		status = EX_NOINPUT;
	} else if (!basic_is_password((struct slice){line.text, line.len}) ||
		   strlen(line.text) != line.len) {
		fprintf(stderr, "penstock: a password has 1 to %d bytes and no controls\n",
		    BASIC_PASSWORD_MAX);
		status = EX_DATAERR;
	} else if (write_line(name, &line) != 0) {
		status = EX_OSERR;
	}
	explicit_bzero(&line, sizeof(line));
	return status;
}
