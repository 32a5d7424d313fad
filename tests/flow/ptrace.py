"""ptrace(2): one thread of a process is stopped, or made to call the kernel."""

import contextlib
import ctypes
import os
import platform

SINGLESTEP, GETREGS, SETREGS, DETACH, SEIZE, INTERRUPT = 9, 12, 13, 17, 0x4206, 0x4207
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

CAN_CALL = platform.machine() == "x86_64"


class Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs"
        " eflags rsp ss fs_base gs_base ds es fs gs".split()
    ]


def ptrace(request, tid, data=None):
    if libc.ptrace(request, tid, None, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def threads(pid, name):
    """The threads of that name, oldest first."""

    def name_of(tid):
        try:
            with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as f:
                return f.read().strip()
        except OSError:  # it has just ended
            return None

    return [tid for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task"))) if name_of(tid) == name]


@contextlib.contextmanager
def stopped(tid):
    """The thread stands still, all others go on."""
    ptrace(SEIZE, tid)
    ptrace(INTERRUPT, tid)
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            ptrace(DETACH, tid)


NOT_IN_A_CALL = 2**64 - 1  # orig_rax


def call(tid, number, *arguments):
    """Have the thread, once it waits in a system call, make another one.

    Its result, or minus the number of the signal that the call ended it with.
    """
    while (result := try_call(tid, number, *arguments)) is None:
        pass
    return result


def try_call(tid, number, *arguments):
    with stopped(tid):
        before, registers = Registers(), Registers()
        ptrace(GETREGS, tid, ctypes.byref(before))
        if before.orig_rax == NOT_IN_A_CALL:
            return None
        ctypes.pointer(registers)[0] = before
        registers.rip -= 2  # the instruction that brought it into the kernel
        registers.rax = number
        registers.orig_rax = NOT_IN_A_CALL  # what was interrupted is not begun again
        for name, value in zip(("rdi", "rsi", "rdx", "r10"), arguments):
            setattr(registers, name, value)
        ptrace(SETREGS, tid, ctypes.byref(registers))
        ptrace(SINGLESTEP, tid)
        _, status = os.waitpid(tid, WALL)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        ptrace(GETREGS, tid, ctypes.byref(registers))
        ptrace(SETREGS, tid, ctypes.byref(before))
        return registers.rax
