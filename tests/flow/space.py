"""A network of one's own: a namespace that a test's sockets and programs are made in."""

import ctypes
import os
import subprocess

from daemon import poll

CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


def is_possible():
    """It takes root."""
    command = ["unshare", "--net", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Space:
    """A network namespace.  `with space:` is for this thread, and for what it starts in there."""

    def __init__(self):
        self._back = [current()]  # the spaces to go back to
        check(libc.unshare(CLONE_NEWNET))
        self._space = current()
        self.__exit__()
        self.ip("link set lo up")

    def __enter__(self):
        self._back.append(current())
        check(libc.setns(self._space, CLONE_NEWNET))
        return self

    def __exit__(self, *_):
        back = self._back.pop()
        check(libc.setns(back, CLONE_NEWNET))
        os.close(back)

    def ip(self, command):
        """ip(8) in there; what it says."""
        with self:
            words = ["ip", *command.split()]
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def add(self, network, device):
        """An address; for IPv6 the kernel takes a moment until it is one."""
        self.ip(f"addr add {network} dev {device}{' nodad' if ':' in network else ''}")
        address = network.split("/")[0]
        poll(lambda: self.ip(f"route get {address}").startswith("local"), f"{address} to be ours")

    def join(self, other, here, there):
        """A cable to another space; here and there: networks like "10.9.0.1/24" of its ends."""
        path = f"/proc/{os.getpid()}/fd/{other._space}"
        self.ip(f"link add cable type veth peer name cable netns {path}")
        for space, network in ((self, here), (other, there)):
            space.ip("link set cable up")
            space.add(network, "cable")

    def close(self):
        os.close(self._space)
