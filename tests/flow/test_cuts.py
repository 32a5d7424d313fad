"""Messages that do not end, or not as they should: nobody may take them for whole."""

import threading

import pytest

from peers import TIMEOUT, Client, Closed, request, response


def complete(client, method="GET"):
    """The response when the client can take it for a whole one, else None."""
    try:
        return client.recv_response(method)
    except Closed:
        return None


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
