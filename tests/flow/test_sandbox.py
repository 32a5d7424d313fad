"""The sandbox: on by default, on every thread, and the end of who steps out of it."""

import os
import re
import resource
import signal

import pytest

import daemon
import ptrace

FILTER = "2"

# Of x86-64.  umask changes nothing that matters here, and no proxy calls it.
SYS_GETPID, SYS_UMASK, SYS_EXECVE = 39, 95, 59

built_in = pytest.mark.skipif(
    "sandbox: built in" not in daemon.run("-V").stdout, reason="not in this build"
)
can_call = pytest.mark.skipif(not ptrace.CAN_CALL, reason="registers are of x86-64")


def seccomp(p):
    """Of each thread."""
    found = set()
    for tid in os.listdir(f"/proc/{p.pid}/task"):
        with open(f"/proc/{p.pid}/task/{tid}/status", encoding="ascii") as f:
            found.add(re.search(r"^Seccomp:\s*(\d)", f.read(), re.M)[1])
    return found


@built_in
def test_on_every_thread(proxy):
    assert seccomp(proxy(workers=3)) == {FILTER}


def test_off(proxy, client, origin):
    p = proxy(sandbox="off")
    p.wait_line("the sandbox is off")
    assert FILTER not in seccomp(p)
    assert client(p).get(origin().url()).status == 200


def test_a_build_without_says_so(proxy):
    p = proxy()
    assert ("no sandbox" in p.stderr) == ("not in this build" in daemon.run("-V").stdout)


@built_in
@can_call
@pytest.mark.parametrize("thread", ["worker", "main"])
def test_a_forbidden_call_ends_the_process(stage, proxy, client, origin, thread):
    o = origin()
    p = proxy(workers=2)
    resource.prlimit(p.pid, resource.RLIMIT_CORE, (0, 0))
    tid = p.workers()[0] if thread == "worker" else p.pid
    # One that is allowed comes back, and nothing has happened.
    assert ptrace.call(tid, SYS_GETPID) == p.pid
    assert client(p).get(o.url()).status == 200
    stage.proxies.remove(p)
    stage.servers.append(p)
    assert ptrace.call(tid, SYS_EXECVE) == -signal.SIGSYS
    p.wait_exit()


@can_call
def test_without_the_sandbox_it_would_not(proxy, client, origin):
    o = origin()
    p = proxy(workers=1, sandbox="off")
    for tid in (p.pid, *p.workers()):
        ptrace.call(tid, SYS_UMASK, 0o077)
    assert client(p).get(o.url()).status == 200


def test_changing_it_takes_a_restart(proxy):
    p = proxy()
    p.write_config(sandbox="off")
    p.signal(signal.SIGHUP)
    p.wait_line("sandbox has changed, which takes a restart")
