"""A least rate of bodies: who holds an exchange up is cut off, and nobody else."""

import threading
import time

import pytest

from flood import send_on
from peers import TIMEOUT, Closed, request, response

SIZE = 256 << 20  # more than all buffers on the way hold


def drip(send, unit, times, every=0.1):
    """The pace is what is tested: the unit, so many times, ten a second.  Until nobody listens."""
    try:
        for _ in range(times):
            send(unit)
            time.sleep(every)
    except (ConnectionError, Closed):
        return False
    return True


def sip(wire, size, times, every=0.1):
    """Read at most so much, so many times, ten a second; False when the peer has ended it."""
    try:
        for _ in range(times):
            if not wire.sock.recv(size):
                return False
            time.sleep(every)
    except ConnectionError:
        return False
    return True


@pytest.fixture
def impatient(proxy):
    """Only the rate can cut anybody here.  impatient(rate)"""

    def start(rate):
        return proxy(
            timeouts={"body": 60, "first_byte": 60, "body_grace": 1}, limits={"body_rate_min": rate}
        )

    return start


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_sends_too_slowly_is_told_so(impatient, origin, client, framing):
    def handler(c):
        c.recv_all()

    p = impatient(100)
    c = client(p)
    fields = {
        "length": [("Content-Length", "100000")],
        "chunked": [("Transfer-Encoding", "chunked")],
    }[framing]
    c.send(request("POST", origin(handler).url(), fields))
    began = time.monotonic()
    drip(c.send, b"x" if framing == "length" else b"1\r\nx\r\n", 30)
    assert c.recv_response("POST").status == 408
    assert time.monotonic() - began < 10
    assert p.access(1)[0].end == "body_timeout"


def test_an_origin_that_takes_too_slowly_is_to_blame(impatient, origin, client):
    def handler(c):
        c.recv_head()
        sip(c, 10000, 1000)

    p = impatient(1000000)
    c = client(p)
    c.send(request("POST", origin(handler).url(), [("Content-Length", str(SIZE))]))
    # It goes on and on: a client that rests is the one that is waited for.
    threading.Thread(target=send_on, args=(c.sock, bytes(1 << 16)), daemon=True).start()
    assert c.recv_response("POST").status == 504
    assert p.access(1)[0].end == "response_timeout"


def test_an_origin_that_sends_what_it_promised_too_slowly_is_to_blame(impatient, origin, client):
    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        drip(c.send, b"x", 1000)

    p = impatient(100)
    c = client(p)
    c.request("GET", origin(handler).url())
    with pytest.raises(Closed):
        c.recv_response()
    assert p.access(1)[0].end == "origin_timeout"


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_stream_of_events_may_be_as_slow_as_it_likes(impatient, origin, client, framing):
    def handler(c):
        c.next_request()
        if framing == "chunked":
            c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            drip(c.send, b"1\r\nx\r\n", 30)
            c.send(b"0\r\n\r\n")
        else:
            c.send(b"HTTP/1.1 200 OK\r\n\r\n")
            drip(c.send, b"x", 30)

    p = impatient(100)
    c = client(p)
    c.request("GET", origin(handler).url())
    assert c.recv_response().body == b"x" * 30
    assert p.access(1)[0].end == "ok"


def test_a_conversation_may_be_as_slow_as_it_likes(impatient, origin, client):
    """Once the origin answers, an upload that goes on is not measured."""

    def handler(c):
        c.recv_head()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n:\r\n")
        body, _ = c.recv_chunked()
        c.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    p = impatient(100)
    c = client(p)
    c.send(request("POST", origin(handler).url(), [("Transfer-Encoding", "chunked")]))
    c.recv_until(b":\r\n")
    assert drip(c.send, b"1\r\nx\r\n", 30)
    c.send(b"0\r\n\r\n")
    c.pos = 0
    assert c.recv_response("POST").body == b":" + b"x" * 30


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_client_that_reads_too_slowly_is_to_blame(impatient, origin, client, version):
    """Also when what it reads is a stream of events."""

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\n\r\n")
        send_on(c.sock, bytes(1 << 16))

    p = impatient(1000000)
    c = client(p)
    c.request("GET", origin(handler).url(), version=version)
    assert c.recv_head().status == 200
    sip(c, 10000, 100)
    assert p.access(1)[0].end == "client_timeout"


def test_a_slow_reader_that_reads_on_is_not_taken_for_one_that_stands_still(proxy, origin, client):
    """The kernel takes more bytes only when much of what it has is gone: longer than the timer."""
    size = 16 << 20
    o = origin(lambda c: (c.next_request(), c.send(response(bytes(size)))))
    p = proxy(timeouts={"body": 2, "body_grace": 60})
    c = client(p)
    c.request("GET", o.url())
    assert c.recv_head().status == 200
    left = size - len(c.rest)
    for _ in range(50):
        left -= len(c.sock.recv(1 << 15))
        time.sleep(0.1)
    while left > 0:
        got = len(c.sock.recv(1 << 20))
        assert got > 0
        left -= got
    assert p.access(1)[0].end == "ok"


def test_interim_responses_do_not_gain_time_without_end(proxy, origin, client):
    def handler(c):
        c.next_request()
        drip(c.send, b"HTTP/1.1 103 Early Hints\r\n\r\n", 1000)

    p = proxy(timeouts={"first_byte": 1})
    c = client(p)
    began = time.monotonic()
    assert c.get(origin(handler).url()).status == 504
    assert 9 < time.monotonic() - began < 20
    assert p.access(1)[0].end == "response_timeout"


def test_a_tunnel_ends_with_its_lifetime_however_busy(proxy, origin, client):
    ended = threading.Event()

    def handler(c):
        try:
            while True:
                c.send(c.recv_some())
        finally:
            ended.set()

    p = proxy(timeouts={"tunnel": 60, "tunnel_lifetime": 2})
    c = client(p)
    assert c.connect_to(origin(handler).authority).status == 200
    began = time.monotonic()
    with pytest.raises((Closed, ConnectionError)):
        while True:
            c.send(b"ping")
            assert c.recv_exact(4) == b"ping"
            time.sleep(0.05)
    assert 1 < time.monotonic() - began < TIMEOUT
    assert ended.wait(TIMEOUT)
    assert p.access(1)[0].end == "expired"
