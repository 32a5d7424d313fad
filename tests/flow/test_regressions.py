"""What once went wrong, named after how it has to be."""

import signal
import socket
import threading

import pytest

import daemon
from flood import push, send_on
from peers import TIMEOUT, Closed, chunked, request, response


def stuffed(head, full):
    """An origin's handler: an endless response; full is set when nothing more goes for a moment.

    It sends on then, since a moment of a busy machine is not the end of all buffers.
    """

    def handler(c):
        c.next_request()
        c.send(head)
        push(c.sock)
        full.set()
        c.sock.settimeout(TIMEOUT)
        send_on(c.sock, bytes(1 << 16))

    return handler


def read_to_end(client):
    with pytest.raises(Closed) as end:
        client.recv_exact(1 << 40)
    return end.value


@pytest.mark.parametrize("why", ["slow", "shutdown"])
def test_a_response_without_length_that_the_proxy_cuts_ends_with_a_reset(
    proxy, origin, client, why
):
    """For a client that reads too slowly, or at a shutdown: a mere close looks like its end."""
    full = threading.Event()
    o = origin(stuffed(b"HTTP/1.1 200 OK\r\n\r\n", full))
    p = proxy(timeouts={"body": 1 if why == "slow" else 60, "drain": 0})
    c = client(p)
    c.request("GET", o.url(), version="HTTP/1.0")
    assert c.recv_head().status == 200
    assert full.wait(TIMEOUT)
    if why == "shutdown":
        p.signal(signal.SIGTERM)
    end = p.access(1)[0].end
    assert end == ("client_timeout" if why == "slow" else "shutdown")
    assert read_to_end(c).reset


@pytest.mark.parametrize("why", ["idle", "shutdown"])
def test_a_tunnel_that_the_proxy_cuts_ends_with_a_reset_on_both_sides(proxy, origin, client, why):
    ends, greeted = [], threading.Event()

    def handler(c):
        c.send(b"hello")
        greeted.set()
        try:
            c.recv_some()
        except Closed as end:
            ends.append(end.reset)

    o = origin(handler)
    p = proxy(timeouts={"tunnel": 1 if why == "idle" else 60, "drain": 0})
    c = client(p)
    assert c.connect_to(o.authority).status == 200
    assert c.recv_exact(5) == b"hello"
    if why == "shutdown":
        p.signal(signal.SIGTERM)
    c.expect_closed(reset=True)
    o.connection().wait_finished()
    assert ends == [True]


def test_what_an_origin_sends_behind_its_response_is_not_kept(proxy, origin, client):
    """While the upload goes on; it was gathered, without a bound."""
    size = 64 << 20
    took = threading.Event()

    def handler(c):
        c.recv_head()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        threading.Thread(target=send_on, args=(c.sock, bytes(1 << 16)), daemon=True).start()
        try:
            c.recv_exact(size)
        except Closed:
            pass  # closing resets it, because of what nobody wanted
        took.set()

    p = proxy()
    c = client(p)
    c.send(request("POST", origin(handler).url(), [("Content-Length", str(size))]))
    c.send(b"x")
    assert c.recv_response().status == 200
    before = p.memory_peak()
    block = bytes(1 << 16)
    c.send(block[1:])
    for _ in range(size // len(block) - 1):
        c.send(block)
    assert took.wait(TIMEOUT)
    assert p.memory_peak() - before < (48 << 10 if daemon.sanitized() else 8 << 10)


def test_the_tail_of_an_upload_reaches_an_origin_that_answered_early(proxy, origin, client):
    """It waited for the origin to read on, and was dropped as soon as the client had sent all."""
    size, answered = 8 << 20, threading.Event()
    got = []

    def handler(c):
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        c.recv_head()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert answered.wait(TIMEOUT)
        got.append(len(c.recv_chunked()[0]))

    o = origin(handler)
    p = proxy(limits={"in_flight": 16 << 20})
    c = client(p)
    c.send(request("POST", o.url(), [("Transfer-Encoding", "chunked")]))
    assert c.recv_response().status == 200
    # In chunks that are too small for a pipe: the proxy takes them into its memory.
    c.send(chunked(*[bytes(1 << 12)] * (size >> 12)))
    threading.Timer(0.2, answered.set).start()  # the proxy may take all of it before
    o.connection().wait_finished()
    assert got == [size]
    assert p.access(1)[0].end == "ok"


def test_a_reload_that_comes_with_the_end_is_not_lost(proxy):
    """Its configuration was never given back: LeakSanitizer tells."""
    p = proxy(timeouts={"drain": 0})
    p.signal(signal.SIGTERM)
    for _ in range(20):
        p.signal(signal.SIGHUP)
    assert p.wait_exit() == 0


def test_a_response_head_that_trickles_in_is_not_waited_for_without_end(proxy, origin, client):
    """Each byte set the timer anew: a head of 64 KiB could have taken months."""
    stop = threading.Event()

    def handler(c):
        c.recv_head()
        c.send(b"HTTP/1.1 200 OK\r\nX: ")
        while not stop.wait(0.1):  # far more often than the timer
            c.send(b"x")

    o = origin(handler)
    p = proxy(timeouts={"first_byte": 1})
    c = client(p)
    try:
        assert c.get(o.url()).status == 504
    finally:
        stop.set()
    assert p.access(1)[0].end == "response_timeout"


@pytest.mark.parametrize("fields", [[], [("Content-Length", "0")]])
def test_a_put_without_a_byte_is_sent_again_when_its_connection_was_dead(
    proxy, origin, client, fields
):
    """With a length of nothing it went over a kept connection, and was not repeated."""

    def handler(c):
        c.next_request()
        c.send(response(b"hello\n"))
        if c.index == 0:
            c.next_request()  # and no answer
        else:
            c.recv_all()

    p = proxy()
    o = origin(handler)
    c = client(p)
    assert c.ask("PUT", o.url(), fields).status == 200
    assert c.ask("PUT", o.url(), fields).status == 200
    assert len(o.connection(0).requests) == 2
    assert [line.end for line in p.access(2)] == ["ok", "ok"]
