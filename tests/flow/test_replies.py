"""What the proxy answers itself: every failure has its status, its page and its log token."""

import re
from email.utils import parsedate_to_datetime

import pytest

from peers import request, serve
from test_names import hanging_port

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


# ---- every failure has its faces ----------------------------------------------------------------


def quiet(c):
    """An origin that takes the request and says nothing."""
    c.next_request()
    c.recv_all()


def partial(c):
    c.next_request()
    c.send(b"HTTP/1.1 200 OK\r\nContent-")


def hasty_reset(c):
    c.next_request()
    c.reset()


# name: the origin's handler (or None), the request, the configuration, and what must be seen:
# status, error of Proxy-Status, token of the access log.  ORIGIN and REFUSING are host:port.
FAILURES = {
    "bad_request": (None, b"GET / HTTP/1.1\r\n\r\n", {}, 400, "http_request_error", "bad_request"),
    "bad_target": (None, "https://ORIGIN/", {}, 400, "http_request_error", "bad_target"),
    "bad_version": (
        None,
        b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        {},
        505,
        "http_request_error",
        "bad_version",
    ),
    "bad_coding": (
        None,
        b"POST http://x/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        {},
        501,
        "http_request_error",
        "bad_coding",
    ),
    "line_too_long": (
        None,
        "http://x/" + "x" * 9000,
        {},
        414,
        "http_request_error",
        "line_too_long",
    ),
    "head_too_large": (
        None,
        b"GET http://x/ HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70000 + b"\r\n\r\n",
        {},
        431,
        "http_request_error",
        "head_too_large",
    ),
    "head_timeout": (
        None,
        b"GET http://x/ HTTP/1.1\r\n",
        {"timeouts": {"head": 1}},
        408,
        "http_request_error",
        "head_timeout",
    ),
    "body_timeout": (
        quiet,
        b"POST http://ORIGIN/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        {"timeouts": {"body": 1}},
        408,
        "http_request_error",
        "body_timeout",
    ),
    "not_found": (None, "/nothing", {}, 404, "proxy_internal_response", "not_found"),
    "method": (
        None,
        b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n",
        {},
        405,
        "proxy_internal_response",
        "method",
    ),
    "loop": (
        None,
        b"GET http://x/ HTTP/1.1\r\nHost: x\r\nVia: 1.1 penstock\r\n\r\n",
        {},
        508,
        "proxy_loop_detected",
        "loop",
    ),
    "client_denied": (
        None,
        "http://ORIGIN/",
        {"access": {"clients": ["192.0.2.0/24"]}},
        403,
        "http_request_denied",
        "client_denied",
    ),
    "port_denied": (
        None,
        b"CONNECT ORIGIN HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        {"access": {"connect_ports": []}},
        403,
        "http_request_denied",
        "port_denied",
    ),
    "address_denied": (
        None,
        "http://ORIGIN/",
        {"access": {"allow_addresses": []}},
        403,
        "destination_ip_prohibited",
        "address_denied",
    ),
    "refused": (None, "http://REFUSING/", {}, 502, "connection_refused", "refused"),
    "connect_timeout": (
        None,
        "http://HANGING/",
        {"timeouts": {"connect": 1}},
        504,
        "connection_timeout",
        "connect_timeout",
    ),
    "bad_response": (
        serve(b"HTTP/9 200 OK\r\n\r\n"),
        "http://ORIGIN/",
        {},
        502,
        "http_protocol_error",
        "bad_response",
    ),
    "response_too_large": (
        serve(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000),
        "http://ORIGIN/",
        {},
        502,
        "http_response_header_section_size",
        "response_too_large",
    ),
    "no_response": (
        serve(lambda m: None),
        "http://ORIGIN/",
        {},
        502,
        "connection_terminated",
        "no_response",
    ),
    "no_response, reset": (
        hasty_reset,
        "http://ORIGIN/",
        {},
        502,
        "connection_terminated",
        "no_response",
    ),
    "no_response, half a head": (
        partial,
        "http://ORIGIN/",
        {},
        502,
        "connection_terminated",
        "no_response",
    ),
    "response_timeout": (
        quiet,
        "http://ORIGIN/",
        {"timeouts": {"first_byte": 1}},
        504,
        "connection_read_timeout",
        "response_timeout",
    ),
}


def check_page(answer, html):
    """What holds for everything that the proxy answers itself."""
    kind = "html" if html else "plain"
    assert answer.get("Content-Type") == f"text/{kind}; charset=utf-8"
    assert answer.get("Cache-Control") == "no-store"
    assert answer.get("Via") == "1.1 penstock"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.get("Date"))
    parsedate_to_datetime(answer.get("Date"))
    assert answer.head.reason
    assert (b"<html" in answer.body) == html
    assert str(answer.status) in answer.text
    assert len(answer.text) > 60, "a sentence is wanted"


# What the client accepts is not known when its head could not be read.
UNREADABLE = {
    "bad_request",
    "bad_version",
    "bad_coding",
    "line_too_long",
    "head_too_large",
    "head_timeout",
}


@pytest.mark.parametrize("html", [False, True], ids=["plain", "html"])
@pytest.mark.parametrize(
    "handler,what,config,status,error,token", FAILURES.values(), ids=FAILURES.keys()
)
def test_failure(
    proxy, client, origin, refusing_port, handler, what, config, status, error, token, html
):
    o = origin(handler) if handler else origin()
    p = proxy(**config)
    c = client(p)
    raw = what if isinstance(what, bytes) else request("GET", what)
    if html:
        raw = raw.replace(b"\r\n", f"\r\nAccept: {CHROME}\r\n".encode(), 1)
    with hanging_port() as hanging:
        for mark, port in (
            (b"ORIGIN", o.port),
            (b"REFUSING", refusing_port),
            (b"HANGING", hanging),
        ):
            raw = raw.replace(mark, f"127.0.0.1:{port}".encode())
        c.send(raw)
        answer = c.recv_response()
    assert answer.status == status
    assert re.match(rf"penstock; error={error}(;|$)", answer.get("Proxy-Status"))
    check_page(answer, html and token not in UNREADABLE)
    line = p.access()[0]
    assert (line.status, line.end) == (str(status), token)
    assert line.down == str(len(answer.body))


@pytest.mark.parametrize("html", [False, True], ids=["plain", "html"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "BREW"])
def test_client_is_kept_after_a_failure(proxy, client, origin, refusing_port, method, html):
    o = origin()
    c = client(proxy())
    fields = [("Accept", "text/html")] if html else []
    for _ in range(3):
        answer = c.ask(method, f"http://127.0.0.1:{refusing_port}/", fields)
        assert answer.status == 502
        assert int(answer.get("Content-Length")) > 100
        assert "close" not in answer.head.tokens("Connection")
        assert c.get(o.url()).body == b"hello\n"
    c.expect_open()


def test_failure_before_a_body_was_read_does_not_lose_the_way(proxy, client, origin, refusing_port):
    """Either the body is read and the connection goes on, or it closes: never garbage."""
    o = origin()
    c = client(proxy())
    body = request("GET", o.url("/smuggled"))
    c.send(request("POST", f"http://127.0.0.1:{refusing_port}/", [], body))
    assert c.recv_response().status == 502
    c.send_bytewise(request("GET", o.url("/after"), [("Connection", "close")]))
    c.recv_all()
    targets = [m.head.target for k in o.accepted() for m in k.requests]
    assert "/smuggled" not in targets


@pytest.mark.parametrize(
    "accept,html",
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/plain", False),
        ("application/json, text/html;q=0", False),
        ("text/html;q=0.000", False),
        ("application/xhtml+xml", False),
        ("text/htmlx", False),
        ("text/html", True),
        ("TEXT/HTML", True),
        ("*/*, text/html;q=0.1", True),
        ("text/html;level=1;q=0.5", True),
        (CHROME, True),
    ],
)
def test_page_is_html_only_for_those_who_ask_for_it(proxy, client, refusing_port, accept, html):
    c = client(proxy())
    fields = [] if accept is None else [("Accept", accept)]
    check_page(c.get(f"http://127.0.0.1:{refusing_port}/", fields), html)


EVIL = "<script>alert(1)</script>"
ESCAPES = {
    "path": f"http://127.0.0.1:REFUSING/{EVIL}",
    "query": f"http://127.0.0.1:REFUSING/?\"'&{EVIL}",
    "host": f"http://{EVIL}/",
    "user": f"http://{EVIL}@127.0.0.1:REFUSING/",
    "port": f"http://127.0.0.1:{EVIL}/",
    "scheme": f"{EVIL}://127.0.0.1/",
    "own path": f"/{EVIL}",
}


@pytest.mark.parametrize("target", ESCAPES.values(), ids=ESCAPES.keys())
def test_page_cannot_be_made_to_run_a_script(proxy, client, refusing_port, target):
    c = client(proxy())
    fields = [("Host", "x"), ("Accept", "text/html"), ("User-Agent", EVIL), ("Referer", EVIL)]
    answer = c.get(target.replace("REFUSING", str(refusing_port)), fields)
    assert answer.status in (400, 404, 502)
    assert answer.get("Content-Type").startswith("text/html")
    assert b"<script" not in answer.body.lower()
    assert "<" not in answer.head.raw.decode("latin-1")


@pytest.mark.parametrize("host", ["a.test:80<script>", "<script>", "\"'", "a&b.test"])
def test_own_page_cannot_be_made_to_run_a_script(proxy, client, host):
    answer = client(proxy()).get("/", [("Host", host), ("Accept", "text/html")])
    assert answer.status in (200, 400)
    assert b"<script" not in answer.body.lower()


def test_page_says_what_it_was_about(proxy, client, refusing_port):
    answer = client(proxy()).get(f"http://127.0.0.1:{refusing_port}/", [("Accept", "text/html")])
    assert "127.0.0.1" in answer.text
