"""A head has a size and a time, and a client that does nothing is closed."""

import select

import pytest

from peers import Client


def request_line(authority, length):
    start, end = f"GET http://{authority}/", " HTTP/1.1"
    return start + "x" * (length - len(start) - len(end)) + end


@pytest.mark.parametrize("length,status", [(8192, 200), (8193, 414), (65000, 414), (300000, 414)])
def test_limit_of_the_request_line(proxy, client, origin, length, status):
    o = origin()
    c = client(proxy())
    c.send(request_line(o.authority, length) + f"\r\nHost: {o.authority}\r\n\r\n")
    answer = c.recv_response()
    assert answer.status == status
    if status == 414:
        c.expect_closed()
        o.assert_untouched()


def head_of_size(authority, size):
    start = request_line(authority, 100) + f"\r\nHost: {authority}\r\nX: "
    return start + "x" * (size - len(start) - 4) + "\r\n\r\n"


@pytest.mark.parametrize("size,status", [(65536, 200), (65537, 431), (200000, 431)])
def test_limit_of_the_head(proxy, client, origin, size, status):
    o = origin()
    c = client(proxy())
    c.send(head_of_size(o.authority, size))
    assert c.recv_response().status == status
    if status == 431:
        c.expect_closed()
        o.assert_untouched()


@pytest.mark.parametrize("count,status", [(200, 200), (201, 431), (5000, 431)])
def test_limit_of_fields(proxy, client, origin, count, status):
    o = origin()
    c = client(proxy())
    c.request("GET", o.url(), [("Host", o.authority)] + [("A", "b")] * (count - 1))
    assert c.recv_response().status == status
    if status == 431:
        c.expect_closed()
        o.assert_untouched()
    else:
        assert o.connection().requests[0].head.all("A") == ["b"] * (count - 1)


@pytest.mark.parametrize(
    "limits,start,unit,status",
    [
        ({"request_line": 300}, "GET http://127.0.0.1/", "x", 414),
        ({"head": 1024, "request_line": 500}, "GET http://127.0.0.1/ HTTP/1.1\r\nX: ", "x", 431),
        ({"fields": 10}, "GET http://127.0.0.1/ HTTP/1.1\r\n", "A: b\r\n", 431),
    ],
    ids=["line", "head", "fields"],
)
def test_configured_limit_is_noticed_before_the_head_ends(
    proxy, client, limits, start, unit, status
):
    c = client(proxy(limits=limits))
    c.send(start + unit * 1100)
    answer = c.recv_response()
    assert answer.status == status
    assert answer.head.tokens("Connection") == ["close"]
    c.expect_closed()


def drip(c, unit):
    """Send the unit over and over, ten a second, until something comes."""
    while not select.select([c.sock], [], [], 0.1)[0]:
        try:
            c.sock.send(unit)
        except ConnectionError:
            return


@pytest.mark.parametrize("unit", [b"", b"A: b\r\n"], ids=["silent", "dripping"])
def test_head_deadline_is_for_the_whole_head(proxy, client, origin, unit):
    o = origin()
    c = client(proxy(timeouts={"head": 1}))
    c.send(f"GET {o.url()} HTTP/1.1\r\nHost: {o.authority}\r\n")
    drip(c, unit)
    assert c.recv_response().status == 408
    c.expect_closed()
    o.assert_untouched()


def test_head_deadline_counts_anew_for_each_request(proxy, client, origin):
    o = origin()
    c = client(proxy(timeouts={"head": 1}))
    assert c.get(o.url()).status == 200
    c.send("GET ")
    drip(c, b"")
    assert c.recv_response().status == 408
    c.expect_closed()


def test_idle_client_is_closed_without_a_word(proxy, client, origin):
    o = origin()
    c = client(proxy(timeouts={"idle": 1}))
    assert c.get(o.url()).status == 200
    c.expect_closed(reset=False)


def test_refusal_reaches_a_client_that_is_still_sending(proxy, origin):
    """The answer must not be lost in a reset because of bytes that nobody read."""
    o = origin()
    p = proxy()
    for _ in range(20):
        c = Client(p.address)
        c.send(f"GET {o.url()} HTTP/1.1\r\nHost: {o.authority}\r\nA : b\r\n\r\n")
        for _ in range(10):
            c.send_bytewise(b"x" * 10)
        assert c.recv_response().status == 400
        c.expect_closed()
        c.close()
    o.assert_untouched()
