"""Connections are kept on both sides, and only where nothing is in doubt about them."""

import threading

import pytest

from peers import chunked, request, response, serve

HELLO = response(b"hello\n")


# ---- towards the client ------------------------------------------------------------------------


def chunky(body=b"hello\n"):
    return response(chunked(body), fields=[("Transfer-Encoding", "chunked")], length=False)


KINDS = {
    "length": ("GET", HELLO, 200, b"hello\n"),
    "empty": ("GET", response(b""), 200, b""),
    "chunked": ("GET", chunky(), 200, b"hello\n"),
    "empty chunked": ("GET", chunky()[:-18] + b"\r\n0\r\n\r\n", 200, b""),
    "HEAD": ("HEAD", response(b"", fields=[("Content-Length", "1000")], length=False), 200, b""),
    "HEAD chunked": (
        "HEAD",
        response(b"", fields=[("Transfer-Encoding", "chunked")], length=False),
        200,
        b"",
    ),
    "HEAD without length": ("HEAD", response(b"", length=False), 200, b""),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: x\r\n\r\n", 304, b""),
    "404": ("GET", response(b"none", "404 Not Found"), 404, b"none"),
    "500": ("GET", response(b"err", "500 Oh"), 500, b"err"),
    "close by length": ("GET", response(b"bye", fields=[("Connection", "close")]), 200, b"bye"),
    "1.0 with length": ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", 200, b"old"),
    "until close": ("GET", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
    "until close, 1.0": ("GET", b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nold", 200, b"old"),
    "POST": ("POST", HELLO, 200, b"hello\n"),
    "no response": ("GET", None, 502, None),
    "bad response": ("GET", b"HTTP/1.1 2000 OK\r\n\r\n", 502, None),
}


@pytest.mark.parametrize(
    "fields",
    [[], [("Proxy-Connection", "keep-alive")], [("Connection", "keep-alive")]],
    ids=["", "Proxy-Connection", "Connection"],
)
@pytest.mark.parametrize("method,raw,status,body", KINDS.values(), ids=KINDS.keys())
def test_client_is_kept_after_every_kind_of_response(
    proxy, client, origin, method, raw, status, body, fields
):
    closes = raw is None or b"Content-Length" not in raw and b"chunked" not in raw

    def handler(c):
        while True:
            m = c.next_request()
            if raw is None:
                return
            c.send(raw)
            if closes and m.head.method == "GET" and b" 204 " not in raw:
                return

    o = origin(handler)
    after = origin()
    c = client(proxy())
    for _ in range(2):
        answer = c.ask(method, o.url(), fields, b"x" if method == "POST" else b"")
        assert answer.status == status
        assert body is None or answer.body == body
        assert "close" not in answer.head.tokens("Connection")
        assert "keep-alive" not in answer.head.tokens("Connection")
        assert c.get(after.url()).body == b"hello\n"


def test_head_response_keeps_its_length(proxy, client, origin):
    o = origin(serve(response(b"", fields=[("Content-Length", "1000")], length=False)))
    assert client(proxy()).ask("HEAD", o.url()).get("Content-Length") == "1000"


def test_pipelined_requests_are_answered_in_order(proxy, client, origin):
    o = origin(serve(lambda m: response(f"{m.head.method} {m.head.target} ".encode() + m.body)))
    c = client(proxy())
    out, expected = b"", []
    for i in range(60):
        method, body = [("GET", b""), ("POST", b"body %d" % i), ("DELETE", b""), ("HEAD", b"")][
            i % 4
        ]
        out += request(method, o.url(f"/{i}"), [], body)
        expected.append((method, b"" if method == "HEAD" else f"{method} /{i} ".encode() + body))
    c.send(out)
    for method, body in expected:
        answer = c.recv_response(method)
        assert (answer.status, answer.body) == (200, body)
    c.expect_open()


def test_pipelined_behind_a_chunked_body_and_failures(proxy, client, origin, refusing_port):
    o = origin(serve(lambda m: response(m.body)))
    c = client(proxy())
    c.send(
        request("POST", o.url(), [("Transfer-Encoding", "chunked")], chunked(b"one", b"two"))
        + request("GET", f"http://127.0.0.1:{refusing_port}/")
        + request("GET", "/nothing")
        + b"\r\n"  # one empty line is skipped here, too
        + request("PUT", o.url(), [], b"three")
        + request("GET", o.url(), [("Connection", "close")])
        + request("GET", o.url("/never"))
    )
    answers = [c.recv_response() for _ in range(5)]
    assert [a.status for a in answers] == [200, 502, 404, 200, 200]
    assert (answers[0].body, answers[3].body) == (b"onetwo", b"three")
    c.expect_closed()
    assert not any(m.head.target == "/never" for k in o.accepted() for m in k.requests)


# ---- keep-alive towards the origin --------------------------------------------------------------


def test_origin_connection_is_used_again(proxy, client, origin):
    o = origin()
    p = proxy(workers=1)
    for _ in range(5):
        c = client(p)
        assert c.get(o.url()).status == 200
        assert c.ask("HEAD", o.url()).status == 200
        c.close()
    assert len(o.accepted()) == 1
    assert len(o.connections[0].requests) == 10


def test_origin_connections_are_kept_per_address_and_port(proxy, client, origin, names):
    one, two, three = origin(), origin(), origin(host="127.0.0.2")
    server = names("127.0.0.1 a.test b.test\n")
    c = client(proxy(workers=1, resolver={"servers": [server.address]}))
    for _ in range(3):
        for o, host in ((one, "127.0.0.1"), (one, "a.test"), (one, "b.test"), (two, "a.test")):
            assert c.get(f"http://{host}:{o.port}/").status == 200
            assert o.connections[0].requests[-1].head.get("Host") == f"{host}:{o.port}"
        assert c.get(three.url()).status == 200
    assert [len(o.accepted()) for o in (one, two, three)] == [1, 1, 1]


FRESH = {
    "POST": ("POST", [], b"x"),
    "POST without a body": ("POST", [("Content-Length", "0")], b""),
    "PATCH": ("PATCH", [], b"x"),
    "PUT with a body": ("PUT", [], b"x"),
    "GET with a body": ("GET", [], b"x"),
    "GET with chunks": ("GET", [("Transfer-Encoding", "chunked")], chunked(b"x")),
    "an unknown method": ("BREW", [], b""),
    "get in lower case": ("get", [], b""),
}


@pytest.mark.parametrize("method,fields,body", FRESH.values(), ids=FRESH.keys())
def test_request_that_cannot_be_repeated_goes_over_a_fresh_connection(
    proxy, client, origin, method, fields, body
):
    o = origin()
    c = client(proxy(workers=1))
    assert c.get(o.url()).status == 200
    assert c.ask(method, o.url("/second"), fields, body).status == 200
    assert len(o.accepted()) == 2
    assert [m.head.target for m in o.connections[1].requests] == ["/second"]
    assert c.get(o.url()).status == 200
    assert len(o.accepted()) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "PUT"])
def test_idempotent_request_without_body_may_go_over_a_used_connection(
    proxy, client, origin, method
):
    o = origin()
    c = client(proxy(workers=1))
    assert c.get(o.url()).status == 200
    assert c.ask(method, o.url()).status == 200
    assert len(o.accepted()) == 1


def test_idle_origin_connection_is_closed(proxy, client, origin):
    o = origin()
    c = client(proxy(limits={"pool_idle": 1}))
    assert c.get(o.url()).status == 200
    assert o.connection().wait_finished().ended.reset is False
    assert c.get(o.url()).status == 200
    assert len(o.accepted()) == 2


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "negotiate"])
def test_connection_that_an_origin_takes_for_one_client_is_no_others(proxy, client, origin, scheme):
    """NTLM and its like prove who it is once for a connection, and not for each request."""

    def handler(c):
        who = "nobody"
        while True:
            said = c.next_request().get("Authorization", "").split()
            who = said[1] if said else who
            c.send(response(who.encode()))

    o = origin(handler)
    p = proxy(workers=1)
    assert client(p).get(o.url(), [("Authorization", f"{scheme} YW5uYQ==")]).text == "YW5uYQ=="
    assert client(p).get(o.url()).text == "nobody"


@pytest.mark.parametrize(
    "limits", [{"pool": 0}, {"pool_per_origin": 0}], ids=["pool", "pool_per_origin"]
)
def test_without_a_pool_each_request_has_its_connection(proxy, client, origin, limits):
    o = origin()
    c = client(proxy(limits=limits))
    for i in range(3):
        assert c.get(o.url()).status == 200
        o.connection(i).wait_finished()


def test_pool_is_bounded_per_origin(proxy, client, origin):
    gate = threading.Barrier(4)

    def handler(c):
        while True:
            c.next_request()
            if len(c.requests) == 1:
                gate.wait(10)
            c.send(HELLO)

    o = origin(handler)
    p = proxy(workers=1, limits={"pool_per_origin": 2})
    clients = [client(p) for _ in range(4)]
    for c in clients:
        c.request("GET", o.url())
    for c in clients:
        assert c.recv_response().status == 200
    ended = [k for k in o.accepted() if k.finished.wait(1)]
    assert len(ended) == 2


def test_origin_that_closes_an_idle_connection_is_no_failure(proxy, client, origin):
    def handler(c):
        c.next_request()
        c.send(HELLO)

    o = origin(handler)
    c = client(proxy(workers=1))
    for i in range(5):
        assert c.get(o.url()).body == b"hello\n"
        o.connection(i).wait_finished()
    assert len(o.connections) == 5


def test_request_on_a_connection_that_died_is_sent_once_more(proxy, client, origin):
    def handler(c):
        c.next_request()
        c.send(HELLO)
        c.next_request()
        if c.index > 0:
            c.send(HELLO)

    o = origin(handler)
    c = client(proxy(workers=1))
    assert c.get(o.url("/one")).status == 200
    answer = c.get(o.url("/two"), [("X", "y")])
    assert (answer.status, answer.body) == (200, b"hello\n")
    first, second = [[m.head for m in k.requests] for k in o.accepted()]
    assert [h.target for h in first] == ["/one", "/two"]
    assert [h.target for h in second] == ["/two"]
    assert first[1].raw == second[0].raw


def test_request_is_sent_again_after_a_reset_too(proxy, client, origin):
    def handler(c):
        c.next_request()
        c.send(HELLO)
        c.next_request()
        c.reset()

    o = origin(handler)
    c = client(proxy(workers=1))
    assert c.get(o.url("/one")).status == 200
    assert c.ask("DELETE", o.url("/two")).status == 200
    assert len(o.accepted()) == 2


def test_request_is_never_sent_a_third_time(proxy, client, origin):
    def handler(c):
        c.next_request()
        if c.index == 0:
            c.send(HELLO)
            c.next_request()

    o = origin(handler)
    c = client(proxy(workers=1))
    assert c.get(o.url("/one")).status == 200
    assert c.get(o.url("/two")).status == 502
    assert len(o.accepted()) == 2
    assert [m.head.target for k in o.connections for m in k.requests] == ["/one", "/two", "/two"]


def test_request_on_a_fresh_connection_is_never_sent_again(proxy, client, origin):
    def handler(c):
        c.next_request()

    o = origin(handler)
    c = client(proxy())
    assert c.get(o.url()).status == 502
    assert len(o.accepted()) == 1


@pytest.mark.parametrize(
    "piece", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"]
)
def test_request_is_not_sent_again_after_a_byte_of_response(proxy, client, origin, piece):
    def handler(c):
        c.next_request()
        c.send(HELLO)
        c.next_request()
        c.send(piece)

    o = origin(handler)
    c = client(proxy(workers=1))
    assert c.get(o.url()).status == 200
    assert c.get(o.url()).status == 502
    assert len(o.accepted()) == 1


@pytest.mark.parametrize(
    "raw",
    [
        response(b"x", fields=[("Connection", "close")]),
        response(b"x", fields=[("Connection", "TE, CLOSE")]),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    ],
    ids=["close", "list with close", "1.0", "204 with close"],
)
def test_origin_that_wants_to_close_is_closed(proxy, client, origin, raw):
    o = origin(serve(raw))
    c = client(proxy(workers=1))
    for i in range(2):
        assert c.get(o.url()).status in (200, 204)
        o.connection(i).wait_finished()
