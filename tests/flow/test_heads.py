"""Heads are read strictly: what is ambiguous is refused, nothing is repaired or passed on."""

import re

import pytest

from peers import request, response, serve

# A head in which one thing is wrong: name, bytes, status, what the sentence has to speak of.
# ORIGIN stands for the origin's host:port, and every head is complete.
GET = b"GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n"
POST = b"POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
TRACE = GET.replace(b"GET", b"TRACE")
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
END = b"\r\n"


def line(text):
    """A request with this request line."""
    return text + b"\r\nHost: ORIGIN\r\n\r\n"


def field(text):
    """A request with this field line."""
    return GET + text + b"\r\n\r\n"


def body(*lines):
    """A POST with these field lines and something that might be its body."""
    return POST + b"\r\n".join(lines) + b"\r\n\r\n0\r\n\r\n"


BAD = [
    # line ends
    (
        "bare LF after the request line",
        b"GET http://ORIGIN/ HTTP/1.1\nHost: ORIGIN\r\n\r\n",
        400,
        "line feed|LF",
    ),
    ("bare LF after a field", GET + b"A: b\nC: d\r\n\r\n", 400, "line feed|LF"),
    ("bare LF as the end", GET + b"A: b\r\n\n", 400, "line feed|LF"),
    ("only bare LFs", b"GET http://ORIGIN/ HTTP/1.1\nHost: ORIGIN\n\n", 400, "line feed|LF"),
    ("bare CR in a value", field(b"A: b\rc"), 400, "carriage return|CR"),
    ("bare CR in a name", field(b"A\rb: c"), 400, "carriage return|CR"),
    (
        "bare CR in the request line",
        line(b"GET http://ORIGIN/\r HTTP/1.1"),
        400,
        "carriage return|CR",
    ),
    ("CR CR LF", field(b"A: b\r"), 400, "carriage return|CR"),
    ("bare CR as the end", GET + b"\r\r\n\r\n", 400, "carriage return|CR"),
    ("two empty lines in front", b"\r\n\r\n" + GET + END, 400, ""),
    ("a bare LF in front", b"\n" + GET + END, 400, "line feed|LF"),
    # controls
    ("NUL in a value", field(b"A: b\0c"), 400, "NUL|control"),
    ("NUL in a name", field(b"A\0: b"), 400, "NUL|control"),
    ("NUL in the target", line(b"GET http://ORIGIN/\0 HTTP/1.1"), 400, "NUL|control"),
    ("NUL in the method", line(b"G\0T http://ORIGIN/ HTTP/1.1"), 400, "NUL|control"),
    ("vertical tab in a value", field(b"A: b\x0bc"), 400, "control"),
    ("form feed in a value", field(b"A: b\x0cc"), 400, "control"),
    ("escape in a value", field(b"A: \x1b[31m"), 400, "control"),
    ("SOH in a value", field(b"A: \x01"), 400, "control"),
    ("US in a value", field(b"A: \x1f"), 400, "control"),
    ("DEL in a value", field(b"A: \x7f"), 400, "control"),
    ("DEL in a name", field(b"A\x7f: b"), 400, "control"),
    ("tab in a name", field(b"A\tb: c"), 400, ""),
    # fields
    ("space before the colon", field(b"A : b"), 400, "space|colon"),
    ("tab before the colon", field(b"A\t: b"), 400, "space|colon"),
    ("space before the colon of Content-Length", body(b"Content-Length : 5"), 400, "space|colon"),
    ("empty field name", field(b": b"), 400, "name"),
    ("no colon", field(b"A b"), 400, "colon|name"),
    ("only a name", field(b"Abc"), 400, "colon"),
    ("space in a name", field(b"A b: c"), 400, "name|space"),
    ("bracket in a name", field(b"A(b): c"), 400, "name"),
    ("slash in a name", field(b"A/b: c"), 400, "name"),
    ("quote in a name", field(b'"A": c'), 400, "name"),
    ("obs-text in a name", field(b"\xc3\xa4: c"), 400, "name"),
    (
        "space before the first field",
        b"GET http://ORIGIN/ HTTP/1.1\r\n Host: ORIGIN\r\n\r\n",
        400,
        "space",
    ),
    (
        "tab before the first field",
        b"GET http://ORIGIN/ HTTP/1.1\r\n\tHost: ORIGIN\r\n\r\n",
        400,
        "space",
    ),
    ("folded with a space", field(b"A: b\r\n c"), 400, "fold|continu|space"),
    ("folded with a tab", field(b"A: b\r\n\tc"), 400, "fold|continu|space"),
    ("folded into nothing", field(b"A: b\r\n "), 400, "fold|continu|space"),
    # the request line
    (
        "space in the target",
        line(b"GET http://ORIGIN/a b HTTP/1.1"),
        400,
        "space|request line|version",
    ),
    (
        "two spaces behind the method",
        line(b"GET  http://ORIGIN/ HTTP/1.1"),
        400,
        "space|request line",
    ),
    (
        "two spaces behind the target",
        line(b"GET http://ORIGIN/  HTTP/1.1"),
        400,
        "space|request line|version",
    ),
    (
        "space behind the version",
        line(b"GET http://ORIGIN/ HTTP/1.1 "),
        400,
        "space|request line|version",
    ),
    ("space in front", line(b" GET http://ORIGIN/ HTTP/1.1"), 400, "space|request line|method"),
    ("tab as a separator", line(b"GET\thttp://ORIGIN/ HTTP/1.1"), 400, ""),
    ("backslash in the target", line(b"GET http://ORIGIN/a\\b HTTP/1.1"), 400, "target|backslash"),
    (
        "backslash in the host",
        line(b"GET http://ORIGIN\\@evil/ HTTP/1.1"),
        400,
        "target|backslash|host",
    ),
    ("fragment in the target", line(b"GET http://ORIGIN/a#b HTTP/1.1"), 400, "fragment|#|target"),
    ("control in the target", line(b"GET http://ORIGIN/\x01 HTTP/1.1"), 400, "control"),
    ("obs-text in the target", line(b"GET http://ORIGIN/\xc3\xa4 HTTP/1.1"), 400, ""),
    ("method that is no token", line(b"G(T http://ORIGIN/ HTTP/1.1"), 400, "method"),
    ("no method", line(b" http://ORIGIN/ HTTP/1.1"), 400, ""),
    ("no target", line(b"GET HTTP/1.1"), 400, ""),
    ("no version", line(b"GET http://ORIGIN/"), 400, ""),
    ("only a method", line(b"GET"), 400, ""),
    ("HTTP/1.2", line(b"GET http://ORIGIN/ HTTP/1.2"), 505, "version|HTTP/1"),
    ("HTTP/2.0", line(b"GET http://ORIGIN/ HTTP/2.0"), 505, "version|HTTP/1"),
    ("HTTP/0.9", line(b"GET http://ORIGIN/ HTTP/0.9"), 505, "version|HTTP/1"),
    ("HTTP/3.0", line(b"GET http://ORIGIN/ HTTP/3.0"), 505, "version|HTTP/1"),
    ("HTTP/1.10", line(b"GET http://ORIGIN/ HTTP/1.10"), 400, "version"),
    ("HTTP/11", line(b"GET http://ORIGIN/ HTTP/11"), 400, "version"),
    ("http/1.1 in lower case", line(b"GET http://ORIGIN/ http/1.1"), 400, "version"),
    ("another protocol", line(b"GET http://ORIGIN/ RTSP/1.0"), 400, "version"),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400, ""),
    # Host
    ("no Host", b"GET http://ORIGIN/ HTTP/1.1\r\nA: b\r\n\r\n", 400, "Host"),
    ("no fields at all", b"GET http://ORIGIN/ HTTP/1.1\r\n\r\n", 400, "Host"),
    ("two Hosts", field(b"Host: other"), 400, "Host"),
    ("two equal Hosts", field(b"host: ORIGIN"), 400, "Host"),
    ("two Hosts in 1.0", b"GET http://ORIGIN/ HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "Host"),
    *[
        (
            f"Host {host.decode()!r}",
            b"GET http://ORIGIN/ HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
            400,
            "Host",
        )
        for host in (
            b"",
            b"a b",
            b"a/b",
            b"a,b",
            b"u@a",
            b"a:b",
            b"a:99999",
            b"[::1",
            b"a]",
            b"http://a",
            b"a?b",
            b"a#b",
        )
    ],
    # where the body ends
    *[
        (
            f"Content-Length {value.decode('latin-1')!r}",
            body(b"Content-Length: " + value),
            400,
            "Content-Length",
        )
        for value in (
            b"",
            b"+5",
            b"-0",
            b"-5",
            b"5a",
            b"0x5",
            b"5 5",
            b"5,5",
            b"5, 5",
            b"5.0",
            b"1e3",
            b"\xb2",
            b"1234567890123456789",
            b"18446744073709551616",
            b"five",
        )
    ],
    (
        "two Content-Lengths",
        body(b"Content-Length: 5", b"Content-Length: 6"),
        400,
        "Content-Length",
    ),
    (
        "two equal Content-Lengths",
        body(b"Content-Length: 5", b"content-length: 5"),
        400,
        "Content-Length",
    ),
    (
        "length and chunked",
        body(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        400,
        "Content-Length|Transfer-Encoding",
    ),
    (
        "chunked and length",
        body(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        400,
        "Content-Length|Transfer-Encoding",
    ),
    *[
        (
            f"Transfer-Encoding {value.decode('latin-1')!r}",
            body(b"Transfer-Encoding: " + value),
            501,
            "coding|Transfer-Encoding",
        )
        for value in (b"gzip", b"gzip, chunked", b"xchunked", b"identity")
    ],
    *[
        (
            f"Transfer-Encoding {value.decode('latin-1')!r}",
            body(b"Transfer-Encoding: " + value),
            400,
            "Transfer-Encoding",
        )
        for value in (b"", b"chunked, chunked", b"chunked;x", b"chunked,", b",")
    ],
    (
        "two Transfer-Encodings",
        body(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        400,
        "Transfer-Encoding",
    ),
    (
        "Transfer-Encoding in 1.0",
        b"POST http://ORIGIN/ HTTP/1.0\r\n" + CHUNKS,
        400,
        "Transfer-Encoding|1.0",
    ),
    ("HEAD with a length", HEAD + b"Content-Length: 3\r\n\r\nabc", 400, "HEAD|body"),
    ("HEAD with chunks", HEAD + CHUNKS, 400, "HEAD|body"),
    ("TRACE with a length", TRACE + b"Content-Length: 3\r\n\r\nabc", 400, "TRACE|body"),
    ("TRACE with chunks", TRACE + CHUNKS, 400, "TRACE|body"),
    (
        "CONNECT with a length",
        b"CONNECT ORIGIN HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 0\r\n\r\n",
        400,
        "CONNECT|body",
    ),
    (
        "CONNECT with chunks",
        b"CONNECT ORIGIN HTTP/1.1\r\nHost: ORIGIN\r\n" + CHUNKS,
        400,
        "CONNECT|body",
    ),
    # where it goes
    *[
        (f"target {target.decode()!r}", line(b"GET " + target + b" HTTP/1.1"), 400, words)
        for target, words in (
            (b"http://", "host"),
            (b"http:///", "host"),
            (b"http://:80/", "host"),
            (b"http://u@/", "host"),
            (b"http://127.0.0.1:0/", "port"),
            (b"http://127.0.0.1:65536/", "port"),
            (b"http://127.0.0.1:+80/", "port"),
            (b"http://127.0.0.1:80a/", "port"),
            (b"http://127.0.0.1:-1/", "port"),
            (b"http://127.0.0.1: 80/", ""),
            (b"http://127.0.0.1:000080/", "port"),
            (b"http://127.0.0.1:1:2/", "port|host"),
            (b"http://[::1/", "host|address"),
            (b"http://[::g]/", "host|address"),
            (b"http://[127.0.0.1]/", "host|address"),
            (b"http://[::1]x/", "host|address|port"),
            (b"http://[fe80::1%25lo]/", "host|address|zone"),
            (b"http://[]/", "host|address"),
            (b"http://a%00b/", "host"),
            (b"http://a%2eb/", "host"),
            (b"http://a..b/", "host"),
            (b"http://a,b/", "host"),
            (b"http://" + b"a" * 64 + b"/", "host"),
            (b"http://" + b"a." * 130 + b"/", "host"),
            (b"http:/127.0.0.1/", ""),
            (b"http:127.0.0.1", ""),
            (b"127.0.0.1", ""),
            (b"127.0.0.1:80", ""),
            (b"*", ""),
            (b"https://127.0.0.1/", "CONNECT"),
            (b"HTTPS://127.0.0.1/", "CONNECT"),
            (b"ftp://127.0.0.1/", "http"),
            (b"ws://127.0.0.1/", "http"),
            (b"file:///etc/passwd", "http"),
            (b"gopher://127.0.0.1/", "http"),
        )
    ],
    *[
        (
            f"CONNECT {target.decode()!r}",
            b"CONNECT " + target + b" HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
            400,
            words,
        )
        for target, words in (
            (b"u@ORIGIN", "user"),
            (b"u:p@ORIGIN", "user"),
            (b"127.0.0.1", "port"),
            (b"127.0.0.1:", "port"),
            (b"127.0.0.1:0", "port"),
            (b"127.0.0.1:65536", "port"),
            (b"127.0.0.1:http", "port"),
            (b":443", "host"),
            (b"http://ORIGIN/", ""),
            (b"/", ""),
            (b"*", ""),
            (b"[::1]", "port"),
            (b"::1:443", ""),
            (b"127.0.0.1:443/", ""),
            (b"ORIGIN?", ""),
        )
    ],
    (
        "CONNECT in lower case is another method",
        b"connect ORIGIN HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        400,
        "",
    ),
    ("Connection that is no list", field(b"Connection: a b"), 400, "Connection"),
    ("Max-Forwards that is no number", TRACE + b"Max-Forwards: x\r\n\r\n", 400, "Max-Forwards"),
    (
        "several Max-Forwards",
        TRACE + b"Max-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n",
        400,
        "Max-Forwards",
    ),
]


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("raw,status,words", [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_ambiguous_head_is_refused(proxy, client, origin, raw, status, words, bytewise):
    o = origin()
    p = proxy()
    c = client(p)
    (c.send_bytewise if bytewise else c.send)(raw.replace(b"ORIGIN", o.authority.encode()))
    head_only = raw.startswith(b"HEAD")
    answer = c.recv_response("HEAD" if head_only else "GET")
    assert answer.status == status
    assert answer.head.tokens("Connection") == ["close"]
    assert answer.get("Content-Type").startswith("text/plain")
    assert re.search(words, answer.get("Proxy-Status") if head_only else answer.text, re.I)
    c.expect_closed()
    o.assert_untouched()


def test_what_follows_a_bad_head_is_never_read_as_a_request(proxy, client, origin):
    o = origin()
    c = client(proxy())
    bad = request("POST", o.url(), [("Content-Length", "5"), ("Content-Length", "5")])
    c.send(bad + request("GET", o.url("/smuggled")))
    assert c.recv_response().status == 400
    c.expect_closed()
    o.assert_untouched()


def test_good_request_is_answered_before_the_bad_one_behind_it(proxy, client, origin):
    o = origin()
    c = client(proxy())
    c.send(request("GET", o.url("/one")) + b"GET / HTTP/1.1\nHost: x\r\n\r\n")
    assert c.recv_response().status == 200
    assert c.recv_response().status == 400
    c.expect_closed()
    assert [m.head.target for m in o.connection().requests] == ["/one"]


GOOD = {
    "one empty line in front": b"\r\n" + GET + END,
    "obs-text and tab in a value": field(b"A: b\tc \xc3\xa4\xff"),
    "empty value": field(b"A:"),
    "value without a space": field(b"A:b"),
    "all token characters": field(b"!#$%&'*+-.^_`|~09azAZ: b"),
    "odd characters in path and query": line(b'GET http://ORIGIN/a|b{c}?"<>^`[]%zz HTTP/1.1'),
    "upper case scheme": line(b"GET HTTP://ORIGIN/ HTTP/1.1"),
    "1.0 without Host": b"GET http://ORIGIN/ HTTP/1.0\r\n\r\n",
    "Content-Length of 18 digits": POST + b"Content-Length: 000000000000000003\r\n\r\nabc",
    "Content-Length 0": POST + b"Content-Length: 0\r\n\r\n",
    "Chunked in capitals": POST + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    "HEAD with length 0": HEAD + b"Content-Length: 0\r\n\r\n",
    "GET with a body": GET + b"Content-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD.keys())
def test_unusual_but_clear_head_passes(proxy, client, origin, raw, bytewise):
    o = origin()
    c = client(proxy())
    (c.send_bytewise if bytewise else c.send)(raw.replace(b"ORIGIN", o.authority.encode()))
    method = raw.lstrip().split(b" ")[0].decode()
    answer = c.recv_response(method)
    assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"hello\n")


@pytest.mark.parametrize(
    "fields,body",
    [
        ([], b""),
        ([], b"some body"),
        ([("Transfer-Encoding", "chunked")], b"4\r\nbody\r\n0\r\n\r\n"),
    ],
    ids=["bare", "length", "chunked"],
)
@pytest.mark.parametrize(
    "method",
    [
        "PROPFIND",
        "BREW",
        "QUERY",
        "get",
        "pOST",
        "M-SEARCH",
        "DELETE",
        "PATCH",
        "A",
        "!#$%&'*+-.^_`|~",
        "X" * 100,
    ],
)
def test_any_method_token_passes(proxy, client, origin, method, fields, body):
    o = origin(serve(lambda m: response(m.body)))
    c = client(proxy())
    answer = c.ask(method, o.url("/x"), fields, body)
    assert answer.status == 200
    got = o.connection().requests[0]
    assert (got.head.method, got.head.target) == (method, "/x")
    assert got.body == answer.body == (b"body" if fields else body)
    assert c.get(o.url()).status == 200
