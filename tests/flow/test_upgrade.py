"""Upgrade on plain http: the switch is offered, and what follows a 101 is a tunnel."""

import base64
import os
import struct

import pytest

import real
from peers import chunked, request, response, serve

OFFER = [("Connection", "Upgrade"), ("Upgrade", "chat/1, Thing"), ("Sec-X", "1")]
SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat/1\r\nX-A: b\r\n\r\n"


def switching(early=b""):
    """A handler that switches, says something at once, and then echoes."""

    def handler(c):
        c.requests.append(c.recv_request())
        c.send(SWITCH.encode() + early)
        while data := c.rest or c.sock.recv(65536):
            c.take(len(c.rest))
            c.send(data)

    return handler


def test_the_offer_is_forwarded_and_the_switch_relayed(proxy, origin, client):
    o = origin(switching())
    p = proxy()
    c = client(p)
    c.request("GET", o.url("/chat"), OFFER)
    answer = c.recv_response()
    assert answer.status == 101
    assert answer.get("Upgrade") == "chat/1"
    assert answer.head.tokens("Connection") == ["upgrade"]
    assert answer.get("X-A") == "b"
    assert answer.get("Content-Length") is None
    assert answer.get("Transfer-Encoding") is None
    head = o.connection().requests[0].head
    assert head.get("Upgrade") == "chat/1, Thing"
    assert "upgrade" in head.tokens("Connection")
    assert head.get("Sec-X") == "1"
    c.send(b"\x00\xffnot HTTP")
    assert c.recv_exact(10) == b"\x00\xffnot HTTP"
    c.end()
    assert c.recv_all() == b""
    line = p.access(1)[0]
    assert (line.status, line.end) == ("101", "ok")
    assert int(line.up) == 10


def test_what_follows_the_heads_is_delivered_on_both_sides(proxy, origin, client):
    o = origin(switching(b"welcome"))
    c = client(proxy())
    c.send(request("GET", o.url(), OFFER) + b"early bird")
    assert c.recv_response().status == 101
    assert c.recv_exact(7) == b"welcome"
    assert c.recv_exact(10) == b"early bird"


def test_half_closes_are_kept_after_a_switch(proxy, origin, client):
    def handler(c):
        c.recv_request()
        c.send(SWITCH)
        c.send(b"got %d" % len(c.recv_all()))

    c = client(proxy())
    c.request("GET", origin(handler).url(), OFFER)
    assert c.recv_response().status == 101
    c.send(bytes(100_000))
    c.end()
    assert c.recv_all() == b"got 100000"


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "426 Upgrade Required"])
def test_anything_but_101_is_an_ordinary_response(proxy, origin, client, status):
    fields = [("Upgrade", "chat/1"), ("Connection", "upgrade")] if status[0] == "4" else []
    o = origin(serve(response(b"no", status, fields)))
    c = client(proxy())
    # What follows is a request then, and no part of a tunnel.
    c.send(request("GET", o.url("/1"), OFFER) + request("GET", o.url("/2")))
    for _ in range(2):
        answer = c.recv_response()
        assert (answer.head.line, answer.body) == ("HTTP/1.1 " + status, b"no")
    c.send(request("GET", o.url("/3")))
    assert c.recv_response().body == b"no"


def test_interim_responses_may_come_before_the_switch(proxy, origin, client):
    def handler(c):
        c.recv_request()
        c.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + SWITCH)
        c.send(c.recv_exact(3))

    c = client(proxy())
    c.request("GET", origin(handler).url(), OFFER)
    answer = c.recv_response()
    assert (answer.status, [i.status for i in answer.interim]) == (101, [103])
    c.send(b"abc")
    assert c.recv_exact(3) == b"abc"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_no_upgrade_with_a_body(proxy, origin, client, framing):
    """Where a body would end and a tunnel begin is nobody's guess: refused, or not offered."""
    o = origin()
    c = client(proxy())
    if framing == "length":
        c.send(request("POST", o.url(), OFFER, b"body"))
    else:
        fields = OFFER + [("Transfer-Encoding", "chunked")]
        c.send(request("POST", o.url(), fields) + chunked(b"body"))
    answer = c.recv_response()
    if answer.status == 400:
        o.assert_untouched()
        return
    assert answer.status == 200
    seen = o.connection().requests[0]
    assert seen.body == b"body"
    assert seen.head.get("Upgrade") is None
    assert "upgrade" not in seen.head.tokens("Connection")


@pytest.mark.parametrize("fields, version", [
    ([("Upgrade", "chat/1")], "HTTP/1.1"),  # not named by Connection: left out
    (OFFER, "HTTP/1.0"),  # RFC 9110 7.8: to be ignored
])
def test_no_offer_is_not_forwarded(proxy, origin, client, fields, version):
    o = origin()
    c = client(proxy())
    c.request("GET", o.url(), fields, version=version)
    assert c.recv_response().status == 200
    assert o.connection().requests[0].head.get("Upgrade") is None


def test_a_switch_that_was_not_offered_is_refused(proxy, origin, client):
    o = origin(serve(SWITCH.encode() + b"smuggled"))
    p = proxy()
    answer = client(p).get(o.url())
    assert answer.status == 502
    assert p.access(1)[0].end == "bad_response"


# ---- WebSocket --------------------------------------------------------------------------------


def frame(payload, opcode=1):
    """A masked frame of a client (RFC 6455 5.2), the mask being zero."""
    size = len(payload)
    if size < 126:
        length = struct.pack("!B", 0x80 | size)
    elif size < 65536:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def recv_frame(c):
    size = c.recv_exact(2)[1]
    if size == 126:
        size = struct.unpack("!H", c.recv_exact(2))[0]
    elif size == 127:
        size = struct.unpack("!Q", c.recv_exact(8))[0]
    return c.recv_exact(size)


def test_a_websocket_over_upgrade(proxy, client):
    """A real server on one side, RFC 6455 by hand in absolute form on the other."""
    server = real.EchoSockets()
    try:
        c = client(proxy())
        key = base64.b64encode(os.urandom(16))
        c.request("GET", f"http://127.0.0.1:{server.port}/chat?x", [
            ("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key.decode())])
        answer = c.recv_response()
        assert answer.status == 101
        assert answer.get("Sec-WebSocket-Accept").encode() == real.accept_key(key)
        assert recv_frame(c) == b"hello"
        for size in (1, 125, 126, 65535, 65536, 1_000_000):
            c.send(frame(b"x" * size))
            back = b""
            while len(back) < size:
                back += recv_frame(c)
            assert back == b"x" * size
        c.send(frame(struct.pack("!H", 1000), opcode=8))
        assert recv_frame(c)[:2] == struct.pack("!H", 1000)
        assert c.recv_all() == b""
        c.end()  # which the server waits for
    finally:
        server.stop()
