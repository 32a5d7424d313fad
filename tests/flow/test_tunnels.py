"""CONNECT: a tunnel from its head to its log line."""

import hashlib
import select
import socket
import threading

import pytest

import daemon
import real
from peers import TIMEOUT, Closed, request, response, serve

MIB = 1 << 20


def echo(c):
    """Send back what comes, until the end comes; then end too."""
    while data := c.sock.recv(65536):
        c.sock.sendall(data)


def wait_for_end(c):
    c.recv_all()


@pytest.fixture
def tunnel(client):
    """tunnel(proxy, origin): a client in a tunnel to the origin."""

    def start(p, o, **options):
        c = client(p, **options)
        assert c.connect_to(o.authority).status == 200
        return c

    return start


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connect_to_an_address(proxy, origin, client, host):
    o = origin(echo, host=host)
    c = client(proxy())
    head = c.connect_to(o.authority)
    assert head.status == 200
    assert head.get("Content-Length") is None
    assert head.get("Transfer-Encoding") is None
    c.send(b"over the wire")
    assert c.recv_exact(13) == b"over the wire"


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_connect_to_a_name(proxy, origin, client, names, version):
    o = origin(echo)
    p = proxy(resolver={"servers": [names(real.HOSTS).address]})
    c = client(p)
    c.request("CONNECT", f"{real.NAME}:{o.port}", version=version)
    assert c.recv_head().status == 200
    c.send(b"x")
    assert c.recv_exact(1) == b"x"


def test_bytes_that_come_with_the_head_are_delivered(proxy, origin, client):
    o = origin(echo)
    c = client(proxy())
    early = b"first\r\n\r\nGET / HTTP/1.1\r\n\r\n" + bytes(range(256))
    c.send(request("CONNECT", o.authority) + early)
    assert c.recv_head().status == 200
    assert c.recv_exact(len(early)) == early
    c.send(b"second")
    assert c.recv_exact(6) == b"second"


def test_many_bytes_that_come_with_the_head(proxy, origin, client):
    """More than fits anywhere at once, pushed before the answer is read."""
    o = origin(echo)
    c = client(proxy())
    early = hashlib.sha256(b"x").digest() * 10_000
    sender = threading.Thread(target=c.send, args=(request("CONNECT", o.authority) + early,))
    sender.start()
    assert c.recv_head().status == 200
    assert c.recv_exact(len(early)) == early
    sender.join(TIMEOUT)


def test_the_head_may_come_byte_by_byte(proxy, origin, client):
    o = origin(echo)
    c = client(proxy())
    c.send_bytewise(request("CONNECT", o.authority) + b"abc")
    assert c.recv_head().status == 200
    assert c.recv_exact(3) == b"abc"


def test_the_server_may_speak_first(proxy, origin, tunnel):
    def greet(c):
        c.send(b"220 ready\r\n")
        echo(c)

    c = tunnel(proxy(), origin(greet))
    assert c.recv_until(b"\n") == b"220 ready\r\n"
    c.send(b"EHLO\r\n")
    assert c.recv_until(b"\n") == b"EHLO\r\n"


def test_single_bytes_are_not_held(proxy, origin, tunnel):
    c = tunnel(proxy(), origin(echo))
    for i in range(200):
        c.send(bytes([i]))
        assert c.recv_exact(1) == bytes([i])


# ---- ends -------------------------------------------------------------------------------------


def test_the_clients_half_close_is_kept(proxy, origin, tunnel):
    """The client ends; the origin sees that, after all bytes, and still answers at length."""
    size = 3 * MIB

    def sum_up(c):
        c.send(hashlib.sha256(c.recv_all()).hexdigest())
        c.send(bytes(size))

    p = proxy()
    c = tunnel(p, origin(sum_up))
    c.send(b"question" * 100_000)
    c.end()
    assert c.recv_exact(64).decode() == hashlib.sha256(b"question" * 100_000).hexdigest()
    assert len(c.recv_all()) == size
    line = p.access(1)[0]
    assert (int(line.up), int(line.down), line.end) == (800_000, 64 + size, "ok")


def test_the_origins_half_close_is_kept(proxy, origin, tunnel):
    got = []

    def end_first(c):
        c.send(b"bye")
        c.end()
        got.append(c.recv_all())

    o = origin(end_first)
    c = tunnel(proxy(), o)
    assert c.recv_all() == b"bye"
    for _ in range(10):
        c.send(b"still here" * 10_000)
    c.end()
    o.connection().wait_finished()
    assert got == [b"still here" * 100_000]


def test_an_end_comes_after_everything_before_it(proxy, origin, tunnel):
    """The receiver is slow: what is on the way when the end is seen must still arrive."""
    go = threading.Event()
    got = []

    def slow(c):
        go.wait(TIMEOUT)
        got.append(len(c.recv_all()))

    o = origin(slow)
    c = tunnel(proxy(), o)
    sent = 0
    c.sock.setblocking(False)
    while select.select([], [c.sock], [], 0.3)[1]:
        sent += c.sock.send(bytes(65536))
    c.end()
    go.set()
    o.connection().wait_finished()
    assert got == [sent]


def test_a_close_on_both_sides_ends_the_tunnel(proxy, origin, tunnel):
    o = origin(wait_for_end)
    p = proxy()
    before = p.descriptors("socket")
    c = tunnel(p, o)
    c.close()
    o.connection().wait_finished()
    assert p.access(1)[0].end == "ok"
    daemon.poll(lambda: p.descriptors("socket") == before, "the sockets to be closed")


@pytest.mark.parametrize("moved", [0, 100_000])
def test_a_reset_by_the_origin_is_passed_on(proxy, origin, tunnel, moved):
    seen = threading.Event()

    def reset(c):
        c.send(bytes(moved))
        assert seen.wait(TIMEOUT)
        c.reset()

    c = tunnel(proxy(), origin(reset))
    c.recv_exact(moved)
    seen.set()
    c.expect_closed(reset=True)


@pytest.mark.parametrize("moved", [0, 100_000])
def test_a_reset_by_the_client_is_passed_on(proxy, origin, tunnel, moved):
    seen, ends = threading.Event(), []

    def wait(c):
        c.recv_exact(moved)
        seen.set()
        try:
            c.recv_some()
        except Closed as end:
            ends.append(end.reset)

    o = origin(wait)
    c = tunnel(proxy(), o)
    c.send(bytes(moved))
    assert seen.wait(TIMEOUT)
    c.reset()
    o.connection().wait_finished()
    assert ends == [True]


def test_a_reset_after_a_half_close_is_passed_on(proxy, origin, tunnel):
    ended = threading.Event()

    def reset(c):
        c.recv_all()
        ended.set()
        c.reset()

    c = tunnel(proxy(), origin(reset))
    c.end()
    assert ended.wait(TIMEOUT)
    c.expect_closed(reset=True)


def test_a_reset_is_seen_while_the_other_side_is_full(proxy, origin, tunnel):
    """Nobody reads, so the proxy does not either; it must notice all the same."""
    ready = threading.Event()

    def stuff(c):
        c.sock.setblocking(False)
        while select.select([], [c.sock], [], 0.3)[1]:
            c.sock.send(bytes(65536))
        ready.set()
        poller = select.poll()
        poller.register(c.sock, select.POLLRDHUP)
        assert poller.poll(TIMEOUT * 1000), "the client's reset did not arrive"

    o = origin(stuff)
    c = tunnel(proxy(), o)
    assert ready.wait(30)
    c.reset()
    o.connection().wait_finished()


def test_an_idle_tunnel_ends(proxy, origin, tunnel):
    o = origin(wait_for_end)
    p = proxy(timeouts={"tunnel": 1})
    c = tunnel(p, o)
    c.expect_closed()
    o.connection().wait_finished()
    assert p.access(1)[0].end != "ok"


def test_a_busy_tunnel_outlives_the_idle_time(proxy, origin, tunnel):
    """Bytes in one direction are enough."""
    rounds = 15

    def drip(c):
        for _ in range(rounds):
            assert not select.select([c.sock], [], [], 0.2)[0], "the tunnel ended"
            c.send(b".")

    c = tunnel(proxy(timeouts={"tunnel": 1}), origin(drip))
    assert c.recv_all() == b"." * rounds


def test_a_tunnel_that_is_stuck_is_idle(proxy, origin, tunnel):
    """Bytes that wait for a side that does not read are no movement."""

    def stuck(c):
        poller = select.poll()
        poller.register(c.sock, select.POLLRDHUP)
        poller.poll(30_000)

    o = origin(stuck)
    p = proxy(timeouts={"tunnel": 1})
    c = tunnel(p, o)
    c.sock.setblocking(False)
    try:
        while select.select([], [c.sock], [], 0.2)[1]:
            c.sock.send(bytes(65536))
    except ConnectionError:
        pass
    assert p.access(1)[0].end != "ok"


# ---- much -------------------------------------------------------------------------------------


def pour(sock, block, count):
    sock.settimeout(TIMEOUT)
    for _ in range(count):
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)


def drain(wire):
    digest, size = hashlib.sha256(wire.rest), len(wire.rest)
    while data := wire.sock.recv(1 << 20):
        digest.update(data)
        size += len(data)
    return digest.hexdigest(), size


def test_large_transfers_both_ways_at_once(proxy, origin, tunnel):
    count = 16 if daemon.sanitized() else 96
    # Prime lengths: pieces never fall together with pages, pipes or buffers.
    up, down = bytes(range(251)) * 4177, bytes(range(253)) * 4127
    expected = {"up": hashlib.sha256(up * count).hexdigest(),
                "down": hashlib.sha256(down * count).hexdigest()}
    got = {}

    def both(wire, block, direction):
        pusher = threading.Thread(target=pour, args=(wire.sock, block, count))
        pusher.start()
        got[direction] = drain(wire)
        pusher.join(TIMEOUT)

    o = origin(lambda c: both(c, down, "up"))
    p = proxy()
    c = tunnel(p, o, timeout=30)
    both(c, up, "down")
    o.connection().wait_finished(30)
    assert got == {"up": (expected["up"], len(up) * count),
                   "down": (expected["down"], len(down) * count)}
    line = p.access(1)[0]
    assert (int(line.up), int(line.down), line.end) == (len(up) * count, len(down) * count, "ok")


def test_pipes_are_given_back(proxy, origin, tunnel):
    """A tunnel that is quiet costs two sockets and no pipe."""
    count = 60
    p, o = proxy(), origin(echo, backlog=256)
    idle = p.descriptors("pipe")
    tunnels = [tunnel(p, o) for _ in range(count)]
    for c in tunnels:
        c.send(bytes(100_000))
    for c in tunnels:
        c.recv_exact(100_000)
    # Some are kept for the next who needs one, for all tunnels together.
    assert p.descriptors("pipe") - idle < count
    for c in tunnels:
        c.send(b"again")
        assert c.recv_exact(5) == b"again"
    assert p.descriptors("pipe") - idle < count


# ---- no tunnel --------------------------------------------------------------------------------


def test_connect_to_a_port_that_refuses(proxy, client, refusing_port):
    p = proxy()
    c = client(p)
    assert c.connect_to(f"127.0.0.1:{refusing_port}").status == 502
    assert p.access(1)[0].end == "refused"


def test_connect_to_a_port_that_is_not_allowed(proxy, origin, client):
    o = origin(echo)
    p = proxy(access={"connect_ports": ["443"]})
    c = client(p)
    assert c.connect_to(o.authority).status == 403
    assert p.access(1)[0].end == "port_denied"
    o.assert_untouched()


def test_connect_to_an_address_that_is_not_allowed(proxy, origin, client):
    o = origin(echo)
    p = proxy(access={"allow_addresses": []})
    assert client(p).connect_to(o.authority).status == 403
    assert p.access(1)[0].end == "address_denied"
    o.assert_untouched()


def test_connect_to_a_name_that_is_not_there(proxy, client, names):
    p = proxy(resolver={"servers": [names().address]})
    assert client(p).connect_to("missing.test:443").status == 502
    assert p.access(1)[0].end == "dns_not_found"


def test_a_connection_is_kept_after_a_failed_connect(proxy, origin, client, refusing_port):
    o = origin(serve(response(b"hello")))
    c = client(proxy())
    for _ in range(3):
        assert c.connect_to(f"127.0.0.1:{refusing_port}").status == 502
    assert c.get(o.url()).body == b"hello"
    assert c.connect_to(o.authority).status == 200
    c.request("GET", "/in-the-tunnel", [("Host", "x")])
    assert c.recv_response().body == b"hello"
    assert o.connection(1).requests[0].head.target == "/in-the-tunnel"


def test_a_tunnel_after_other_requests(proxy, origin, client):
    o = origin(serve(response(b"hello")))
    c = client(proxy())
    assert c.get(o.url()).body == b"hello"
    assert c.ask("POST", o.url(), body=b"x").body == b"hello"
    assert c.connect_to(o.authority).status == 200
    c.request("GET", "/", [("Host", "x")])
    assert c.recv_response().body == b"hello"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_before_it_reads_the_answer(proxy, origin, client, how):
    o = origin(wait_for_end)
    c = client(proxy())
    c.request("CONNECT", o.authority)
    getattr(c, how)()
    for seen in o.accepted():
        seen.wait_finished()


def test_the_log_line_of_a_tunnel(proxy, origin, tunnel):
    o = origin(echo)
    p = proxy()
    c = tunnel(p, o)
    c.send(b"0123456789")
    c.recv_exact(10)
    c.end()
    assert c.recv_all() == b""
    line = p.access(1)[0]
    assert line.request == f"CONNECT {o.authority} HTTP/1.1"
    assert (line.status, line.up, line.down, line.end) == ("200", "10", "10", "ok")
    assert line.destination == o.authority
