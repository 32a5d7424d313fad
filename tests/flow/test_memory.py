"""Memory: whatever is pushed at the proxy, it holds little of it.

VmHWM of /proc decides: the most memory that the process ever had.
"""

import resource
import selectors
import socket
import struct
import threading
import time

import pytest

import daemon
from peers import TIMEOUT, Client, request, response

GIB = 1 << 30
BLOCK = memoryview(bytes(1 << 20))
MIB = 1024  # VmHWM counts KiB
SMALL = daemon.sanitized()  # bounds by the byte mean nothing then; the rest is still run
# What may be on the way between two ends of which one does not read: what the proxy holds and
# the kernel's buffers of four sockets, which it lets grow.
ON_THE_WAY = 96 << 20


@pytest.fixture
def idle(proxy, origin, client):
    """A proxy that has served once, so that its code is there, and what memory that took."""
    p = proxy(limits={"clients": 5000})
    c = client(p)
    o = origin()
    assert c.ask("POST", o.url(), body=b"x").status == 200
    assert c.get(o.url()).status == 200
    return p, p.memory_peak()


def assert_grew(p, before, exchanges=1):
    grown = p.memory_peak() - before
    print(f"{grown} KiB more for {exchanges} exchanges")
    if not SMALL:
        assert grown <= MIB * exchanges, f"{grown} KiB for {exchanges} exchanges"


def push(sock, total):
    """Send up to so much, until nothing has moved for a second; how much went."""
    sent = 0
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_WRITE)
    sock.setblocking(False)
    while sent < total and selector.select(1):
        try:
            sent += sock.send(BLOCK[: total - sent])
        except BlockingIOError:
            pass
    selector.close()
    return sent


HEADS = {
    "length": b"Content-Length: %d\r\n\r\n" % (4 * GIB),
    "one chunk": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (4 * GIB),
    "close": b"\r\n",
}


@pytest.mark.parametrize("framing", HEADS)
def test_a_download_that_is_not_read(idle, origin, client, framing):
    p, before = idle
    pushed = []

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\n" + HEADS[framing])
        pushed.append(push(c.sock, 4 * GIB))

    o = origin(handler)
    c = client(p)
    c.request("GET", o.url())
    o.connection().wait_finished(50)
    assert pushed[0] < ON_THE_WAY
    assert_grew(p, before)


@pytest.mark.parametrize("framing", ["length", "one chunk"])
def test_an_upload_that_is_not_read(idle, origin, client, framing):
    p, before = idle
    done = threading.Event()

    def handler(c):
        c.sock.recv(1)
        done.wait(50)

    c = client(p)
    o = origin(handler)
    c.send(f"PUT {o.url()} HTTP/1.1\r\nHost: {o.authority}\r\n".encode() + HEADS[framing])
    assert push(c.sock, 4 * GIB) < ON_THE_WAY
    done.set()
    assert_grew(p, before)


@pytest.mark.parametrize("side", ["client", "origin"])
def test_a_tunnel_that_is_not_read(idle, origin, client, side):
    p, before = idle
    pushed, done = [], threading.Event()

    def handler(c):
        if side == "origin":
            pushed.append(push(c.sock, 4 * GIB))
        done.wait(50)

    o = origin(handler)
    c = client(p)
    assert c.connect_to(o.authority).status == 200
    if side == "client":
        pushed.append(push(c.sock, 4 * GIB))
    daemon.poll(lambda: pushed, "the pusher to be stopped", 50)
    done.set()
    assert pushed[0] < ON_THE_WAY
    assert_grew(p, before)


@pytest.mark.parametrize("direction", ["down", "up"])
def test_one_chunk_of_a_gigabyte_that_is_read(idle, origin, client, direction):
    p, before = idle
    size = GIB >> 4 if SMALL else GIB

    def send_chunk(sock):
        sock.settimeout(TIMEOUT)
        sock.sendall(b"%x\r\n" % size)
        for _ in range(size // len(BLOCK)):
            sock.sendall(BLOCK)
        sock.sendall(b"\r\n0\r\n\r\n")

    def count_chunks(wire):
        total = 0
        while line := int(wire.recv_until(b"\r\n"), 16):
            total += line
            left = line + 2
            while left > 0:
                wire.received, wire.pos = wire.rest, 0
                left -= len(wire.take(left)) if wire.rest else len(wire.sock.recv(min(left, 1 << 20)))
            wire.received, wire.pos = wire.rest, 0
        return total

    counts = []

    def handler(c):
        c.recv_head()
        if direction == "up":
            counts.append(count_chunks(c))
            c.send(response(b"done"))
        else:
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            send_chunk(c.sock)

    o = origin(handler)
    c = client(p)
    if direction == "up":
        c.send(request("PUT", o.url(), [("Transfer-Encoding", "chunked")]))
        send_chunk(c.sock)
        assert c.recv_response().body == b"done"
    else:
        c.request("GET", o.url())
        assert c.recv_head().status == 200
        counts.append(count_chunks(c))
    assert counts == [size]
    assert_grew(p, before)


class Crowd:
    """Very many clients and their origin in one loop: all push, nobody reads."""

    CHUNK = b"4000\r\n" + bytes(0x4000) + b"\r\n"

    def __init__(self, address, direction, framing):
        self.address = address
        self.head = b"Transfer-Encoding: chunked\r\n\r\n" if framing == "chunks" else HEADS[framing]
        self.stream = memoryview(4 * self.CHUNK) if framing == "chunks" else BLOCK
        self.sent = {}
        self.direction = direction
        self.selector = selectors.DefaultSelector()
        self.sockets, self.pushing = [], 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.authority = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)

    def add_client(self):
        sock = socket.socket()
        # Little of it is to stay in the kernel; what the proxy holds is the question.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        sock.settimeout(TIMEOUT)
        sock.connect(self.address)
        sock.setblocking(False)
        head = f"http://{self.authority}/ HTTP/1.1\r\nHost: {self.authority}\r\n"
        if self.direction == "up":
            sock.send(f"PUT {head}".encode() + self.head)
            self.sockets.append(sock)
        else:
            sock.send(f"GET {head}\r\n".encode())
            self.sockets.append(sock)

    def _accept(self, _):
        sock, _peer = self.listener.accept()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        sock.setblocking(False)
        self.sockets.append(sock)
        self.selector.register(sock, selectors.EVENT_READ, self._asked)

    def _asked(self, sock):
        """The request is there.  From now on nobody reads."""
        self.pushing += 1
        if self.direction == "up":
            self.selector.unregister(sock)
            return
        sock.recv(4096)
        sock.send(b"HTTP/1.1 200 OK\r\n" + self.head)
        self.selector.modify(sock, selectors.EVENT_WRITE, self._push)

    def _push(self, sock):
        at = self.sent.get(sock, 0)
        try:
            at += sock.send(self.stream[at : at + 65536])
            self.sent[sock] = at % len(self.stream)
        except BlockingIOError:
            pass

    def run(self, count, quiet=1.0, seconds=50):
        """Until all exchanges are there and nothing has moved for a while."""
        end = time.monotonic() + seconds
        for _ in range(count):
            self.add_client()
            self._turn(0)
        if self.direction == "up":
            for sock in [s for s in self.sockets if s.getpeername() == self.address]:
                self.selector.register(sock, selectors.EVENT_WRITE, self._push)
        while self._turn(quiet) or self.pushing < count:
            assert time.monotonic() < end, f"{self.pushing} exchanges, and still moving"

    def _turn(self, seconds):
        events = self.selector.select(seconds)
        for key, _ in events:
            key.data(key.fileobj)
        return bool(events)

    def close(self):
        for sock in self.sockets + [self.listener]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.selector.close()


@pytest.fixture
def many_descriptors():
    """Room for two thousand sockets, in this process and in what it starts."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    if old[1] < 4096:
        pytest.skip(f"at most {old[1]} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(old[1], 16384), old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, old)


def assert_goes_back(p, before, grown):
    """Most of what a crowd took is given back to the kernel some seconds after it has left."""
    if not SMALL:
        low = before + grown // 2
        daemon.poll(lambda: p.status("VmRSS") < low, f"less than {low} KiB", 2 * TIMEOUT)


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_thousand_that_do_not_read(small_buffers, many_descriptors, idle, direction, framing):
    p, _ = idle
    count = 100 if SMALL else 1000
    crowd = Crowd(p.address, direction, framing)
    before = p.status("VmRSS")
    try:
        crowd.run(count)
        grown = p.status("VmRSS") - before
        print(f"{grown / count} KiB for each")
        assert SMALL or grown <= 64 * count
        # It still serves others.
        with_one_more = Client(p.address)
        assert with_one_more.get("/").status in (200, 404)
        with_one_more.close()
    finally:
        crowd.close()
    daemon.poll(lambda: p.descriptors("socket") < 100, "the sockets to be closed")
    assert_goes_back(p, before, grown)


def test_uploads_whose_origin_does_not_answer_yet(many_descriptors, idle):
    """A body waits in the kernel until there is somebody to take it."""
    p, _ = idle
    count, crowd = 500, []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        authority = "127.0.0.1:%d" % full.getsockname()[1]
        filler = socket.create_connection(full.getsockname())
        before = p.status("VmRSS")
        try:
            for _ in range(count):
                c = Client(p.address)
                c.send(request("PUT", f"http://{authority}/", [("Content-Length", str(GIB))]))
                c.send(BLOCK[: 256 << 10])
                crowd.append(c)
            # All are asked for at the origin, in vain.
            daemon.poll(lambda: p.descriptors("socket") >= 2 * count, "all to be on their way")
            grown = p.status("VmRSS") - before
            print(f"{grown / count} KiB for each")
            assert SMALL or grown <= 32 * count
        finally:
            for c in crowd:
                c.close()
            filler.close()
    daemon.poll(lambda: p.descriptors("socket") < 100, "the sockets to be closed")


@pytest.mark.parametrize("kind, most", [("client", 3.25), ("tunnel", 4.25)])
def test_what_an_idle_one_takes(many_descriptors, idle, kind, most):
    p, _ = idle
    count = 100 if SMALL else 1000
    # Its kernel accepts, and nothing is ever said.
    with socket.create_server(("127.0.0.1", 0), backlog=count) as quiet:
        authority = "127.0.0.1:%d" % quiet.getsockname()[1]
        before = p.status("VmRSS")
        crowd = []
        for _ in range(count):
            c = Client(p.address)
            crowd.append(c)
            if kind == "tunnel":
                assert c.connect_to(authority).status == 200
            else:
                assert c.get("/").status in (200, 404)
        grown = p.status("VmRSS") - before
        print(f"{grown / count} KiB for each")
        assert SMALL or grown <= most * count
        for c in crowd:
            c.close()
    assert_goes_back(p, before, grown)
