"""The service manager: what it is told, the sockets it hands over, and a restart under its eyes."""

import os
import re
import signal
import socket
import threading
import time

import pytest

import daemon
import ptrace
from peers import TIMEOUT, Client

EX_OSERR = 71


class Manager:
    """A service manager's socket: what it is told, message by message."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(TIMEOUT)

    @property
    def env(self):
        return {"NOTIFY_SOCKET": self.path}

    def hear(self):
        text = self.sock.recv(4096).decode("ascii")
        return dict(line.split("=", 1) for line in text.splitlines())

    def hear_of(self, key):
        """Up to the next message that has the key."""
        while key not in (message := self.hear()):
            pass
        return message

    def hear_nothing_of(self, key, seconds):
        """That a word does not come takes time to see."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                assert key not in self.hear()
            except TimeoutError:
                break
        self.sock.settimeout(TIMEOUT)

    def forget(self):
        """What lies there already."""
        self.sock.setblocking(False)
        try:
            while True:
                self.sock.recv(4096)
        except BlockingIOError:
            self.sock.settimeout(TIMEOUT)


@pytest.fixture
def manager(tmp_path):
    manager = Manager(str(tmp_path))
    yield manager
    manager.sock.close()


# ---- what it is told ----------------------------------------------------------------------------


def now_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_start_reload_stop(proxy, manager, client, origin):
    o = origin()
    p = proxy(env=manager.env)
    assert manager.hear() == {"READY": "1", "STATUS": "0 connections, 0 tunnels"}
    c = client(p)
    assert c.get(o.url()).status == 200
    before = now_us()
    p.signal(signal.SIGHUP)
    reloading = manager.hear()
    assert before <= int(reloading.pop("MONOTONIC_USEC")) <= now_us()
    assert reloading == {"RELOADING": "1", "STATUS": "1 connection, 0 tunnels"}
    assert manager.hear() == {"READY": "1", "STATUS": "1 connection, 0 tunnels"}
    p.wait_line("read again")
    p.signal(signal.SIGTERM)
    assert manager.hear() == {"STOPPING": "1", "STATUS": "1 connection, 0 tunnels"}
    assert p.wait_exit() == 0


def has_libsystemd(p):
    with open(f"/proc/{p.pid}/maps", encoding="ascii") as maps:
        return "/libsystemd.so" in maps.read()


def test_libsystemd_is_loaded_for_a_manager_only(proxy, manager):
    notified = proxy(env=manager.env)
    assert "READY" in manager.hear()
    built_without = f"{os.sep}bare{os.sep}" in daemon.BINARY
    assert has_libsystemd(notified) == (not built_without)
    assert not has_libsystemd(proxy())


def test_a_reload_that_fails_is_over_too(proxy, manager):
    p = proxy(env=manager.env)
    manager.hear_of("READY")
    p.write_config(workers="many")
    p.signal(signal.SIGHUP)
    manager.hear_of("RELOADING")
    manager.hear_of("READY")
    p.wait_line("nothing has changed")


def test_ready_is_said_when_clients_are_served(proxy, manager, client, origin):
    """The first one who connects when it is said is answered."""
    o = origin()
    ready = threading.Event()
    answers = []

    def connect():
        assert ready.wait(TIMEOUT)
        answers.append(Client(("127.0.0.1", port)).get(o.url()).status)

    port = daemon.free_port()
    thread = threading.Thread(target=connect)
    thread.start()
    listener = threading.Thread(target=lambda: manager.hear_of("READY") and ready.set())
    listener.start()
    proxy(env=manager.env, listen=[{"address": "127.0.0.1", "port": port}])
    listener.join(TIMEOUT)
    thread.join(TIMEOUT)
    assert answers == [200]


def test_nothing_is_said_that_is_not_true(stage, manager):
    """A start that fails is never ready."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError):
            daemon.Proxy(
                stage.subfolder("proxy", 0),
                {"listen": [{"address": "127.0.0.1", "port": port}]},
                env=manager.env,
            )
    manager.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.hear()


def test_status_counts_connections_and_tunnels(proxy, manager, client, origin):
    o = origin(lambda c: c.recv_all())
    p = proxy(env=manager.env)
    assert manager.hear_of("STATUS")["STATUS"] == "0 connections, 0 tunnels"
    clients = [client(p) for _ in range(3)]
    for c in clients[:2]:
        assert c.connect_to(o.authority).status == 200
    # By itself, within seconds.
    while manager.hear_of("STATUS")["STATUS"] != "3 connections, 2 tunnels":
        pass
    for c in clients:
        c.close()
    while manager.hear_of("STATUS")["STATUS"] != "0 connections, 0 tunnels":
        pass


def test_a_manager_that_is_gone_is_no_reason_to_end(proxy, tmp_path, client, origin):
    o = origin()
    p = proxy(env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    p.wait_line("cannot tell the service manager.*ignoring")
    assert client(p).get(o.url()).status == 200


# ---- the watchdog -------------------------------------------------------------------------------

WATCHDOG_S = 0.8


def test_watchdog_is_answered_until_a_worker_is_stuck(proxy, manager, client, origin):
    o = origin()
    usec = str(int(WATCHDOG_S * 1e6))
    p = proxy(env={**manager.env, "WATCHDOG_USEC": usec}, workers=3)
    for _ in range(3):
        manager.hear_of("WATCHDOG")
    for worker in p.workers():
        with ptrace.stopped(worker):
            seen = sum("is stuck" in line for line in p.lines)
            p.wait_line("worker [0-2] is stuck", count=seen + 1)
            manager.forget()
            manager.hear_nothing_of("WATCHDOG", 2 * WATCHDOG_S)
        manager.hear_of("WATCHDOG")
        manager.hear_of("WATCHDOG")
    assert len({line[-60:] for line in p.lines if "is stuck" in line}) == 3
    assert client(p).get(o.url()).status == 200


def test_watchdog_goes_on_while_it_ends(proxy, manager, client, origin):
    """Workers that have nothing more to do have ended, one has a tunnel."""
    o = origin(lambda c: c.recv_all())
    usec = str(int(WATCHDOG_S * 1e6))
    p = proxy(env={**manager.env, "WATCHDOG_USEC": usec}, workers=4, timeouts={"drain": 60})
    c = client(p)
    assert c.connect_to(o.authority).status == 200
    p.signal(signal.SIGTERM)
    manager.hear_of("STOPPING")
    p.signal(signal.SIGHUP)
    p.wait_line("ending, the configuration is not read again")
    for _ in range(6):
        assert "READY" not in manager.hear()
    assert "is stuck" not in p.stderr
    c.close()
    assert p.wait_exit() == 0


def test_no_watchdog_unless_asked_for(proxy, manager):
    p = proxy(env={**manager.env, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())})
    manager.hear_of("READY")
    p.signal(signal.SIGHUP)
    assert "RELOADING" in manager.hear()


# ---- sockets ------------------------------------------------------------------------------------


def listening(address="127.0.0.1", family=socket.AF_INET):
    sock = socket.socket(family)
    sock.bind((address, 0))
    sock.listen(128)
    return sock


def test_inherited_sockets_take_the_place_of_listen(proxy, client, origin):
    o = origin()
    with listening() as four, listening("::1", socket.AF_INET6) as six, listening() as named:
        sockets = {"": four, "six": six, "the one with a name": named}
        p = proxy(sockets=sockets, workers=4)
        assert p.ports == [s.getsockname()[1] for s in sockets.values()]
        p.wait_line(r"listening on 127\.0\.0\.1:\d+ \(inherited, \)")
        p.wait_line(r"listening on \[::1\]:\d+ \(inherited, six\)")
        p.wait_line(r"listening on 127\.0\.0\.1:\d+ \(inherited, the one with a name\)")
        p.wait_line("`listen` is not looked at")
        for sock in sockets.values():
            for _ in range(8):
                assert client(sock.getsockname()[:2]).get(o.url()).status == 200
        # A reload changes nothing of it.
        p.write_config(listen=[{"address": "127.0.0.1", "port": 0}, {"address": "::1", "port": 0}])
        p.signal(signal.SIGHUP)
        p.wait_line("read again")
        assert sum("listening on" in line for line in p.lines) == 3
        assert client(six.getsockname()[:2]).get(o.url()).status == 200


def test_a_socket_for_both_families(proxy, client, origin):
    """systemd's "ListenStream=3128" without BindIPv6Only=: IPv4 clients are judged as such."""
    o = origin()
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        p = proxy(sockets={"both": both}, access={"clients": ["127.0.0.0/8"]})
        assert client(("127.0.0.1", p.port)).get(o.url()).status == 200
        assert client(("::1", p.port)).get(o.url()).status == 403
        assert [line.client for line in p.access(2)] == ["127.0.0.1", "::1"]


def test_all_workers_accept_on_an_inherited_socket(proxy, manager, client, origin):
    """One that is stuck leaves the clients to the others."""
    o = origin()
    with listening() as sock:
        p = proxy(sockets={"web": sock}, workers=2)
        for worker in p.workers():
            with ptrace.stopped(worker):
                for _ in range(4):
                    assert client(p).get(o.url()).status == 200


def unusable():
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    idle = socket.socket()
    idle.bind(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind("")
    unix.listen()
    return [
        (udp, "not a TCP socket"),
        (idle, "a socket that does not listen"),
        (unix, "neither an IPv4 nor an IPv6 socket"),
        (open("/dev/null", "rb"), "Socket operation on non-socket"),
    ]


def test_sockets_that_cannot_be_used_are_named(stage):
    with listening() as good:
        for i, (bad, why) in enumerate(unusable()):
            with bad, pytest.raises(AssertionError) as error:
                daemon.Proxy(stage.subfolder("proxy", i), {}, sockets={"good": good, "bad": bad})
            assert f"cannot use socket 4 (bad) of the service manager: {why}" in str(error.value)


@pytest.mark.parametrize(
    "variables",
    [
        {"LISTEN_FDS": "many"},
        {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "one:two"},
        {"LISTEN_FDS": "900"},
    ],
)
def test_variables_that_are_not_true(tmp_path, variables):
    """The shell has the process number that the variable is to name."""
    result = daemon.run_as(["sh", "-c", 'LISTEN_PID=$$ exec "$0"'], env={**os.environ, **variables})
    assert result.returncode == EX_OSERR
    assert "LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: " in result.stderr


def test_variables_for_another_process_are_not_ours(proxy, client, origin):
    o = origin()
    p = proxy(env={"LISTEN_PID": "1", "LISTEN_FDS": "3"})
    assert client(p).get(o.url()).status == 200


# ---- restart ------------------------------------------------------------------------------------


class Load(threading.Thread):
    """A new connection for each request, until told to stop."""

    def __init__(self, address, url, stop):
        super().__init__(daemon=True)
        self.address, self.url, self.stop = address, url, stop
        self.done, self.errors = 0, []

    def run(self):
        while not self.stop.is_set():
            try:
                with socket.create_connection(self.address, TIMEOUT) as sock:
                    sock.sendall(
                        f"GET {self.url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
                    )
                    answer = b""
                    while piece := sock.recv(4096):
                        answer += piece
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                self.done += 1
            except (OSError, AssertionError) as error:
                self.errors.append(error)


def test_restart_refuses_and_resets_no_connection(proxy, origin):
    """As systemd does it: the socket stays, the next one starts when the last has ended."""
    o = origin()
    stop = threading.Event()
    with listening() as sock:
        load = [Load(sock.getsockname(), o.url(), stop) for _ in range(6)]
        p = proxy(sockets={"web": sock}, workers=2)
        for thread in load:
            thread.start()
        for _ in range(8):
            reached = [thread.done for thread in load]
            daemon.poll(lambda: all(t.done > n + 2 for t, n in zip(load, reached)), "requests")
            p.stop()
            p = proxy(sockets={"web": sock}, workers=2)
        stop.set()
        for thread in load:
            thread.join(TIMEOUT)
    assert [e for thread in load for e in thread.errors] == []
    assert sum(thread.done for thread in load) > 100


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_what_waits_in_an_inherited_queue_waits_for_the_next(proxy, client, origin):
    """The old one does not take it any more, and does not spin on it either."""
    tunnel, o = origin(lambda c: c.recv_all()), origin()
    with listening() as sock:
        old = proxy(sockets={"web": sock}, workers=2, timeouts={"drain": 60})
        busy = client(old)
        assert busy.connect_to(tunnel.authority).status == 200
        old.signal(signal.SIGTERM)
        old.wait_line("finishing")
        # Workers without work end; the one with the tunnel has left the socket by then, or soon.
        daemon.poll(lambda: len(ptrace.threads(old.pid, "worker")) == 1, "a worker's end")
        daemon.poll(lambda: held(old.pid, sock) == 0, "the socket to be left")
        waiting = client(sock.getsockname())
        waiting.request("GET", o.url())
        before, until = cpu_s(old.pid), time.monotonic() + 1
        while time.monotonic() < until:
            assert cpu_s(old.pid) - before < 0.2
        new = proxy(sockets={"web": sock}, workers=2)
        assert waiting.recv_response().status == 200
        assert new.alive() and old.alive()
        busy.close()
        assert old.wait_exit() == 0


def held(pid, sock):
    """How many descriptors the process has of the socket."""
    inode = re.search(r"\d+", os.readlink(f"/proc/self/fd/{sock.fileno()}"))[0]

    def target(name):
        try:
            return os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:  # it has just been closed
            return None

    return sum(target(name) == f"socket:[{inode}]" for name in os.listdir(f"/proc/{pid}/fd"))
