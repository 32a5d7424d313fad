"""What the access log says of each exchange."""

import re
import threading

import pytest

from peers import TIMEOUT, chunked, request, response, serve


def test_line_of_an_ordinary_exchange(proxy, client, origin):
    o = origin(serve(response(b"0123456789")))
    p = proxy()
    c = client(p)
    fields = [("Referer", "http://a.test/x"), ("User-Agent", "tester/1.0 (x; y)")]
    c.ask("POST", o.url("/a?b"), fields, b"12345")
    line = p.access()[0]
    assert line.text == (
        f'127.0.0.1 - - [{line.time}] "POST {o.url("/a?b")} HTTP/1.1" 200 10'
        f' "http://a.test/x" "tester/1.0 (x; y)" {line.duration} 5 {o.authority} ok'
    )
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", line.time)
    assert int(line.duration) < 5000


def test_line_shows_nothing_as_a_dash(proxy, client, refusing_port):
    p = proxy()
    c = client(p)
    target = f"http://127.0.0.1:{refusing_port}/"
    c.get(target, version="HTTP/1.0")
    line = p.access()[0]
    assert (line.user, line.referer, line.agent) == ("-", "-", "-")
    assert (line.request, line.up) == (f"GET {target} HTTP/1.0", "0")
    assert (line.destination, line.end) == ("-", "refused")


def test_line_of_a_request_that_could_not_be_read(proxy, client):
    p = proxy()
    c = client(p)
    c.send(b"GET / HTTP/1.1\n\n")
    assert c.recv_response().status == 400
    line = p.access()[0]
    assert (line.request, line.status, line.destination) == ("-", "400", "-")


def test_line_counts_body_bytes_not_framing(proxy, client, origin):
    o = origin(
        serve(
            response(
                chunked(b"abc", b"defg"), fields=[("Transfer-Encoding", "chunked")], length=False
            )
        )
    )
    p = proxy()
    c = client(p)
    c.ask("POST", o.url(), [("Transfer-Encoding", "chunked")], chunked(b"1", b"23;4"))
    c.ask("HEAD", o.url())
    first, second = p.access(2)[:2]
    assert (first.down, first.up) == ("7", "5")
    assert (second.down, second.up) == ("0", "0")


@pytest.mark.parametrize(
    "value,logged",
    [
        ('a "quoted" \\ value', r"a \"quoted\" \\ value"),
        ("tab\there", r"tab\x09here"),
        ("\xc3\xa4\xff", r"\xc3\xa4\xff"),
        ("\x9b31m", r"\x9b31m"),
        ("%0d%0a", "%0d%0a"),
        ('" 200 0 "-" "-" 0 0 - ok', r"\" 200 0 \"-\" \"-\" 0 0 - ok"),
    ],
)
def test_line_escapes_what_a_client_says(proxy, client, origin, value, logged):
    o = origin()
    p = proxy()
    c = client(p)
    c.get(o.url(), [("User-Agent", value), ("Referer", value)])
    line = p.access()[0]
    assert (line.agent, line.referer) == (logged, logged)


@pytest.mark.parametrize("value,escape", [("x", "x"), ('"', '\\"'), ("\xff", r"\xff")])
def test_line_has_a_bound_and_no_escape_is_cut(proxy, client, origin, value, escape):
    o = origin()
    p = proxy()
    client(p).get(o.url(), [("User-Agent", value * 20000), ("Referer", value * 20000)])
    line = p.access()[0]
    assert len(line.text) < 16384
    for field in (line.agent, line.referer):
        assert field == escape * (len(field) // len(escape))
        assert len(field) > 500


@pytest.mark.parametrize(
    "method,target,logged",
    [
        ("GET", "http://anna:secret@HOST/a@b?c@d", "http://HOST/a@b?c@d"),
        ("GET", "http://secret@HOST", "http://HOST"),
        ("GET", "http://anna:secret@secret@HOST/", "http://HOST/"),
        ("GET", "https://anna:secret@HOST/", "https://HOST/"),
        ("GET", "http://anna:secret@/", "http:///"),
        ("CONNECT", "anna:secret@HOST", "HOST"),
        ("GET", "anna:secret@", "-"),
        ("GET", "http://HOST/@", "http://HOST/@"),
    ],
)
def test_line_has_no_password_of_a_url(proxy, client, origin, method, target, logged):
    o = origin()
    p = proxy()
    client(p).request(method, target.replace("HOST", o.authority))
    line = p.access()[0]
    assert line.request == f"{method} {logged.replace('HOST', o.authority)} HTTP/1.1"
    assert "secret" not in line.text and "secret" not in p.stderr


def test_line_escapes_method_and_target(proxy, client, origin):
    o = origin()
    p = proxy()
    c = client(p)
    c.ask("B'R`W", o.url("/\"x'"))
    assert p.access()[0].request == f"B'R`W {o.url('/')}" + "\\\"x' HTTP/1.1"


def test_order_and_number_of_lines(proxy, client, origin):
    o = origin()
    p = proxy()
    c = client(p)
    c.send(b"".join(request("GET", o.url(f"/{i}")) for i in range(50)))
    for _ in range(50):
        assert c.recv_response().status == 200
    lines = p.access(50)
    assert [x.request for x in lines] == [f"GET {o.url(f'/{i}')} HTTP/1.1" for i in range(50)]


@pytest.mark.parametrize("when", ["waiting", "answering"])
def test_line_of_a_client_that_left(proxy, client, origin, when):
    release = threading.Event()

    def handler(c):
        c.next_request()
        if when == "answering":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        release.wait(TIMEOUT)

    o = origin(handler)
    p = proxy()
    c = client(p)
    c.request("GET", o.url())
    if when == "answering":
        c.recv_until(b"half")
    else:
        o.connection()
    c.close()
    line = p.access()[0]
    release.set()
    assert line.end == "client_gone"
    assert (line.status, line.down) == (("200", "4") if when == "answering" else ("-", "0"))


def test_line_of_a_response_that_ended_early(proxy, client, origin):
    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    o = origin(handler)
    p = proxy()
    c = client(p)
    c.request("GET", o.url())
    c.recv_until(b"half")
    c.expect_closed()
    line = p.access()[0]
    assert (line.status, line.down, line.end) == ("200", "4", "truncated")


def test_line_of_a_response_that_stands_still(proxy, client, origin):
    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        c.recv_all()

    o = origin(handler)
    p = proxy(timeouts={"body": 1})
    c = client(p)
    c.request("GET", o.url())
    c.recv_until(b"half")
    c.expect_closed()
    line = p.access()[0]
    assert (line.status, line.down, line.end) == ("200", "4", "origin_timeout")


def test_what_is_buffered_is_written_at_the_end(proxy, client, origin):
    o = origin()
    p = proxy()
    c = client(p)
    for _ in range(5):
        c.get(o.url())
    c.close()
    p.stop()
    assert len(p.access(5)) == 5


def test_access_log_on_standard_output(proxy, client, origin, tmp_path):
    o = origin()
    path = tmp_path / "out"
    with open(path, "wb") as out:
        p = proxy(stdout=out, log={"access": "-"})
    client(p).get(o.url())
    assert p.access(path=path)[0].end == "ok"


def test_no_access_log(proxy, client, origin):
    o = origin()
    p = proxy(log={"access": ""})
    assert client(p).get(o.url()).status == 200
    p.stop()
    with pytest.raises(FileNotFoundError):
        open(p.access_path, encoding="ascii").close()
