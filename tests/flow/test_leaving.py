"""A side that goes away, in every state: the other one is told at once, and nothing stays."""

import select
import socket
import threading
import time

import pytest

import daemon
from flood import push, send_on, wait_hangup
from peers import TIMEOUT, Client, request

SOON = 5 if daemon.sanitized() else 3  # seconds in which an end is passed on
GIB = 1 << 30


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_leaves_while_it_waits_for_the_answer(proxy, origin, client, how):
    asked, times = threading.Event(), {}

    def handler(c):
        c.next_request()
        asked.set()
        wait_hangup(c.sock)
        times["gone"] = time.monotonic()

    o = origin(handler)
    p = proxy()
    c = client(p)
    c.request("GET", o.url())
    assert asked.wait(TIMEOUT)
    left = time.monotonic()
    getattr(c, how)()
    o.connection().wait_finished()
    assert times["gone"] - left < SOON
    assert p.access(1)[0].end == "client_gone"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_leaves_in_the_middle_of_a_download(proxy, origin, client, how, framing):
    full, times = threading.Event(), {}
    head = {
        "length": b"Content-Length: %d\r\n\r\n" % (8 * GIB),
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (8 * GIB),
        "close": b"\r\n",
    }[framing]

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\n" + head)
        push(c.sock)
        full.set()
        wait_hangup(c.sock)
        times["gone"] = time.monotonic()

    o = origin(handler)
    p = proxy()
    c = client(p)
    c.request("GET", o.url())
    assert full.wait(30), "the origin could push without end"
    left = time.monotonic()
    getattr(c, how)()  # with unread bytes: a reset on the wire in both cases
    o.connection().wait_finished()
    assert times["gone"] - left < SOON
    assert p.access(1)[0].end == "client_gone"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("much", [True, False])
def test_a_client_leaves_in_the_middle_of_an_upload(proxy, origin, client, much, framing):
    """Also when the way to the origin is full, which does not read."""
    asked, times = threading.Event(), {}

    def handler(c):
        c.sock.recv(1)
        asked.set()
        wait_hangup(c.sock, 30)
        times["gone"] = time.monotonic()

    o = origin(handler)
    p = proxy()
    c = client(p)
    size = b"%x\r\n" % GIB if framing == "chunked" else b""
    fields = (
        [("Content-Length", str(GIB))]
        if framing == "length"
        else [("Transfer-Encoding", "chunked")]
    )
    c.send(request("PUT", o.url(), fields) + size + b"some bytes")
    assert asked.wait(TIMEOUT)
    if much:
        assert push(c.sock) < GIB // 4
        left = time.monotonic()
        c.reset()
    else:
        left = time.monotonic()
        c.close()
    o.connection().wait_finished(30)
    assert times["gone"] - left < SOON
    assert p.access(1)[0].end == "client_gone"


def test_a_client_leaves_in_the_middle_of_an_upload_while_the_answer_flows(proxy, origin, client):
    def handler(c):
        c.recv_head()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        wait_hangup(c.sock)

    o = origin(handler)
    c = client(proxy())
    c.send(request("PUT", o.url(), [("Content-Length", "1000")], b"part"))
    assert c.recv_head().status == 200
    c.close()
    o.connection().wait_finished(SOON)


def gone_line(p, left):
    """The log line of an exchange whose client left; the line may be buffered for a second."""
    line = p.access(1)[0]
    assert line.end == "client_gone"
    assert time.monotonic() - left < SOON + 1.5


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_a_client_leaves_while_a_name_is_looked_up(proxy, client, method):
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(TIMEOUT)
        p = proxy(
            resolver={"servers": [f"127.0.0.1:{silent.getsockname()[1]}"]}, timeouts={"resolve": 50}
        )
        c = client(p)
        c.request(method, "slow.test:443" if method == "CONNECT" else "http://slow.test/")
        assert silent.recv(1000)
        left = time.monotonic()
        c.close()
        gone_line(p, left)


@pytest.fixture
def hanging():
    """The port of a listener whose backlog is full: connecting to it hangs."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        while True:
            filler = socket.socket()
            fillers.append(filler)
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            if not select.select([], [filler], [], 0.2)[1]:
                break
        yield full.getsockname()[1]
        for filler in fillers:
            filler.close()


def connecting(port):
    """How many connections to the port are in the state SYN-SENT."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_a_client_leaves_while_the_origin_is_dialled(proxy, client, hanging, method):
    before = connecting(hanging)
    p = proxy(timeouts={"connect": 50})
    c = client(p)
    authority = f"127.0.0.1:{hanging}"
    c.request(method, authority if method == "CONNECT" else f"http://{authority}/")
    daemon.poll(lambda: connecting(hanging) == before + 1, "the proxy to dial")
    left = time.monotonic()
    c.close()
    daemon.poll(lambda: connecting(hanging) == before, "the proxy to stop dialling", SOON)
    gone_line(p, left)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_an_origin_leaves_before_its_head(proxy, origin, client, how, said):
    def handler(c):
        c.next_request()
        c.send(said)
        getattr(c, how)()

    p = proxy()
    c = client(p)
    answer = c.get(origin(handler).url())
    assert answer.status == 502
    assert p.access(1)[0].end == "no_response"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_origin_leaves_in_the_middle_of_an_upload(proxy, origin, client, how):
    """Without an answer: the client is told 502 and is not kept pushing."""

    def handler(c):
        c.recv_head()
        c.recv_exact(1)
        getattr(c, how)()

    p = proxy(timeouts={"linger": 1})
    c = client(p)
    c.send(request("PUT", origin(handler).url(), [("Content-Length", str(GIB))]))

    uploader = threading.Thread(target=send_on, args=(c.sock, bytes(65536)))
    uploader.start()
    assert c.recv_response().status == 502
    uploader.join(TIMEOUT)
    assert not uploader.is_alive()
    assert p.access(1)[0].end == "no_response"


def test_nothing_stays_open_after_all_that(proxy, origin, client):
    """A hundred clients that leave in the middle: as many descriptors as before."""

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + bytes(100_000))
        c.recv_all()

    o = origin(handler)
    p = proxy()
    before = p.descriptors("socket")
    for _ in range(100):
        c = Client(p.address)
        c.request("GET", o.url())
        c.recv_head()
        c.close()
    daemon.poll(lambda: p.descriptors("socket") <= before, "the sockets to be closed")
