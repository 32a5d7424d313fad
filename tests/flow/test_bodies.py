"""Bodies in both directions: in pieces as they come, never whole, and cut where they were cut."""

import hashlib
import select
import socket
import threading
import time

import pytest

import daemon
from peers import TIMEOUT, Client, Closed, chunked, request, response, serve

SOON = 5 if daemon.sanitized() else 1  # seconds in which an end is passed on
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


def push(sock, until=None):
    """Send as much as goes, until nothing moves for a moment; how much went."""
    block, sent = memoryview(bytes(1 << 18)), 0
    sock.setblocking(False)
    while select.select([], [sock], [], 0.3)[1] and (until is None or sent < until):
        try:
            sent += sock.send(block)
        except BlockingIOError:
            pass
    return sent


def send_on(sock, block):
    """Send until that is put an end to."""
    try:
        while True:
            sock.sendall(block)
    except OSError:
        pass


def wait_hangup(sock, seconds=TIMEOUT):
    """Wait, without reading, until the peer has closed or reset."""
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    assert poller.poll(seconds * 1000), f"still open after {seconds} s"


def complete(client, method="GET"):
    """The response when the client can take it for a whole one, else None."""
    try:
        return client.recv_response(method)
    except Closed:
        return None


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


# ---- truncation -------------------------------------------------------------------------------

CUT = {
    "length": b"Content-Length: 10\r\n\r\n12345",
    "length, no byte": b"Content-Length: 10\r\n\r\n",
    "chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "after a chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    "before a chunk's end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde",
    "no last line": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
    "trailer": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n",
    "no chunk": b"Transfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("cut", CUT)
def test_a_truncated_response_is_seen_as_truncated(proxy, origin, client, cut, version, how):
    seen = threading.Event()

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\n" + CUT[cut])
        if how == "reset":
            assert seen.wait(TIMEOUT)  # else the reset may overtake what was sent
            c.reset()

    p = proxy()
    c = client(p)
    c.request("GET", origin(handler).url(), version=version)
    assert c.recv_head().status == 200
    seen.set()
    if version == "HTTP/1.0":
        # There is no framing to tell it by, so it is told by a reset.
        with pytest.raises(Closed) as end:
            c.recv_exact(1000)
        assert cut.startswith("length") or end.value.reset
    else:
        c.pos = 0
        assert complete(c) is None
    assert p.access(1)[0].end == "truncated"


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_reset_is_not_taken_for_the_end_of_a_body(proxy, origin, client, version):
    """A body that ends with the connection, which is reset: the client must not think it whole."""
    seen = threading.Event()

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        assert seen.wait(TIMEOUT)
        c.reset()

    c = client(proxy())
    c.request("GET", origin(handler).url(), version=version)
    c.recv_until(b"part")
    seen.set()
    c.pos = 0
    assert complete(c) is None


# ---- bad framing ------------------------------------------------------------------------------

BAD_CHUNKS = {
    "no digit": b"\r\nabc\r\n",
    "not hex": b"g\r\nabc\r\n",
    "0x": b"0x3\r\nabc\r\n",
    "plus": b"+3\r\nabc\r\n",
    "minus": b"-3\r\nabc\r\n",
    "space before": b" 3\r\nabc\r\n",
    "space inside": b"0 3\r\nabc\r\n",
    "tab after": b"3\t\r\nabc\r\n",
    "underscore": b"0_3\r\nabc\r\n",
    "comma": b"3,\r\nabc\r\n",
    "NUL": b"3\0\r\nabc\r\n",
    "LF": b"3\nabc\r\n",
    "CR": b"3\rabc\r\n",
    "LF after data": b"3\r\nabc\n",
    "data too long": b"3\r\nabcd\r\n",
    "data too short": b"4\r\nabc\r\n0\r\n\r\n",
    "no CRLF after data": b"3\r\nabc0\r\n\r\n",
    "overflow": b"10000000000000003\r\nabc\r\n",
    "overflow by zeros": b"00000000000000003\r\nabc\r\n",
    "as long as a size gets": b"FFFFFFFFFFFFFFFFF\r\nabc\r\n",
    "CR in an extension": b"3;a=\rb\r\nabc\r\n",
    "LF in an extension": b"3;a=b\nabc\r\n",
    "NUL in an extension": b"3;a=\0\r\nabc\r\n",
    "endless extension": b"3;" + b"a" * 70000 + b"\r\nabc\r\n",
    "trailer without name": b"0\r\n: x\r\n\r\n",
    "trailer with space": b"0\r\nX : y\r\n\r\n",
    "trailer folded": b"0\r\nX: y\r\n z\r\n\r\n",
    "trailer without colon": b"0\r\nhello\r\n\r\n",
    "trailer with NUL": b"0\r\nX: \0\r\n\r\n",
    "trailer with LF": b"0\r\nX: y\n\r\n",
    "trailers too large": b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 4000 + b"\r\n",
}


@pytest.mark.parametrize("case", BAD_CHUNKS)
def test_bad_chunks_of_a_request_are_refused(proxy, origin, client, case):
    """Nothing is repaired: the origin never sees a body that ended."""
    ended = []

    def handler(c):
        c.next_request()
        ended.append(c.received)
        c.send(response(b"done"))

    o = origin(handler)
    p = proxy()
    c = client(p)
    try:
        c.send(
            request("POST", o.url(), [("Transfer-Encoding", "chunked")])
            + b"2\r\nok\r\n"
            + BAD_CHUNKS[case]
            + b"0\r\n\r\n"
        )
        answer = complete(c, "POST")
        assert answer is None or answer.status == 400
    except ConnectionError:
        answer = None
    if answer:
        assert answer.text
        c.expect_closed()
    assert p.access(1)[0].end == "bad_body"
    for seen in o.accepted():
        seen.wait_finished()
    assert ended == []


@pytest.mark.parametrize("case", BAD_CHUNKS)
def test_bad_chunks_of_a_response_are_cut(proxy, origin, client, case):
    def handler(c):
        c.next_request()
        c.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
            + BAD_CHUNKS[case]
            + b"0\r\n\r\n"
        )
        c.recv_all()

    p = proxy()
    o = origin(handler)
    c = client(p)
    c.request("GET", o.url())
    answer = complete(c)
    assert answer is None or answer.status == 502
    assert p.access(1)[0].end == "bad_response"
    o.connection().wait_finished()


# ---- cut at every byte ------------------------------------------------------------------------

REQUEST_BODY = b"5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n"


@pytest.mark.parametrize("how", ["close", "reset", "end"])
def test_a_request_cut_at_every_byte_is_never_complete(proxy, origin, how):
    complete_ones = []

    def handler(c):
        message = c.next_request()
        complete_ones.append(message.head.target)
        c.send(response(b"done"))

    o = origin(handler)
    p = proxy()
    fields = [("Transfer-Encoding", "chunked")]
    whole = len(request("POST", o.url("/000"), fields) + REQUEST_BODY)
    for at in range(1, whole):
        c = Client(p.address)
        c.send((request("POST", o.url(f"/{at:03}"), fields) + REQUEST_BODY)[:at])
        if how == "end":
            c.end()
            answer = complete(c, "POST")
            assert answer is None or answer.status == 400, at
            c.close()
        elif how == "reset":
            c.reset()
        else:
            c.close()
    c = Client(p.address)
    c.send(request("POST", o.url("/all"), fields) + REQUEST_BODY)
    assert c.recv_response().body == b"done"
    c.close()
    p.stop()  # drains: nothing is under way after it
    for seen in o.accepted():
        seen.wait_finished()
    assert complete_ones == ["/all"]


RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nX-A: b\r\n\r\n0123456789abcdefghij",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("which", RESPONSES)
def test_a_response_cut_at_every_byte_is_never_complete(proxy, origin, which, version):
    whole = RESPONSES[which]

    def handler(c):
        c.send(whole[: int(c.next_request().head.target[1:])])

    o = origin(handler)
    p = proxy()
    for at in range(len(whole) + 1):
        c = Client(p.address)
        c.request("GET", o.url(f"/{at}"), version=version)
        answer = complete(c)
        c.close()
        if at == len(whole):
            assert answer.status == 200
        else:
            assert answer is None or answer.status == 502, f"cut at {at}: {answer}"


# ---- a side that goes away --------------------------------------------------------------------


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
