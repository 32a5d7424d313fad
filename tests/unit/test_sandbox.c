#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/sandbox.h"

/* What a child does in the sandbox.  It ends with 0 when all went as it has to. */
typedef int deed(void);

/* The wait status of a child that does it. */
static int do_inside(deed *what)
{
	const struct rlimit no_core = {0, 0};
	pid_t child = fork();
	int status;

	if (child == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		if (sandbox_enter() != 0)
			_exit(100);
		_exit(what());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* ---- what ends the process ---- */

static int run_program(void)
{
	char name[] = "/bin/true";
	char *argv[] = {name, NULL}, *envp[] = {NULL};

	return execve(name, argv, envp);
}

static int run_program_at(void)
{
	char *none[] = {NULL};

	return (int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0);
}

static int make_process(void)
{
	return fork() == 0 ? 0 : 1;
}

static int trace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int read_another(void)
{
	return (int)syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static int signal_another(void)
{
	return kill(getppid(), 0);
}

static int raw_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static int become_root(void)
{
	return setuid(0);
}

static int change_root(void)
{
	return chroot("/");
}

static int mount_something(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static int change_owner(void)
{
	return chown("/dev/null", 0, 0);
}

static int change_mode(void)
{
	return chmod("/dev/null", 0666);
}

static int take_away(void)
{
	return unlink("/nowhere/at/all");
}

static int new_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int load_bpf(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int program_in_memory(void)
{
	return (int)syscall(SYS_memfd_create, "x", 0);
}

static int queue_of_calls(void)
{
	return (int)syscall(425 /* io_uring_setup */, 1, NULL);
}

static int type_into_the_terminal(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static int become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void *run_program_in_thread(void *arg)
{
	(void)arg;
	run_program();
	return NULL;
}

static int thread_runs_program(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_program_in_thread, NULL) == 0)
		pthread_join(thread, NULL);
	return 1;
}

static void test_a_forbidden_call_ends_the_process(void **state)
{
	static const struct {
		const char *name;
		deed *what;
	} cases[] = {
	    {"execve", run_program},
	    {"execveat", run_program_at},
	    {"fork", make_process},
	    {"ptrace", trace},
	    {"process_vm_readv", read_another},
	    {"kill", signal_another},
	    {"socket(AF_PACKET)", raw_socket},
	    {"setuid", become_root},
	    {"chroot", change_root},
	    {"mount", mount_something},
	    {"chown", change_owner},
	    {"chmod", change_mode},
	    {"unlink", take_away},
	    {"unshare", new_namespace},
	    {"bpf", load_bpf},
	    {"memfd_create", program_in_memory},
	    {"io_uring_setup", queue_of_calls},
	    {"ioctl(TIOCSTI)", type_into_the_terminal},
	    {"prctl(PR_SET_DUMPABLE)", become_dumpable},
	    {"execve in a thread", thread_runs_program},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int status = do_inside(cases[i].what);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: wait status %#x", cases[i].name, (unsigned)status);
	}
}

/* ---- what is refused, and gone without ---- */

static int memory_that_runs(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 1;
	if (mprotect(memory, 4096, PROT_READ | PROT_EXEC) == 0 || errno != EPERM)
		return 2;
	memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED && errno == EPERM ? 0 : 3;
}

static int ask_the_kernel_for_addresses(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) < 0 && errno == EAFNOSUPPORT ? 0 : 1;
}

/* ---- what goes on ---- */

static void *start_thread_of_thread(void *arg)
{
	pthread_t thread;

	if (arg != NULL) {
		pthread_create(&thread, NULL, start_thread_of_thread, NULL);
		pthread_join(thread, NULL);
	}
	return NULL;
}

static int threads(void)
{
	pthread_t thread;
	int one = 1;

	return pthread_create(&thread, NULL, start_thread_of_thread, &one) != 0 ||
	       pthread_join(thread, NULL) != 0;
}

static int much_memory(void)
{
	char *small[1000], *large = malloc(64 << 20);

	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		small[i] = malloc(i * 100 + 1);
	large = large ? realloc(large, 128 << 20) : NULL;
	if (large)
		memset(large, 1, 128 << 20);
	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		free(small[i]);
	free(large);
	return large == NULL;
}

static int sockets(void)
{
	static const int families[] = {AF_INET, AF_INET6, AF_UNIX};

	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (socket(families[i], SOCK_STREAM | SOCK_NONBLOCK, 0) < 0)
			return 1;
	return 0;
}

static int what_waits(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), bytes = -1;
	struct ifreq interface = {.ifr_name = "lo"};

	return ioctl(fd, SIOCOUTQ, &bytes) < 0 || ioctl(fd, FIONBIO, &bytes) < 0 ||
	       ioctl(fd, SIOCGIFINDEX, &interface) < 0 || if_nametoindex("lo") == 0;
}

static int signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	return sigprocmask(SIG_BLOCK, &set, NULL) != 0 || signalfd(-1, &set, SFD_CLOEXEC) < 0;
}

static int files_and_time(void)
{
	FILE *file = fopen("/etc/hosts", "re");
	time_t now = time(NULL);
	struct tm local;
	char line[64];

	if (!file || !fgets(line, sizeof(line), file) || fclose(file) != 0)
		return 1;
	openlog("penstock-test", LOG_NDELAY, LOG_DAEMON);
	return localtime_r(&now, &local) == NULL || sysconf(_SC_NPROCESSORS_ONLN) < 1;
}

static int print(void)
{
	return dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO) < 0 ||
	       printf("%s\n", "x") < 0 || fflush(stdout) != 0;
}

static void test_all_that_is_needed_goes_on(void **state)
{
	static const struct {
		const char *name;
		deed *what;
	} cases[] = {
	    {"memory that runs", memory_that_runs},
	    {"AF_NETLINK", ask_the_kernel_for_addresses},
	    {"threads", threads},
	    {"much memory", much_memory},
	    {"sockets", sockets},
	    {"what waits", what_waits},
	    {"signals", signals},
	    {"files and time", files_and_time},
	    {"print", print},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int status = do_inside(cases[i].what);

		if (status != 0)
			fail_msg("%s: wait status %#x", cases[i].name, (unsigned)status);
	}
}

/* abort() ends with its own signal: a crash is not taken for a forbidden call. */
static int crash(void)
{
	abort();
}

static void test_a_crash_is_one(void **state)
{
	int status = do_inside(crash);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- without a filter ---- */

static void test_no_new_privileges(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		_exit(
		    sandbox_keep_privileges() != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_a_build_without_says_so(void **state)
{
	(void)state;
	assert_false(sandbox_is_built());
	assert_int_equal(sandbox_enter(), -1);
	assert_int_equal(errno, ENOSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_new_privileges),
	    cmocka_unit_test(test_a_forbidden_call_ends_the_process),
	    cmocka_unit_test(test_all_that_is_needed_goes_on),
	    cmocka_unit_test(test_a_crash_is_one),
	};
	const struct CMUnitTest tests_without[] = {
	    cmocka_unit_test(test_no_new_privileges),
	    cmocka_unit_test(test_a_build_without_says_so),
	};

	return sandbox_is_built() ? cmocka_run_group_tests(tests, NULL, NULL)
				  : cmocka_run_group_tests(tests_without, NULL, NULL);
}
