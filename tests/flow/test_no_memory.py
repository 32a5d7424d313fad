"""malloc fails at every nth call: requests may fail, the daemon does not, and nothing leaks.

The binary is one that keeps no freed blocks at hand (make VARIANT=plain), so that malloc is called
for each; `make flow` builds it.
"""

import mmap
import os
import struct
import subprocess

import pytest

import daemon
import people
from peers import Client, Closed, chunked, request, response

pytestmark = pytest.mark.skipif(daemon.sanitized(), reason="sanitizers have a malloc of their own")

HERE = os.path.dirname(os.path.abspath(__file__))
PLAIN = os.path.join(daemon.ROOT, "build/plain/penstock")
LARGE = bytes(300000)


class Failing:
    """The library in front of libc, and how it is told."""

    def __init__(self, folder):
        self.failing = os.path.join(folder, "failing.so")
        path = os.path.join(folder, "failing.control")
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-o", self.failing, os.path.join(HERE, "failing.c")],
            check=True,
        )
        with open(path, "wb+") as f:
            f.write(bytes(mmap.PAGESIZE))
            f.flush()
            self.control = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        self.env = {"LD_PRELOAD": self.failing, "FAILING": path}

    def every(self, n):
        self.control[:24] = struct.pack("lll", n, 0, 0)

    @property
    def failed(self):
        return struct.unpack("lll", self.control[:24])[2]


def handler(c):
    """Answers as the path says."""
    while True:
        message = c.next_request()
        path = message.head.target
        if path == "/chunked":
            c.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunked(LARGE[:70000], b"x", LARGE)
            )
        elif path == "/close":
            c.send(b"HTTP/1.1 200 OK\r\n\r\n" + LARGE)
            return
        elif path == "/interim":
            c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response(b"hello\n"))
        elif path == "/upgrade":
            c.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            c.send(c.recv_exact(5))
            return
        elif path == "/gone":
            return
        else:
            c.send(response(LARGE if path == "/large" else b"hello\n"))


def exchanges(o, refusing):
    """Names with functions that do an exchange on a client and return its status."""

    def tunnel(c):
        status = c.connect_to(o.authority).status
        if status == 200:
            c.request("GET", "/large")
            assert c.recv_response().body == LARGE
        return status

    def upgrade(c):
        c.request("GET", o.url("/upgrade"), [("Connection", "upgrade"), ("Upgrade", "x")])
        status = c.recv_head().status
        if status == 101:
            c.send(b"hello")
            assert c.recv_exact(5) == b"hello"
        return status

    def pipelined(c):
        c.send(request("GET", o.url()) * 3)
        return max(c.recv_response().status for _ in range(3))

    def user(c):
        """From where users are asked who they are."""
        other = Client(c.sock.getpeername(), c.timeout, "127.0.0.2")
        try:
            wrong = other.get(o.url(), [people.say("anna", "wrong")]).status
            right = other.get(o.url(), [people.say("anna", "open sesame")]).status
            return right if wrong == 407 else wrong
        finally:
            other.close()

    def upload(fields, body):
        return lambda c: c.ask("POST", o.url("/large"), fields, body).status

    def get(target, **options):
        return lambda c: c.get(target, **options).status

    return {
        "get": (get(o.url()), 200),
        "get again": (lambda c: (c.get(o.url()), c.get(o.url()))[1].status, 200),
        "large": (get(o.url("/large")), 200),
        "chunked": (get(o.url("/chunked")), 200),
        "close": (get(o.url("/close")), 200),
        "old": (get(o.url("/chunked"), version="HTTP/1.0"), 200),
        "interim": (get(o.url("/interim")), 200),
        "upload": (upload([], LARGE), 200),
        "chunks": (upload([("Transfer-Encoding", "chunked")], chunked(LARGE, b"x")), 200),
        "pipelined": (pipelined, 200),
        "tunnel": (tunnel, 200),
        "upgrade": (upgrade, 101),
        "user": (user, 200),
        "name": (get(f"http://known.test:{o.port}/"), 200),
        "no name": (get("http://unknown.test/"), 502),
        "refused": (get(f"http://127.0.0.1:{refusing}/"), 502),
        "gone": (get(o.url("/gone")), 502),
        "denied": (get("http://240.0.0.1/"), 403),
        "home": (get("/"), 200),
        "bad": (get("/ x"), 400),
        "long head": (get(o.url(), fields=[("X", "x" * 30000)]), 200),
    }


def attempt(p, act, timeout=5):
    """What comes of it; None when the connection ends, or nothing happens."""
    try:
        c = Client(p.address, timeout)
    except OSError:
        return None
    try:
        return act(c)
    except (Closed, OSError, AssertionError, ValueError, IndexError):
        return None
    finally:
        c.close()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 10, 12, 17, 22, 29, 37, 50, 83, 151, 307])
def test_a_malloc_that_fails_fails_requests_and_nothing_else(
    stage, proxy, origin, names, refusing_port, monkeypatch, n
):
    monkeypatch.setattr(daemon, "BINARY", PLAIN)
    failing = Failing(stage.folder)
    o = origin(handler)
    p = proxy(
        env=failing.env,
        timeouts=dict.fromkeys(["head", "idle", "first_byte", "body", "resolve", "linger"], 1),
        resolver={"servers": [names("127.0.0.1 known.test\n").address], "ttl_negative": 0},
        limits={"pool_idle": 1},
        auth={"users": people.write_users(f"{stage.folder}/users", {"anna": "open sesame"}),
              "exempt": ["127.0.0.1"], "keep": 0, "failures": 0, "delay": 0},
    )
    acts = exchanges(o, refusing_port)
    for name, (act, status) in acts.items():
        assert attempt(p, act) == status, name
    daemon.poll(lambda: p.descriptors("socket") < 8, "the pool to be empty")
    before = p.descriptors("socket")
    failing.every(n)
    for name, (act, _) in acts.items():
        for _ in range(3):
            # With hardly any memory nobody is let in: that is not waited for.
            attempt(p, act, timeout=0.2 if n <= 2 else 5)
            assert p.alive(), f"{name}, after {failing.failed} failures:\n{p.stderr[-2000:]}"
    assert failing.failed > 0
    failing.every(0)
    act, status = next(iter(acts.values()))
    daemon.poll(lambda: attempt(p, act) == status, "clients to be let in again")
    for name, (act, status) in acts.items():
        assert attempt(p, act) == status, name
    daemon.poll(lambda: p.descriptors("socket") <= before, "all descriptors to be closed")
