"""The programs that tests start: the proxy itself, and a name server for it to ask."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

import ptrace
from peers import TIMEOUT

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("PENSTOCK", os.path.join(ROOT, "build/release/penstock")))
WORKERS = int(os.environ.get("PENSTOCK_WORKERS", "1"))

# What must never be on the daemon's stderr: sanitizers and libevent's own complaints.
ALARM = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|runtime error|\[err\]|\[warn\]"
)

# A reload steps back behind other programs: where they take the CPU it takes long.
RELOAD_TIMEOUT = 4 * TIMEOUT

DEFAULTS = {
    "listen": [{"address": "127.0.0.1", "port": 0}],
    "workers": WORKERS,
    "access": {"allow_addresses": ["127.0.0.0/8", "::1"], "connect_ports": ["1-65535"]},
    "timeouts": {"drain": 5},
    "log": {"level": "debug"},
}

ACCESS_LINE = re.compile(
    r'(?P<client>\S+) - (?P<user>\S+) \[(?P<time>[^]]+)\] "(?P<request>(?:[^"\\]|\\.)*)"'
    r' (?P<status>\d{3}|-) (?P<down>\d+|-) "(?P<referer>(?:[^"\\]|\\.)*)"'
    r' "(?P<agent>(?:[^"\\]|\\.)*)" (?P<duration>\d+) (?P<up>\d+|-) (?P<destination>\S+)'
    r" (?P<end>[a-z0-9_]+(:[A-Za-z0-9._-]+)?)"
)


def merge(base, changes):
    """A copy of base with the changes; groups are merged, None takes a key away."""
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def render(value):
    """A Python value as libconfig text."""
    if isinstance(value, dict):
        return "{ " + " ".join(f"{k} = {render(v)};" for k, v in value.items()) + " }"
    if isinstance(value, list):
        inner = ", ".join(render(v) for v in value)
        return f"( {inner} )" if any(isinstance(v, dict) for v in value) else f"[ {inner} ]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def render_file(config):
    return "".join(f"{k} = {render(v)};\n" for k, v in config.items())


def poll(question, what, timeout=TIMEOUT):
    """Ask until the answer is true, where there is no event to wait for."""
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.01)
    return answer


def sanitized():
    """Whether the binary was built with a sanitizer: it is slow then and needs more memory."""
    with open(BINARY, "rb") as f:
        return re.search(rb"__(asan|tsan|msan)_init", f.read()) is not None


class Program:
    """A child process whose stderr is read line by line."""

    def __init__(self, argv, **options):
        self.lines = []
        self._news = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **options,
        )
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def stderr(self):
        return "\n".join(self.lines)

    def wait_line(self, pattern, count=1, timeout=TIMEOUT):
        """Wait for the count-th line of stderr that the pattern is found in; the match."""
        found = []

        def ready():
            found[:] = [m for line in self.lines if (m := re.search(pattern, line))]
            return len(found) >= count or self._ended

        with self._news:
            self._news.wait_for(ready, timeout)
        assert len(found) >= count, f"no {pattern!r} on stderr, but:\n{self.stderr}"
        return found[count - 1]

    def wait_exit(self, timeout=TIMEOUT):
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait_exit()


class AccessLine:
    """A line of the access log, its fields as attributes."""

    def __init__(self, text):
        self.text = text
        match = ACCESS_LINE.fullmatch(text)
        assert match, f"not the format of the access log: {text!r}"
        self.__dict__.update(match.groupdict())

    def __repr__(self):
        return f"<{self.text}>"


# argv: names of sockets, their descriptors, and a program that gets them as systemd hands them over.
HAND_OVER = """
import os, sys
names, fds, argv = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
high = [os.dup2(int(fd), 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.closerange(3 + len(fds), 4096)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(argv[0], argv)
"""


def handing_over(sockets, argv):
    """The options of a Program to which {name: socket} are handed over."""
    fds = [s.fileno() for s in sockets.values()]
    launch = ["/usr/bin/python3", "-I", "-S", "-c", HAND_OVER, ":".join(sockets)]
    return {"argv": [*launch, " ".join(map(str, fds)), *argv], "pass_fds": fds}


class Proxy(Program):
    """The daemon with a configuration of its own, listening."""

    def __init__(self, folder, config, env=None, stdout=None, sockets=None):
        self.folder = folder
        self.access_path = os.path.join(folder, "access.log")
        self.config_path = os.path.join(folder, "penstock.conf")
        self.told_to_end = False
        self.config = merge(merge(DEFAULTS, {"log": {"access": self.access_path}}), config)
        self.write_config()
        options = {"argv": [BINARY, "-c", self.config_path]}
        if sockets:
            options = handing_over(sockets, **options)
        super().__init__(env={**os.environ, **(env or {})}, stdout=stdout, **options)
        try:
            self.ports = [
                int(self.wait_line(r"listening on \S+:(\d+)", count=i + 1)[1])
                for i in range(len(sockets or self.config["listen"]))
            ]
        except AssertionError:
            self.kill()
            raise
        self.port = self.ports[0]
        self.address = ("127.0.0.1", self.port)
        self.url = f"http://127.0.0.1:{self.port}"

    def write_config(self, **changes):
        """Replace the file by one with changes; SIGHUP makes the daemon read it.

        In one step: half a file, or an empty one, could be read and taken for good.
        """
        with open(self.config_path + ".new", "w", encoding="utf-8") as f:
            f.write(render_file(merge(self.config, changes)))
        os.replace(self.config_path + ".new", self.config_path)

    def reload(self, **changes):
        """Have it read the file with the changes; the main thread has done so, and workers soon will."""
        count = sum("read again" in line for line in self.lines)
        self.write_config(**changes)
        self.signal(signal.SIGHUP)
        self.wait_line("read again", count=count + 1, timeout=RELOAD_TIMEOUT)

    def signal(self, number):
        self.told_to_end |= number in (signal.SIGTERM, signal.SIGINT)
        self.process.send_signal(number)

    @contextlib.contextmanager
    def halted(self):
        """It does nothing meanwhile, and the kernel keeps what comes."""
        self.signal(signal.SIGSTOP)
        poll(self._all_halted, "all threads to stop")
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def _all_halted(self):
        states = set()
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="ascii") as f:
                    states.add(f.read().rsplit(")", 1)[1].split()[0])
            except OSError:
                return False  # it has just ended
        return states == {"T"}

    def alive(self):
        return self.process.poll() is None

    def access(self, count=1, path=None):
        """The lines of the access log, as soon as there are that many."""

        def lines():
            try:
                with open(path or self.access_path, encoding="ascii") as f:
                    got = f.read().split("\n")[:-1]
            except FileNotFoundError:
                got = []
            return got if len(got) >= count else None

        return [AccessLine(line) for line in poll(lines, f"{count} lines in the access log")]

    def workers(self):
        """The threads that serve, as soon as all have begun."""

        def all_of_them():
            found = ptrace.threads(self.pid, "worker")
            return found if len(found) == self.config["workers"] else None

        return poll(all_of_them, "all workers")

    def status(self, key):
        """A number from /proc/PID/status; sizes are in KiB."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return int(re.search(rf"^{key}:\s+(\d+)", f.read(), re.M)[1])

    def memory_peak(self):
        """VmHWM: the most memory it ever had, in KiB."""
        return self.status("VmHWM")

    def descriptors(self, kind=""):
        """How many descriptors are open; kind "socket", "pipe" or "" for all."""
        folder = f"/proc/{self.pid}/fd"
        count = 0
        for name in os.listdir(folder):
            try:
                count += os.readlink(os.path.join(folder, name)).startswith(kind)
            except FileNotFoundError:
                pass
        return count

    def stop(self):
        """End it as a service manager does; it has to go cleanly and quietly."""
        assert self.alive(), f"the proxy ended by itself, {self.process.returncode}:\n{self.stderr}"
        self.signal(signal.SIGTERM)
        try:
            status = self.wait_exit(TIMEOUT + self.config["timeouts"]["drain"])
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.wait_exit()
            raise AssertionError(f"did not end after SIGTERM:\n{self.stderr}") from None
        assert status == 0, f"exit status {status}:\n{self.stderr}"
        assert not ALARM.search(self.stderr), self.stderr

    def stop_unless_stopped(self):
        """For the end of a test: also a proxy that the test has stopped must have been quiet."""
        if self.told_to_end:
            self.wait_exit()
        elif self.process.returncode is None:
            self.stop()
        assert self.process.returncode == 0, f"{self.process.returncode}:\n{self.stderr}"
        assert not ALARM.search(self.stderr), self.stderr


def run(*arguments, **options):
    """Run the program to its end: a CompletedProcess."""
    return run_as([], *arguments, **options)


def run_as(launch, *arguments, **options):
    """The same, started by a program that gets it as its first argument."""
    return subprocess.run(
        [*launch, BINARY, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        **options,
    )


class NameServer(Program):
    """dnsmasq on a port of its own, knowing what the hosts text and the arguments say.

    Names below .test that are not there do not exist; all others are refused.
    """

    def __init__(self, folder, hosts="", arguments=()):
        self._barriers = 0
        path = os.path.join(folder, "hosts")
        with open(path, "w", encoding="ascii") as f:
            f.write(hosts)
        for _ in range(20):
            self.port = free_port()
            super().__init__(
                ["dnsmasq", "--no-daemon", f"--port={self.port}", "--listen-address=127.0.0.1"]
                + ["--bind-interfaces", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"]
                + ["--pid-file=", "--user=root", "--log-queries", "--local=/test/"]
                + [f"--addn-hosts={path}", *arguments],
                env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"},
            )
            line = self.wait_line(r"read .*hosts|dnsmasq: failed")
            if "failed" not in line[0]:
                self.address = f"127.0.0.1:{self.port}"
                return
            self.kill()
        raise AssertionError(f"no name server:\n{self.stderr}")

    def queries(self, name):
        """How often the name was asked for.  A query of our own is the barrier: read in order."""
        self._barriers += 1
        label = b"barrier%d" % self._barriers
        question = bytes([len(label)]) + label + b"\x04test\0" + b"\0\1\0\1"
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            header = b"\0\1\1\0\0\1\0\0\0\0\0\0"
            asking.sendto(header + question, ("127.0.0.1", self.port))
            self.wait_line(rf"query\[A\] {label.decode()}\.test ")
        return sum(f"] {name} from" in line and "query[A" in line for line in self.lines)


def free_port():
    """A port that nobody listens on just now, neither TCP nor UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return tcp.getsockname()[1]
