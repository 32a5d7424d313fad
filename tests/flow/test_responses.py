"""Responses that break the rules are not passed on, and their connection is not used again."""

import threading

import pytest

from peers import Closed, chunked, drop, response, serve

HELLO = response(b"hello\n")
CHUNKED = response(chunked(b"hello\n"), fields=[("Transfer-Encoding", "chunked")], length=False)

CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

BAD = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nx",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + CHUNKS,
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + CHUNKS,
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKS,
    "204 with chunks": b"HTTP/1.1 204 No\r\n" + CHUNKS,
    "204 with a length": b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\nx",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\nx",
    "status too low": b"HTTP/1.1 099 OK\r\nContent-Length: 1\r\n\r\nx",
    "status too high": b"HTTP/1.1 600 OK\r\nContent-Length: 1\r\n\r\nx",
    "status with letters": b"HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "another protocol": b"ICY 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "lower case": b"http/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "empty line in front": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    "bare LF in a field": b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 1\r\n\r\nx",
    "bare CR": b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 1\r\n\r\nx",
    "NUL": b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 1\r\n\r\nx",
    "control": b"HTTP/1.1 200 OK\r\nA: b\x01c\r\nContent-Length: 1\r\n\r\nx",
    "control in the reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 1\r\n\r\nx",
    "folded": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 1\r\n\r\nx",
    "space before the colon": b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 1\r\n\r\nx",
    "no colon": b"HTTP/1.1 200 OK\r\nAbc\r\nContent-Length: 1\r\n\r\nx",
    "empty name": b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 1\r\n\r\nx",
    "head too large": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n",
    "head without end": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000,
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "interim with a body": b"HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_bad_response_is_not_passed_on(proxy, client, origin, raw):
    def handler(c):
        m = c.next_request()
        if m.head.target == "/good":
            c.send(HELLO)
            c.next_request()
        try:
            c.send(raw)
        except ConnectionError:
            pass
        c.recv_all()

    o = origin(handler)
    p = proxy(workers=1)
    c = client(p)
    answer = c.get(o.url())
    assert answer.status == 502
    too_large = len(raw) > 1000
    error = "http_response_header_section_size" if too_large else "http_protocol_error"
    assert answer.get("Proxy-Status").startswith(f"penstock; error={error}")
    o.connection(0).wait_finished()
    assert c.get(o.url("/good")).body == b"hello\n"
    assert len(o.accepted()) == 2
    assert p.access(2)[0].end == ("response_too_large" if too_large else "bad_response")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    "method,raw",
    [
        ("GET", HELLO),
        ("GET", CHUNKED),
        ("HEAD", HELLO.replace(b"hello\n", b"")),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
    ids=["length", "chunked", "HEAD", "204", "304"],
)
def test_connection_with_bytes_behind_the_response_is_not_used_again(
    proxy, client, origin, method, raw, late
):
    told = threading.Event()

    def handler(c):
        c.next_request()
        if c.index > 0:
            c.send(HELLO)
            c.next_request()
        if late:
            c.send(raw)
            assert told.wait(10)
            c.send(response(b"poison"))
        else:
            c.send(raw + response(b"poison"))
        c.recv_all()

    o = origin(handler)
    c = client(proxy(workers=1))
    answer = c.ask(method, o.url())
    assert b"poison" not in answer.body
    told.set()
    o.connection().wait_finished()
    assert c.get(o.url()).body == b"hello\n"
    assert len(o.accepted()) == 2
    c.expect_open()


def test_response_head_byte_by_byte(proxy, client, origin):
    def handler(c):
        while True:
            c.next_request()
            c.send_bytewise(CHUNKED if len(c.requests) % 2 else HELLO)

    o = origin(handler)
    c = client(proxy(workers=1))
    assert [c.get(o.url()).body for _ in range(4)] == [b"hello\n"] * 4
    assert len(o.accepted()) == 1


def test_origin_that_closes_at_once(proxy, client, origin):
    o = origin(drop)
    c = client(proxy())
    for _ in range(3):
        answer = c.get(o.url())
        assert answer.status == 502
        assert answer.get("Proxy-Status").startswith("penstock; error=connection_terminated")


def test_response_that_ends_early_is_not_completed(proxy, client, origin):
    o = origin(serve(lambda m: None))
    cut = origin(lambda c: (c.next_request(), c.send(HELLO[:-1])))
    c = client(proxy())
    assert c.get(o.url()).status == 502
    c.request("GET", cut.url())
    with pytest.raises(Closed):
        c.recv_response()
    assert c.received.endswith(b"\r\n\r\nhello")
