"""What a request and a response look like on the other side, and how connections are kept."""

import threading

import pytest

from peers import chunked, response, serve

HELLO = response(b"hello\n")


def forwarded(o, index=0):
    """The head of the first request on the origin's connection with this index."""
    return o.connection(index).requests[0].head


# ---- the request -------------------------------------------------------------------------------

TARGETS = {
    "plain": ("GET", "http://ORIGIN/a/b", "/a/b"),
    "empty path": ("GET", "http://ORIGIN", "/"),
    "only a query": ("GET", "http://ORIGIN?q", "/?q"),
    "path and query byte for byte": (
        "GET",
        "http://ORIGIN/A//b/../c/%7e%2F%zz;p=1?x=1&y=?/[]|'%",
        None,
    ),
    "URL in the path": ("GET", "http://ORIGIN/http://x/?u=http://y@z", "/http://x/?u=http://y@z"),
    "odd characters": ("GET", 'http://ORIGIN/a|b{c}"<>^`!$&\'()*+,;=:@~?"<>^`{|}', None),
    "user": ("GET", "http://user@ORIGIN/x", "/x"),
    "user and password": ("GET", "http://us%40er:pa%3ass@ORIGIN/x@y", "/x@y"),
    "OPTIONS without a path": ("OPTIONS", "http://ORIGIN", "*"),
    "OPTIONS with a path": ("OPTIONS", "http://ORIGIN/", "/"),
    "OPTIONS with a query": ("OPTIONS", "http://ORIGIN?q", "/?q"),
    "long": ("GET", "http://ORIGIN/" + "x" * 8000, None),
}


@pytest.mark.parametrize("method,target,path", TARGETS.values(), ids=TARGETS.keys())
def test_request_line_and_host(proxy, client, origin, method, target, path):
    o = origin()
    c = client(proxy())
    fields = [("Host", "somebody.else:1234")]
    assert c.ask(method, target.replace("ORIGIN", o.authority), fields).status == 200
    head = forwarded(o)
    expected = path or target.removeprefix("http://ORIGIN")
    assert head.line == f"{method} {expected} HTTP/1.1"
    assert head.get("Host") == o.authority
    assert head.names()[0] == "Host"
    assert head.get("Via") == "1.1 penstock"
    assert head.names() == ["Host", "Via"]


@pytest.mark.parametrize("authority", ["LocalHost.TEST.:%d", "a.test:%d", "[::1]:%d"])
def test_host_is_as_written_in_the_target(proxy, client, origin, names, authority):
    o = origin(host="::1" if authority[0] == "[" else "127.0.0.1")
    server = names("127.0.0.1 localhost.test\n127.0.0.1 a.test\n")
    c = client(proxy(resolver={"servers": [server.address]}))
    written = authority % o.port
    assert c.get(f"http://{written}/").status == 200
    assert forwarded(o).get("Host") == written


def test_fields_pass_in_order_with_duplicates_byte_for_byte(proxy, client, origin):
    o = origin()
    c = client(proxy())
    fields = [
        ("X-One", "1"),
        ("cookie", 'a=b; c="d"'),
        ("X-DUP", "first"),
        ("Accept", "*/*;q=0.1 ,  text/html"),
        ("x-dup", "second, third"),
        ("User-Agent", "\xc3\xa4 \xff\ttab"),
        ("Empty", ""),
        ("Authorization", "Basic dTpw"),
        ("Cookie", "e=f"),
        ("X-Dup", "  first  "),
        ("Range", "bytes=0-1,5-"),
        ("Accept-Encoding", "gzip, br"),
        ("Cache-Control", "no-cache"),
        ("Forwarded", "for=192.0.2.1"),
    ]
    assert c.get(o.url(), fields).status == 200
    expected = [(n, v.strip()) for n, v in fields]
    assert forwarded(o).without("Host", "Via") == expected


def test_what_names_the_connection_is_removed_from_requests(proxy, client, origin):
    o = origin()
    c = client(proxy())
    fields = [
        ("Host", o.authority),
        ("Connection", "X-Named, keep-alive"),
        ("X-Named", "secret"),
        ("Keep", "this"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("TE", "trailers"),
        ("connection", "x-other,  ,TE"),
        ("X-Other", "1"),
        ("x-other", "2"),
        ("Trailer", "Expires"),
        ("Upgrade", "h2c"),
        ("And", "this"),
    ]
    assert c.get(o.url(), fields).status == 200
    assert forwarded(o).without("Via") == [("Host", o.authority), ("Keep", "this"), ("And", "this")]


def test_connection_cannot_name_what_a_message_needs(proxy, client, origin):
    o = origin()
    c = client(proxy())
    fields = [
        ("Connection", "Host, Content-Length, Transfer-Encoding, Via"),
        ("Content-Length", "4"),
        ("Via", "1.1 other"),
    ]
    assert c.ask("POST", o.url(), fields, b"body").status == 200
    got = o.connection().requests[0]
    assert got.body == b"body"
    assert (got.head.get("Host"), got.head.get("Content-Length")) == (o.authority, "4")
    assert got.head.tokens("Via") == ["1.1 other", "1.1 penstock"]


@pytest.mark.parametrize(
    "version,via", [("HTTP/1.1", "1.1 penstock"), ("HTTP/1.0", "1.0 penstock")]
)
def test_via_says_what_was_received(proxy, client, origin, version, via):
    o = origin()
    c = client(proxy())
    assert c.get(o.url(), [("Via", "1.0 fred, 1.1 p.example.net:80 (nice)")], version).status == 200
    assert forwarded(o).line == "GET / HTTP/1.1"
    assert forwarded(o).tokens("Via") == ["1.0 fred", "1.1 p.example.net:80 (nice)", via]


def test_via_has_the_configured_name(proxy, client, origin):
    o = origin()
    c = client(proxy(name="gate-7"))
    answer = c.get(o.url())
    assert answer.get("Via") == forwarded(o).get("Via") == "1.1 gate-7"


@pytest.mark.parametrize(
    "via",
    [["1.1 penstock"], ["1.0 fred, 1.1 PenStock (x)"], ["1.1 a", "HTTP/1.0 penstock:3128, 1.1 b"]],
)
def test_request_that_came_from_us_is_a_loop(proxy, client, origin, via):
    o = origin()
    c = client(proxy())
    answer = c.get(o.url(), [("Via", v) for v in via])
    assert answer.status == 508
    assert answer.get("Proxy-Status").startswith("penstock; error=proxy_loop_detected")
    assert c.get(o.url(), [("Via", "1.1 penstock2, 1.1 notpenstock")]).status == 200
    assert len(o.accepted()) == 1


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS"])
def test_max_forwards_counts_down(proxy, client, origin, method):
    o = origin()
    c = client(proxy())
    for value, sent in (("1", "0"), ("10", "9"), ("007", "6"), (None, None)):
        fields = [("Max-Forwards", value)] if value else []
        assert c.ask(method, o.url("/x"), fields).status == 200
        assert o.connections[-1].requests[-1].head.get("Max-Forwards") == sent


def test_max_forwards_is_left_alone_with_other_methods(proxy, client, origin):
    o = origin()
    c = client(proxy())
    assert c.get(o.url(), [("Max-Forwards", "0")]).status == 200
    assert forwarded(o).get("Max-Forwards") == "0"


def test_trace_that_ends_here_shows_the_request(proxy, client, origin):
    o = origin()
    c = client(proxy())
    fields = [
        ("Max-Forwards", "0"),
        ("X-Shown", "yes"),
        ("Cookie", "secret=1"),
        ("Authorization", "Basic secret"),
        ("Proxy-Authorization", "Basic secret"),
    ]
    answer = c.ask("TRACE", o.url("/x"), fields)
    assert answer.status == 200
    assert answer.get("Content-Type") == "message/http"
    assert answer.body.startswith(f"TRACE {o.url('/x')} HTTP/1.1\r\n".encode())
    assert b"X-Shown: yes\r\n" in answer.body
    assert b"secret" not in answer.body
    o.assert_untouched()
    assert c.get(o.url()).status == 200


def test_options_that_ends_here(proxy, client, origin):
    o = origin()
    c = client(proxy())
    assert c.ask("OPTIONS", o.url(), [("Max-Forwards", "0")]).status in (200, 204)
    o.assert_untouched()
    assert c.get(o.url()).status == 200


# ---- the response ------------------------------------------------------------------------------


def test_response_passes_in_order_byte_for_byte(proxy, client, origin):
    fields = [
        ("Server", "x"),
        ("Set-Cookie", "a=b"),
        ("date", "whenever"),
        ("Set-Cookie", "c=d; \xff"),
        ("Content-Type", "text/plain"),
        ("X-Empty", ""),
        ("set-cookie", "a=b"),
    ]
    o = origin(serve(response(b"x", "299 Very  Odd \xe4", fields)))
    answer = client(proxy()).get(o.url())
    assert answer.head.line == "HTTP/1.1 299 Very  Odd \xe4"
    assert answer.head.without("Via", "Content-Length") == fields
    assert (answer.get("Content-Length"), answer.get("Via")) == ("1", "1.1 penstock")


def test_what_names_the_connection_is_removed_from_responses(proxy, client, origin):
    fields = [
        ("Connection", "X-Named, keep-alive"),
        ("X-Named", "secret"),
        ("Keep", "this"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authenticate", "Basic"),
        ("Trailer", "X"),
        ("Upgrade", "h2c"),
        ("TE", "x"),
        ("Connection", "Content-Length, Via"),
        ("Via", "1.1 other"),
        ("And", "this"),
    ]
    o = origin(serve(response(b"x", fields=fields)))
    answer = client(proxy()).get(o.url())
    assert answer.body == b"x"
    assert answer.head.without("Via", "Content-Length") == [("Keep", "this"), ("And", "this")]
    assert answer.head.tokens("Via") == ["1.1 other", "1.1 penstock"]


def test_via_of_a_1_0_origin(proxy, client, origin):
    o = origin(serve(HELLO.replace(b"HTTP/1.1", b"HTTP/1.0")))
    answer = client(proxy()).get(o.url())
    assert answer.head.line.startswith("HTTP/1.1 200")
    assert answer.get("Via") == "1.0 penstock"


@pytest.mark.parametrize("reason", [" Weird", " ", ""])
def test_reason_phrase_may_be_anything(proxy, client, origin, reason):
    o = origin(serve(f"HTTP/1.1 404{reason}\r\nContent-Length: 0\r\n\r\n".encode()))
    answer = client(proxy()).get(o.url())
    assert answer.status == 404
    assert answer.head.line.strip() == f"HTTP/1.1 404{reason}".strip()


# ---- interim responses -------------------------------------------------------------------------

INTERIM = [
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nConnection: x\r\nX: y\r\nKeep-Alive: 5\r\n\r\n",
    b"HTTP/1.1 199 What\r\n\r\n",
]


def test_interim_responses_are_relayed_at_once(proxy, client, origin):
    seen = threading.Semaphore(0)

    def handler(c):
        c.next_request()
        for raw in INTERIM:
            c.send(raw)
            assert seen.acquire(timeout=10)
        c.send(HELLO)
        c.next_request()
        c.send(HELLO)

    o = origin(handler)
    c = client(proxy())
    c.request("GET", o.url())
    heads = []
    for _ in INTERIM:
        heads.append(c.recv_head())
        seen.release()
    assert [h.status for h in heads] == [103, 102, 100, 103, 199]
    assert heads[0].all("Link") == ["</a>; rel=preload", "</b>"]
    assert heads[3].without("Via") == []
    assert c.recv_response().body == b"hello\n"
    assert c.get(o.url()).body == b"hello\n"


def test_interim_responses_in_one_packet_with_the_final_one(proxy, client, origin):
    o = origin(serve(b"".join(INTERIM) + HELLO))
    c = client(proxy())
    for _ in range(3):
        answer = c.get(o.url())
        assert [h.status for h in answer.interim] == [103, 102, 100, 103, 199]
        assert answer.body == b"hello\n"


def test_interim_responses_byte_by_byte(proxy, client, origin):
    def handler(c):
        c.next_request()
        c.send_bytewise(b"".join(INTERIM) + HELLO)
        c.next_request()

    o = origin(handler)
    answer = client(proxy()).get(o.url())
    assert [h.status for h in answer.interim] == [103, 102, 100, 103, 199]
    assert answer.body == b"hello\n"


def test_interim_responses_are_not_for_1_0_clients(proxy, client, origin):
    o = origin(serve(b"".join(INTERIM) + HELLO))
    answer = client(proxy()).get(o.url(), version="HTTP/1.0")
    assert (answer.status, answer.interim, answer.body) == (200, [], b"hello\n")


def test_expect_is_answered_by_the_origin(proxy, client, origin):
    told = threading.Event()

    def handler(c):
        head = c.recv_head()
        assert head.get("Expect") == "100-continue"
        assert told.wait(10)
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = c.recv_exact(int(head.get("Content-Length")))
        c.send(response(body[::-1]))

    o = origin(handler)
    c = client(proxy())
    c.request("POST", o.url(), [("Expect", "100-continue"), ("Content-Length", "4")])
    o.connection()
    c.expect_open()
    told.set()
    assert c.recv_head().status == 100
    c.send(b"body")
    assert c.recv_response().body == b"ydob"


def test_expect_refused_by_the_origin(proxy, client, origin):
    def handler(c):
        c.recv_head()
        c.send(response(b"no", "417 Expectation Failed"))
        c.recv_all()

    o = origin(handler)
    c = client(proxy())
    c.request("PUT", o.url(), [("Expect", "100-continue"), ("Content-Length", "4")])
    answer = c.recv_response()
    assert (answer.status, answer.body, answer.interim) == (417, b"no", [])


def test_unknown_expectation_travels_too(proxy, client, origin):
    o = origin()
    assert client(proxy()).get(o.url(), [("Expect", "the-unexpected")]).status == 200
    assert forwarded(o).get("Expect") == "the-unexpected"


# ---- old clients -------------------------------------------------------------------------------


def test_1_0_client_gets_no_chunks(proxy, client, origin):
    reply = response(
        chunked(b"hello", b" world"), fields=[("Transfer-Encoding", "chunked")], length=False
    )
    o = origin(serve(reply))
    c = client(proxy())
    answer = c.get(o.url(), [("Connection", "keep-alive")], "HTTP/1.0")
    assert answer.body == b"hello world"
    assert answer.head.tokens("Transfer-Encoding") == []
    assert "keep-alive" not in answer.head.tokens("Connection")
    c.expect_closed(reset=False)


def test_1_0_client_that_says_nothing_is_closed(proxy, client, origin):
    o = origin()
    c = client(proxy())
    answer = c.get(o.url(), version="HTTP/1.0")
    assert answer.body == b"hello\n"
    assert "keep-alive" not in answer.head.tokens("Connection")
    c.expect_closed(reset=False)


@pytest.mark.parametrize("name", ["Connection", "Proxy-Connection"])
def test_1_0_client_may_be_kept(proxy, client, origin, name):
    o = origin()
    c = client(proxy())
    for _ in range(3):
        answer = c.get(o.url(), [(name, "Keep-Alive")], "HTTP/1.0")
        assert answer.body == b"hello\n"
        assert answer.head.tokens("Connection") == ["keep-alive"]
        assert answer.get("Content-Length") == "6"


@pytest.mark.parametrize(
    "fields",
    [[("Connection", "close")], [("Connection", "TE, Close")], [("Proxy-Connection", "close")]],
    ids=str,
)
def test_client_that_wants_to_close_is_closed(proxy, client, origin, fields):
    o = origin()
    c = client(proxy())
    answer = c.get(o.url(), fields)
    assert answer.body == b"hello\n"
    assert answer.head.tokens("Connection") == ["close"]
    c.expect_closed(reset=False)
