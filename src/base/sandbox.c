#include "base/sandbox.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>

int sandbox_keep_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

#ifndef WITH_LIBSECCOMP

bool sandbox_is_built(void)
{
	return false;
}

int sandbox_enter(void)
{
	errno = ENOSYS;
	return -1;
}

#else

#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Needed, by us or by the libraries below us (glibc to 2.41, libevent, c-ares, libconfig), and
 * harmless.  Calls that an architecture does not have are passed over.  What is made for each
 * byte that is relayed has no condition: the kernel then decides by a bit, without the filter.
 */
static const int allowed[] = {
    /* bytes */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(write),
    SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(splice), SCMP_SYS(tee),
    SCMP_SYS(sendfile), SCMP_SYS(sendfile64), SCMP_SYS(lseek), SCMP_SYS(_llseek), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    /* sockets; which kinds is below */
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(listen),
    SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(sendto), SCMP_SYS(send), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom), SCMP_SYS(recv), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmmsg_time64),
    /* waiting */
    SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64), SCMP_SYS(select), SCMP_SYS(_newselect), SCMP_SYS(pselect6),
    SCMP_SYS(pselect6_time64), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_settime64), SCMP_SYS(timerfd_gettime),
    SCMP_SYS(timerfd_gettime64), SCMP_SYS(signalfd), SCMP_SYS(signalfd4), SCMP_SYS(inotify_init1),
    SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
    /* descriptors and files */
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup),
    SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(fcntl),
    SCMP_SYS(fcntl64), SCMP_SYS(stat), SCMP_SYS(stat64), SCMP_SYS(fstat), SCMP_SYS(fstat64),
    SCMP_SYS(lstat), SCMP_SYS(lstat64), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(statx),
    SCMP_SYS(statfs), SCMP_SYS(statfs64), SCMP_SYS(fstatfs), SCMP_SYS(fstatfs64), SCMP_SYS(access),
    SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd), SCMP_SYS(getdents64),
    /* memory; mmap and mprotect are below */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mincore),
    SCMP_SYS(mlock), SCMP_SYS(munlock), SCMP_SYS(membarrier), SCMP_SYS(getrandom),
    /* threads; clone is below */
    SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(futex_waitv), SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list), SCMP_SYS(set_tid_address), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler), SCMP_SYS(getpriority), SCMP_SYS(getcpu), SCMP_SYS(gettid),
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
    /* signals; sending them is below */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigtimedwait_time64),
    SCMP_SYS(sigaction), SCMP_SYS(sigprocmask), SCMP_SYS(sigreturn), SCMP_SYS(sigaltstack),
    /* clocks */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(clock_getres),
    SCMP_SYS(clock_getres_time64), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times),
    /* who and where we are */
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(getuid32), SCMP_SYS(geteuid),
    SCMP_SYS(geteuid32), SCMP_SYS(getgid), SCMP_SYS(getgid32), SCMP_SYS(getegid),
    SCMP_SYS(getegid32), SCMP_SYS(getrusage), SCMP_SYS(getrlimit), SCMP_SYS(ugetrlimit),
    SCMP_SYS(setrlimit), SCMP_SYS(sysinfo), SCMP_SYS(uname)};

#define FIRST 0
#define SECOND 1
#define THIRD 2
#define IS(argument, number) SCMP_CMP(argument, SCMP_CMP_EQ, (scmp_datum_t)(number), 0)
#define HAS(argument, bits) SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, (bits), (bits))
#define HAS_NOT(argument, bits) SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, (bits), 0)

#ifdef __s390__
#define CLONE_FLAGS SECOND
#else
#define CLONE_FLAGS FIRST
#endif

/* Those that depend on one argument.  0: not there. */
static int allow_some(scmp_filter_ctx filter)
{
	const scmp_datum_t us = (scmp_datum_t)getpid();
	const struct {
		int call;
		struct scmp_arg_cmp only;
	} rules[] = {
	    /* Origins and clients; syslog and the supervisor. */
	    {SCMP_SYS(socket), IS(FIRST, AF_INET)},
	    {SCMP_SYS(socket), IS(FIRST, AF_INET6)},
	    {SCMP_SYS(socket), IS(FIRST, AF_UNIX)},
	    {SCMP_SYS(socketpair), IS(FIRST, AF_UNIX)},
	    /* No memory becomes a program. */
	    {SCMP_SYS(mmap), HAS_NOT(THIRD, PROT_EXEC)},
	    {SCMP_SYS(mmap2), HAS_NOT(THIRD, PROT_EXEC)},
	    {SCMP_SYS(mprotect), HAS_NOT(THIRD, PROT_EXEC)},
	    /* Threads, not processes. */
	    {SCMP_SYS(clone), HAS(CLONE_FLAGS, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND)},
	    {SCMP_SYS(prlimit64), IS(FIRST, 0)},
	    /* A thread may step back; to come forward takes a privilege. */
	    {SCMP_SYS(setpriority), IS(FIRST, PRIO_PROCESS)},
	    /* abort(3) and raise(3). */
	    {SCMP_SYS(kill), IS(FIRST, us)},
	    {SCMP_SYS(tgkill), IS(FIRST, us)},
	    {SCMP_SYS(rt_tgsigqueueinfo), IS(FIRST, us)},
	    {SCMP_SYS(prctl), IS(FIRST, PR_SET_NAME)},
	    {SCMP_SYS(prctl), IS(FIRST, PR_GET_NAME)},
	    {SCMP_SYS(prctl), IS(FIRST, PR_GET_DUMPABLE)},
	    /* What waits in a socket, to be read and to be sent. */
	    {SCMP_SYS(ioctl), IS(SECOND, FIONREAD)},
	    {SCMP_SYS(ioctl), IS(SECOND, SIOCOUTQ)},
	    {SCMP_SYS(ioctl), IS(SECOND, FIONBIO)},
	    /* "fe80::1%eth0" */
	    {SCMP_SYS(ioctl), IS(SECOND, SIOCGIFINDEX)},
	    {SCMP_SYS(ioctl), IS(SECOND, SIOCGIFNAME)},
	    {SCMP_SYS(ioctl), IS(SECOND, TCGETS)},
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		int error = seccomp_rule_add_array(
		    filter, SCMP_ACT_ALLOW, rules[i].call, 1, &rules[i].only);

		if (error != 0)
			return error;
	}
	return 0;
}

/*
 * Those whose callers know what to do without: glibc starts threads with clone when there is no
 * clone3, whose flags no filter can see; it names its memory and asks for the addresses of this
 * machine only where that is possible; a library that is loaded late is not loaded.
 */
static int refuse_some(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp exec = HAS(THIRD, PROT_EXEC);
	const struct scmp_arg_cmp name_memory = IS(FIRST, 0x53564d41 /* PR_SET_VMA */);
	const struct scmp_arg_cmp netlink = IS(FIRST, AF_NETLINK);
	const struct {
		int call, error;
		const struct scmp_arg_cmp *only;
	} rules[] = {
	    {SCMP_SYS(clone3), ENOSYS, NULL},
	    {SCMP_SYS(mmap), EPERM, &exec},
	    {SCMP_SYS(mmap2), EPERM, &exec},
	    {SCMP_SYS(mprotect), EPERM, &exec},
	    {SCMP_SYS(prctl), EINVAL, &name_memory},
	    {SCMP_SYS(socket), EAFNOSUPPORT, &netlink},
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		int error = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint16_t)rules[i].error),
		    rules[i].call, rules[i].only != NULL, rules[i].only);

		if (error != 0)
			return error;
	}
	return 0;
}

static int fill(scmp_filter_ctx filter)
{
	int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	/* We run nobody else's code: no mitigation of what such code could find out. */
	if (error == 0)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	/* Found by halving, not one after the other. */
	if (error == 0)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* Another caller may not have done it. */
	if (error == 0)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1);
	for (size_t i = 0; i < ARRAY_LEN(allowed) && error == 0; i++)
		error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	if (error == 0)
		error = allow_some(filter);
	if (error == 0)
		error = refuse_some(filter);
	return error;
}

bool sandbox_is_built(void)
{
	return true;
}

int sandbox_enter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error;

	if (filter == NULL) {
		errno = ENOMEM;
		return -1;
	}
	error = fill(filter);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	errno = -error;
	return error == 0 ? 0 : -1;
}
#endif
