"""Bodies in both directions: in pieces as they come, never whole."""

import hashlib
import threading

import pytest

import daemon
from flood import push, send_on
from peers import TIMEOUT, Closed, chunked, request, response, serve

GIB = 1 << 30


def framed(framing, *pieces):
    """A head field for a body of these pieces, and each piece as it goes over the wire."""
    if framing == "length":
        return [("Content-Length", str(sum(map(len, pieces))))], list(pieces)
    if framing == "close":
        return [], list(pieces)
    wire = [b"%x\r\n%s\r\n" % (len(p), p) for p in pieces]
    wire[-1] += b"0\r\n\r\n"
    return [("Transfer-Encoding", "chunked")], wire


# ---- in pieces, as they come ------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_each_event_leaves_when_it_came(proxy, origin, client, framing, version):
    """Server-sent events: the origin says the next one when the client has the last."""
    events = [b"data: %d\n\n" % i for i in range(20)]
    fields, wire = framed(framing, *events)
    got = threading.Semaphore(0)

    def handler(c):
        c.next_request()
        c.send(response(fields=fields, length=False))
        for piece in wire:
            c.send(piece)
            assert got.acquire(timeout=TIMEOUT)

    c = client(proxy())
    c.request("GET", origin(handler).url(), version=version)
    head = c.recv_head()
    coded = "chunked" in head.tokens("Transfer-Encoding")
    assert not (coded and version == "HTTP/1.0")
    for event in events:
        assert (c.recv_chunk() if coded else c.recv_exact(len(event))) == event
        got.release()
    if coded:
        assert c.recv_chunk() == b""


def test_the_head_leaves_before_the_body(proxy, origin, client):
    """A long poll: the head is there at once, the body when there is something."""
    asked = threading.Event()

    def handler(c):
        c.next_request()
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        assert asked.wait(TIMEOUT)
        c.send("x")

    c = client(proxy())
    c.request("GET", origin(handler).url())
    assert c.recv_head().status == 200
    asked.set()
    assert c.recv_exact(1) == b"x"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_each_piece_of_an_upload_leaves_when_it_came(proxy, origin, client, framing):
    pieces = [b"piece %d," % i for i in range(20)]
    fields, wire = framed(framing, *pieces)
    got = threading.Semaphore(0)

    def handler(c):
        head = c.recv_head()
        coded = "chunked" in head.tokens("Transfer-Encoding")
        assert coded == (framing == "chunked")
        for piece in pieces:
            assert (c.recv_chunk() if coded else c.recv_exact(len(piece))) == piece
            got.release()
        assert not coded or c.recv_chunk() == b""
        c.send(response(b"thanks"))

    o = origin(handler)
    c = client(proxy())
    c.send(request("POST", o.url(), fields))
    for piece in wire:
        c.send(piece)
        assert got.acquire(timeout=TIMEOUT), "the origin did not get the piece"
    assert c.recv_response().body == b"thanks"


@pytest.mark.parametrize("size", [1, 5000, 300_000])
def test_full_duplex_echo(proxy, origin, client, size):
    """The origin answers while the upload goes on: the next piece leaves when the last is back."""

    def handler(c):
        c.recv_head()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while chunk := c.recv_chunk():
            c.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        c.recv_until(b"\r\n")
        c.send("0\r\n\r\n")

    c = client(proxy())
    c.send(request("POST", origin(handler).url(), [("Transfer-Encoding", "chunked")]))
    assert c.recv_head().status == 200
    for i in range(10):
        piece = bytes([65 + i]) * size
        c.send(b"%x\r\n%s\r\n" % (size, piece))
        back = b""
        while len(back) < size:
            back += c.recv_chunk()
        assert back == piece
    c.send("0\r\n\r\n")
    assert c.recv_chunk() == b""


def test_a_connection_is_kept_after_full_duplex(proxy, origin, client):
    """An answer that began before the upload had ended, and ended after it."""

    def handler(c):
        c.recv_head()
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        c.recv_chunked()
        c.send("0\r\n\r\n")
        serve(response(b"second"))(c)

    o = origin(handler)
    c = client(proxy())
    c.send(request("POST", o.url(), [("Transfer-Encoding", "chunked")]))
    assert c.recv_head().status == 200
    assert c.recv_chunk() == b"x"
    c.send("3\r\nabc\r\n0\r\n\r\n")
    assert c.recv_chunk() == b""
    assert c.recv_until(b"\r\n") == b"\r\n"
    assert c.get(o.url("/2")).body == b"second"


# ---- framing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65536, 1_000_003])
def test_every_framing_of_a_response(proxy, origin, client, version, framing, size):
    body = hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1)
    body = body[:size]
    fields, wire = framed(framing, body) if size else framed(framing, b"")
    if framing == "chunked" and not size:
        wire = [b"0\r\n\r\n"]

    def handler(c):
        c.next_request()
        c.send(response(fields=fields, length=False) + b"".join(wire))

    c = client(proxy())
    c.request("GET", origin(handler).url(), version=version)
    answer = c.recv_response()
    assert answer.status == 200
    assert answer.body == body
    assert (answer.get("Content-Length") is not None) == (framing == "length")
    if version == "HTTP/1.0":
        assert answer.get("Transfer-Encoding") is None


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 4096, 65537, 1_000_003])
def test_every_framing_of_a_request(proxy, origin, client, framing, size):
    body = bytes(i % 251 for i in range(size))
    sent = chunked(body) if framing == "chunked" and size else b"0\r\n\r\n"
    o = origin(serve(lambda m: response(hashlib.sha256(m.body).hexdigest().encode())))
    c = client(proxy())
    if framing == "length":
        c.send(request("POST", o.url(), [("Content-Length", str(size))], body))
    else:
        c.send(request("POST", o.url(), [("Transfer-Encoding", "chunked")]) + sent)
    assert c.recv_response().text == hashlib.sha256(body).hexdigest()
    head = o.connection().requests[0].head
    if framing == "length":
        assert head.get("Content-Length") == str(size)
        assert head.get("Transfer-Encoding") is None
    else:
        assert head.get("Transfer-Encoding") == "chunked"
        assert head.get("Content-Length") is None


EXTENDED = b'3;a=b\r\nabc\r\n3;c="d;\\"e"\r\ndef\r\n0;last\r\n\r\n'


def test_chunk_extensions_are_dropped_from_requests(proxy, origin, client):
    o = origin()
    c = client(proxy())
    c.send(request("POST", o.url(), [("Transfer-Encoding", "chunked")]) + EXTENDED)
    assert c.recv_response().status == 200
    assert o.connection().requests[0].body == b"abcdef"
    assert b";" not in o.connection().received.split(b"\r\n\r\n", 1)[1]


def test_chunk_extensions_are_dropped_from_responses(proxy, origin, client):
    head = response(fields=[("Transfer-Encoding", "chunked")], length=False)
    c = client(proxy())
    answer = c.get(origin(serve(head + EXTENDED)).url())
    assert answer.body == b"abcdef"


@pytest.mark.parametrize("size", [b"00003", b"3", b"0000000000000003"])
def test_chunk_sizes_may_have_leading_zeros(proxy, origin, client, size):
    head = response(fields=[("Transfer-Encoding", "chunked")], length=False)
    o = origin(serve(head + size + b"\r\nabc\r\n000\r\n\r\n"))
    c = client(proxy())
    assert c.get(o.url()).body == b"abc"
    fields = [("Transfer-Encoding", "chunked")]
    c.send(request("POST", o.url(), fields) + size + b"\r\nxyz\r\n00\r\n\r\n")
    assert c.recv_response().body == b"abc"
    assert o.connection(1).requests[0].body == b"xyz"


TRAILERS = b"X-Sum: 12\r\nX-Sum: 13\r\nContent-Length: 99\r\n"


def test_trailers_are_forwarded_while_the_message_stays_chunked(proxy, origin, client):
    body = chunked(b"abc", trailers=b"X-Sum: 12\r\nx-empty:\r\n")
    head = response(fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")], length=False)
    o = origin(serve(head + body))
    c = client(proxy())
    c.send(request("POST", o.url(), [("Transfer-Encoding", "chunked")]) + body)
    answer = c.recv_response()
    assert answer.body == b"abc"
    for message in (answer, o.connection().requests[0]):
        assert message.trailers.lower().replace(b" ", b"") == b"x-sum:12\r\nx-empty:\r\n"
        assert message.head.get("X-Sum") is None, "a trailer was merged into the head"


def test_trailers_are_dropped_when_the_message_is_not_chunked(proxy, origin, client):
    head = response(fields=[("Transfer-Encoding", "chunked")], length=False)
    c = client(proxy())
    c.request(
        "GET", origin(serve(head + chunked(b"abc", trailers=TRAILERS))).url(), version="HTTP/1.0"
    )
    answer = c.recv_response()
    assert answer.body == b"abc"
    assert b"X-Sum" not in c.received


def test_many_small_chunks(proxy, origin, client):
    pieces = [bytes([i % 256]) for i in range(20_000)]
    body = chunked(*pieces)
    head = response(fields=[("Transfer-Encoding", "chunked")], length=False)
    o = origin(serve(head + body))
    c = client(proxy())
    c.send(request("POST", o.url(), [("Transfer-Encoding", "chunked")]) + body)
    assert c.recv_response().body == b"".join(pieces)
    assert o.connection().requests[0].body == b"".join(pieces)


def test_bodies_that_come_byte_by_byte(proxy, origin, client):
    body = chunked(b"abc", b"defghijklmnopqrstuvwxyz", trailers=b"X-A: b\r\n")

    def handler(c):
        c.next_request()
        c.send_bytewise(response(fields=[("Transfer-Encoding", "chunked")], length=False) + body)

    o = origin(handler)
    c = client(proxy())
    c.send_bytewise(request("POST", o.url(), [("Transfer-Encoding", "chunked")]) + body)
    answer = c.recv_response()
    assert answer.body == o.connection().requests[0].body == b"abcdefghijklmnopqrstuvwxyz"


# ---- large ------------------------------------------------------------------------------------

BLOCK = hashlib.sha512(b"block").digest() * 16384  # 1 MiB


def send_blocks(sock, count, framing, last=lambda: None):
    """Send `count` blocks, the order of which shows in each; their hash.  last() goes before one."""
    digest = hashlib.sha256()
    for i in range(count):
        if i == count - 1:
            last()
        block = b"%08x" % i + BLOCK[8:]
        digest.update(block)
        sock.sendall(b"%x\r\n%s\r\n" % (len(block), block) if framing == "chunked" else block)
    if framing == "chunked":
        sock.sendall(b"0\r\n\r\n")
    return digest.hexdigest()


def receive_blocks(wire, framing, size):
    """Take a body of that size without keeping it; its hash."""
    digest, left = hashlib.sha256(), size
    wire.received, wire.pos = wire.rest, 0
    if framing == "length":
        while left:
            piece = wire.take(len(wire.rest)) or wire.sock.recv(min(left, 1 << 20))
            assert piece, "the body is cut"
            wire.received, wire.pos = b"", 0
            digest.update(piece)
            left -= len(piece)
    else:
        while piece := wire.recv_chunk():
            digest.update(piece)
            left -= len(piece)
            wire.received, wire.pos = wire.rest, 0
        assert wire.recv_until(b"\r\n") == b"\r\n"
    assert left == 0
    return digest.hexdigest()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_bodies_both_ways_at_once(proxy, origin, client, framing):
    """Nothing is lost, doubled or reordered while both directions are full."""
    count = 8 if daemon.sanitized() else 32
    size = count << 20
    fields = (
        [("Content-Length", str(size))]
        if framing == "length"
        else [("Transfer-Encoding", "chunked")]
    )
    sums, got_all = {}, threading.Event()

    def both(wire, name, last):
        pusher = threading.Thread(target=lambda: sums.update(
            {f"{name} sent": send_blocks(wire.sock, count, framing, last)}))
        pusher.start()
        sums[f"{name} got"] = receive_blocks(wire, framing, size)
        if name == "origin":
            got_all.set()
        pusher.join(TIMEOUT)

    def handler(c):
        c.recv_head()
        c.send(response(fields=fields, length=False))
        # A response that is complete before the request would end the upload.
        both(c, "origin", lambda: got_all.wait(30))

    o = origin(handler)
    p = proxy()
    c = client(p, timeout=30)
    c.send(request("POST", o.url(), fields))
    assert c.recv_head().status == 200
    both(c, "client", lambda: None)
    o.connection().wait_finished(30)
    assert sums["client sent"] == sums["origin got"]
    assert sums["origin sent"] == sums["client got"]
    line = p.access(1)[0]
    assert (int(line.up), int(line.down), line.end) == (size, size, "ok")


# ---- an early answer --------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["closes", "waits"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_early_response_stops_the_upload(proxy, origin, client, framing, after):
    """413 without reading the body: the client has it at once, and the connection ends."""
    stop = threading.Event()

    def handler(c):
        c.recv_head()
        c.send(response(b"too large", "413 Content Too Large"))
        if after == "waits":
            stop.wait(TIMEOUT)

    # More than can be sent while the test lasts.
    fields = [("Content-Length", str(GIB << 10))] if framing == "length" else [
        ("Transfer-Encoding", "chunked")]
    c = client(proxy(timeouts={"linger": 1}))
    c.send(request("PUT", origin(handler).url(), fields))
    block = b"10000\r\n" + bytes(65536) + b"\r\n" if framing == "chunked" else bytes(65536)
    uploader = threading.Thread(target=send_on, args=(c.sock, block))
    uploader.start()
    answer = c.recv_response()
    assert (answer.status, answer.body) == (413, b"too large")
    with pytest.raises(Closed):
        c.recv_some()
    uploader.join(TIMEOUT)
    assert not uploader.is_alive(), "the upload was not stopped"
    stop.set()


def test_an_early_response_reaches_a_client_that_sends_first(proxy, origin, client):
    """Most clients write all they can before they read: a reset must not take the answer away."""

    def handler(c):
        c.recv_head()
        c.send(response(b"no", "413 Content Too Large"))

    c = client(proxy())
    c.send(request("PUT", origin(handler).url(), [("Content-Length", str(GIB))]))
    push(c.sock, until=2 << 20)
    c.sock.settimeout(TIMEOUT)
    assert c.recv_response().status == 413
