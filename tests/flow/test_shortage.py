"""Out of descriptors: accepting waits, what runs goes on, nothing spins, and all comes back."""

import os
import resource
import socket
import time

import pytest

from peers import TIMEOUT, Client, response

TICK = os.sysconf("SC_CLK_TCK")
LIMIT = 120
WATCHED = 3  # seconds for which CPU and log are watched


def set_limit(p, limit):
    hard = resource.prlimit(p.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(p.pid, resource.RLIMIT_NOFILE, (limit, hard))


def cpu_seconds(p):
    with open(f"/proc/{p.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@pytest.fixture
def crowd():
    """crowd(proxy, count): so many connections that say nothing."""
    sockets = []

    def gather(p, count):
        for _ in range(count):
            sockets.append(socket.create_connection(p.address, TIMEOUT))
        return sockets

    yield gather
    for sock in sockets:
        sock.close()


def assert_quiet(p, pattern):
    """A tenth of a second's pauses cost next to nothing, and the log has one line a second."""
    before, lines = cpu_seconds(p), sum(pattern in line for line in p.lines)
    time.sleep(WATCHED)  # what is measured is time
    assert cpu_seconds(p) - before < 0.05 * WATCHED
    told = sum(pattern in line for line in p.lines) - lines
    assert WATCHED - 1 <= told <= WATCHED + 1


@pytest.mark.parametrize("workers", [1, 3])
def test_accepting_leaves_descriptors_to_those_who_are_in(proxy, origin, client, crowd, workers):
    size = 4 << 20
    o = origin(lambda c: (c.next_request(), c.send(response(bytes(size)))))
    p = proxy(workers=workers)
    set_limit(p, LIMIT)
    inside = [client(p) for _ in range(6)]
    for c in inside:
        assert c.get("/").status == 200
    waiting = crowd(p, 3 * LIMIT)
    p.wait_line("cannot accept connections: few descriptors are left")
    assert_quiet(p, "cannot accept connections")
    assert LIMIT * 3 // 4 - 1 <= p.descriptors() <= LIMIT * 3 // 4 + 8 * workers
    for c in inside[:3]:
        c.request("GET", o.url())
    tunnel = inside[3]
    assert tunnel.connect_to(o.authority).status == 200
    tunnel.request("GET", "/")
    for c in inside[:4]:
        assert c.recv_response().body == bytes(size)
    late = client(p)  # in the queue, behind all the others
    late.request("GET", o.url())
    for sock in waiting:
        sock.close()
    assert late.recv_response().body == bytes(size)


def test_no_descriptor_at_all(proxy, origin, client, crowd):
    """The limit is lowered below what is in use: accept itself fails."""
    o = origin()
    p = proxy()
    c = client(p)
    assert c.get(o.url()).status == 200
    set_limit(p, p.descriptors())
    crowd(p, 50)
    p.wait_line("cannot accept connections: Too many open files")
    assert_quiet(p, "cannot accept connections")
    assert c.get(o.url()).status == 200  # over the connection it has
    set_limit(p, 4096)
    late = client(p)
    assert late.get(o.url()).status == 200


def test_an_exchange_that_gets_no_descriptor_is_told_so(proxy, origin, client):
    o = origin()
    p = proxy()
    c = client(p)
    assert c.get("/").status == 200
    set_limit(p, p.descriptors())
    assert c.get(o.url()).status == 503
    set_limit(p, 4096)
    assert c.get(o.url()).status == 200
    assert [line.end for line in p.access(3)] == ["ok", "no_memory", "ok"]


@pytest.mark.parametrize("first,second", [("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.2")])
def test_the_winner_is_remembered_whatever_is_lacking(proxy, origin, client, names, first, second):
    o = origin(host=first)
    server = names("127.0.0.2 a.test\n127.0.0.3 a.test\n")
    p = proxy(workers=1, resolver={"servers": [server.address], "ttl_min": 60},
              access={"allow_addresses": ["127.0.0.2/31"], "connect_ports": ["1-65535"]})
    authority = f"a.test:{o.port}"
    clients = [client(p) for _ in range(3)]
    assert clients[0].connect_to(authority).status == 200
    origin(host=second, port=o.port)
    assert [c.get("/").status for c in clients[1:]] == [200, 200]
    set_limit(p, p.descriptors())
    assert clients[1].connect_to(authority).status == 503
    set_limit(p, 4096)
    assert clients[2].connect_to(authority).status == 200
    for c in clients:
        c.close()
    lines = [line for line in p.access(5) if line.request.startswith("CONNECT")]
    at = f"{first}:{o.port}"
    assert sorted((x.end, x.destination) for x in lines) == [("no_memory", "-"), ("ok", at), ("ok", at)]


def test_idle_connections_to_origins_are_given_back(proxy, origin, client, crowd):
    o = origin()
    p = proxy(limits={"pool_idle": 3600})
    clients = [client(p) for _ in range(20)]
    for c in clients:
        c.request("GET", o.url())
    for c in clients:
        assert c.recv_response().status == 200
    set_limit(p, LIMIT)
    crowd(p, LIMIT)
    for index in range(len(o.connections)):
        o.connection(index).wait_finished()


def test_clients_beyond_the_reserve_do_not_wait_for_ever(proxy, crowd):
    """Those who are in and say nothing are closed when their time is over; others come in."""
    p = proxy(timeouts={"idle": 1})
    set_limit(p, LIMIT)
    waiting = crowd(p, 2 * LIMIT)
    p.wait_line("cannot accept connections")
    for sock in waiting:
        assert sock.recv(1) == b""
    last = Client(p.address)
    assert last.get("/").status == 200
    last.close()
