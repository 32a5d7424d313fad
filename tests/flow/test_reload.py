"""Reload and stop under load: nothing that was accepted is dropped."""

import os
import signal
import socket
import threading
import time

import pytest

import daemon
from peers import TIMEOUT, Client, Closed, request

RELOADS = 100
SECONDS = 10
WARM = 10


def loopback(number):
    """An address of this machine that no other run of the tests uses at this time."""
    return f"127.{100 + number}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"


def place(address="127.0.0.1", port=0):
    return {"address": address, "port": port}


def echo(c):
    while True:
        c.send(c.recv_some())


def answers(address, url):
    c = Client(address)
    try:
        return c.get(url, [("Connection", "close")]).status
    finally:
        c.close()


class Load:
    """Threads that each do something again and again, until the load ends or one fails."""

    def __init__(self):
        self.over = threading.Event()
        self.failures = []
        self.counts = {}
        self._threads = []

    def add(self, name, act):
        self.counts.setdefault(name, 0)
        self._threads.append(threading.Thread(target=self._run, args=(name, act), daemon=True))
        self._threads[-1].start()

    def _run(self, name, act):
        try:
            while not self.over.is_set():
                act()
                self.counts[name] += 1
        except Exception as error:  # whatever it is, the test fails with it
            self.failures.append(f"{name}: {error!r}")
            self.over.set()

    def end(self):
        self.over.set()
        for thread in self._threads:
            thread.join(TIMEOUT)
        assert self.failures == []
        return self.counts


@pytest.fixture
def load():
    running = Load()
    yield running
    running.over.set()


def all_shapes(load, p, o, mirror):
    """Keep-alive, new connections and tunnels, all on the first place."""
    kept = [Client(p.address) for _ in range(4)]
    tunnels = [Client(p.address) for _ in range(4)]
    for c in tunnels:
        assert c.connect_to(mirror.authority).status == 200

    def keep_alive(c):
        message = c.get(o.url())
        assert (message.status, message.body) == (200, b"hello\n")

    def new():
        assert answers(p.address, o.url()) == 200

    def tunnel(c):
        c.send(b"0123456789abcdef" * 64)
        assert c.recv_exact(1024) == b"0123456789abcdef" * 64
        c.received.clear()
        c.pos = 0

    for c in kept:
        load.add("keep-alive", lambda c=c: keep_alive(c))
    for c in tunnels:
        load.add("tunnel", lambda c=c: tunnel(c))
    for _ in range(2):
        load.add("new", new)
    return kept + tunnels


def test_a_hundred_reloads_drop_nothing(proxy, origin, load):
    o, mirror = origin(), origin(echo)
    p = proxy()
    sockets = p.descriptors("socket")
    one = [place(), place(loopback(1), 3128), place(loopback(2)), place("::1")]
    two = [place(loopback(1), 3129), place(), place(loopback(2))]
    clients = all_shapes(load, p, o, mirror)
    memory = 0
    began = time.monotonic()
    for i in range(RELOADS + WARM):
        if i == WARM:
            memory, began = p.status("VmRSS"), time.monotonic()
        p.reload(listen=(one, two)[i % 2], name=f"name{i % 2}", limits={"head": 65536 + i % 2})
        # The pace, unless a load fails.
        load.over.wait(max(0, began + (i - WARM + 1) * SECONDS / RELOADS - time.monotonic()))
        assert load.failures == []
    counts = load.end()
    assert min(counts.values()) >= RELOADS, counts
    for text in (f"listening on {loopback(1)}:3128", f"listening on {loopback(1)}:3129"):
        opened = sum(line.endswith(" " + text) for line in p.lines)
        closed = sum(line.endswith(" no longer " + text) for line in p.lines)
        assert opened - closed == (RELOADS + WARM) // 2, (text, opened, closed)
    assert not any("127.0.0.1:" in line for line in p.lines if "no longer listening" in line)
    p.reload()
    for c in clients:
        c.close()
    for each in (o, mirror):
        each.stop()
    daemon.poll(lambda: p.descriptors("socket") == sockets, "descriptors to be what they were")
    if not daemon.sanitized():
        assert p.status("VmRSS") <= memory * 1.1 + 512


def test_a_configuration_is_freed_with_the_last_that_uses_it(proxy, client, origin):
    mirror, o = origin(echo), origin()
    p = proxy(workers=1)
    tunnels = []
    for i in range(3):
        tunnels.append(client(p))
        assert tunnels[-1].connect_to(mirror.authority).status == 200
        p.reload(name=f"name{i}")
        new = client(p)
        daemon.poll(lambda: new.get(o.url()).get("Via") == f"1.1 name{i}", "the new name")
        p.wait_line("a configuration is not judged by any more", count=i + 1)
    assert freed(p) == 0
    for i, c in enumerate(tunnels):
        c.send(b"still here")
        assert c.recv_exact(10) == b"still here"
        c.close()
        p.wait_line("a configuration is not used any more", count=i + 1)
    assert freed(p) == 3


def freed(p):
    return sum("a configuration is not used any more" in line for line in p.lines)


def test_the_access_log_moves(proxy, client, origin):
    o = origin()
    p = proxy()
    c = client(p)
    assert c.get(o.url("/one")).status == 200
    other = p.access_path + ".other"
    p.write_config(log={"access": os.path.join(p.folder, "no", "log")}, name="second")
    p.signal(signal.SIGHUP)
    p.wait_line(rf"{p.config_path}: cannot open the access log .*No such file.*nothing has changed")
    assert c.get(o.url("/two")).get("Via") == "1.1 penstock"
    p.reload(log={"access": other}, name="second")
    daemon.poll(lambda: c.get(o.url("/three")).get("Via") == "1.1 second", "the new name")
    assert [line.request.split("/")[-2][:3] for line in p.access(2)][:2] == ["one", "two"]
    assert "/three " in p.access(1, path=other)[-1].request
    p.reload(log={"access": ""}, name="third")
    daemon.poll(lambda: c.get(o.url("/four")).get("Via") == "1.1 third", "the new name")
    p.reload(log={"access": other}, name="fourth")
    daemon.poll(lambda: c.get(o.url("/five")).get("Via") == "1.1 fourth", "the new name")
    daemon.poll(lambda: "/five " in p.access(path=other)[-1].request, "the last line")


def test_other_name_servers(proxy, client, origin, names):
    o = origin()
    first, second = names("127.0.0.1 a.test\n"), names("127.0.0.1 a.test b.test\n")
    p = proxy(resolver={"servers": [first.address]}, workers=1)
    c = client(p)
    assert c.get(f"http://a.test:{o.port}/").status == 200
    assert c.get(f"http://b.test:{o.port}/").status == 502
    p.reload(resolver={"servers": [second.address]})
    daemon.poll(lambda: c.get(f"http://b.test:{o.port}/").status == 200, "the new server")
    assert second.queries("a.test") == 0
    assert c.get(f"http://a.test:{o.port}/").status == 200
    assert second.queries("a.test") > 0  # what the other server said is forgotten


def test_a_lookup_under_way_goes_on_at_the_new_server(proxy, client, origin, names):
    o = origin()
    good = names("127.0.0.1 a.test\n")
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(TIMEOUT)
        p = proxy(resolver={"servers": ["127.0.0.1:%d" % silent.getsockname()[1]]})
        c = client(p)
        c.request("GET", f"http://a.test:{o.port}/")
        silent.recv(4096)
        p.reload(resolver={"servers": [good.address]})
        assert c.recv_response().status == 200


# ---- places -------------------------------------------------------------------------------------


def test_a_place_is_added_and_removed(proxy, client, origin):
    o = origin()
    p = proxy()
    extra = (loopback(3), 3128)
    p.reload(listen=[place(), place(*extra)])
    p.wait_line(f"listening on {extra[0]}:3128")
    assert answers(extra, o.url()) == 200
    kept = client(extra)
    assert kept.get(o.url()).status == 200
    p.reload()
    p.wait_line(f"no longer listening on {extra[0]}:3128")
    daemon.poll(lambda: refuses(extra), "the end of listening")
    assert kept.get(o.url()).status == 200
    assert answers(p.address, o.url()) == 200
    assert sum("listening on 127.0.0.1" in line for line in p.lines) == 1


def test_a_place_that_comes_back_at_once(proxy, client, origin):
    o = origin()
    extra = (loopback(4), 3128)
    p = proxy(listen=[place(), place(*extra)])
    for _ in range(3):
        p.reload(listen=[place()])
        p.reload()
        assert answers(extra, o.url()) == 200


def test_from_one_address_to_all_and_back(proxy, client, origin):
    """The kernel would take both for a conflict.  Of a port that no connection is given by chance."""
    o = origin()
    p = proxy(listen=[place(loopback(5), 20000 + os.getpid() % 12000)])
    address = (loopback(5), p.port)
    for there in ("0.0.0.0", loopback(5)):
        p.reload(listen=[place(there, p.port)])
        assert answers(address, o.url()) == 200


def test_a_place_that_is_taken_fails_the_reload_as_a_whole(proxy, client, origin):
    o = origin()
    p = proxy()
    c = client(p)
    with socket.create_server((loopback(6), 0)) as taken:
        port = taken.getsockname()[1]
        new = [place(loopback(7), 3128), place(loopback(6), port)]
        p.write_config(listen=new, name="second")
        p.signal(signal.SIGHUP)
        p.wait_line(
            rf"{p.config_path}: cannot listen on {loopback(6)}:{port}: "
            "Address already in use; nothing has changed"
        )
        assert refuses((loopback(7), 3128))
        assert c.get(o.url()).get("Via") == "1.1 penstock"
        assert answers(p.address, o.url()) == 200
    assert not any("no longer" in line for line in p.lines)
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
    assert answers((loopback(7), 3128), o.url()) == 200
    daemon.poll(lambda: refuses(p.address), "the end of listening")


def refuses(address):
    try:
        Client(address).close()
    except ConnectionRefusedError:
        return True
    return False


# ---- connections in the queue -------------------------------------------------------------------


def queue(client, address, o, count=20):
    clients = [client(address) for _ in range(count)]
    for c in clients:
        c.request("GET", o.url())
    return clients


def test_the_queue_of_a_removed_place_is_served(proxy, client, origin):
    o = origin()
    p = proxy(listen=[place(), place(loopback(8), 3128)])
    with p.halted():
        clients = queue(client, (loopback(8), 3128), o)
        p.write_config(listen=[place()])
        p.signal(signal.SIGHUP)
    for c in clients:
        assert c.recv_response().status == 200
    daemon.poll(lambda: refuses((loopback(8), 3128)), "the end of listening")


def test_the_queue_is_served_before_the_end(proxy, client, origin):
    o = origin()
    p = proxy(timeouts={"drain": 30})
    idle = client(p)
    assert idle.get(o.url()).status == 200
    late = client(p)
    assert late.get(o.url()).status == 200
    with p.halted():
        clients = queue(client, p.address, o)
        late.request("GET", o.url())
        p.signal(signal.SIGTERM)
    for c in [*clients, late]:
        assert c.recv_response().status == 200
        c.expect_closed(reset=False)
    idle.expect_closed(reset=False)
    assert p.wait_exit() == 0


def test_new_connections_until_the_end(proxy, origin, load):
    """Whoever gets in gets an answer; the others are refused."""
    o = origin()
    p = proxy(timeouts={"drain": 30})
    refused = []

    def act():
        try:
            c = Client(p.address)
        except ConnectionRefusedError:
            refused.append(1)
            if len(refused) == 6:
                load.over.set()
            return
        try:
            assert c.get(o.url()).status == 200
        except Closed as end:
            raise AssertionError(f"after {len(c.received)} bytes: {end}") from None
        finally:
            c.close()

    for _ in range(6):
        load.add("new", act)
    daemon.poll(lambda: load.counts["new"] > 100, "the load to run")
    p.signal(signal.SIGTERM)
    assert p.wait_exit() == 0
    load.end()


# ---- ending -------------------------------------------------------------------------------------


def test_waits_for_tunnels(proxy, client, origin):
    mirror = origin(echo)
    p = proxy(timeouts={"drain": 30})
    tunnel, fresh = client(p), client(p)
    assert tunnel.connect_to(mirror.authority).status == 200
    p.signal(signal.SIGTERM)
    p.wait_line("finishing")
    daemon.poll(lambda: refuses(p.address), "the end of listening")
    tunnel.send(b"still here")
    assert tunnel.recv_exact(10) == b"still here"
    fresh.expect_closed()
    assert p.alive()
    tunnel.close()
    assert p.wait_exit() == 0


@pytest.mark.parametrize("how", ["second signal", "time is up"])
def test_does_not_wait_for_tunnels_for_ever(proxy, client, origin, how):
    mirror = origin(echo)
    p = proxy(timeouts={"drain": 1 if how == "time is up" else 60})
    tunnel = client(p)
    assert tunnel.connect_to(mirror.authority).status == 200
    p.signal(signal.SIGTERM)
    p.wait_line("finishing")
    if how == "second signal":
        p.signal(signal.SIGTERM)
        p.wait_line("ending now")
    assert p.wait_exit() == 0
    tunnel.expect_closed()
    assert p.access()[0].end == "shutdown"


def test_a_request_that_begins_before_the_end_may_take_its_time(proxy, client, origin):
    o = origin()
    p = proxy(timeouts={"drain": 30})
    c = client(p)
    head = request("GET", o.url())
    c.send(head[:20])
    assert c.sock.getpeername()[1] == p.port
    p.signal(signal.SIGTERM)
    p.wait_line("finishing")
    daemon.poll(lambda: refuses(p.address), "the end of listening")
    c.send(head[20:])
    message = c.recv_response()
    assert (message.status, message.head.tokens("Connection")) == (200, ["close"])
    c.expect_closed(reset=False)
    assert p.wait_exit() == 0


def test_a_request_sent_ahead_is_served_when_the_connection_was_to_be_kept(proxy, client, origin):
    """The answer that began before the end has promised that."""
    release = threading.Event()

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        assert release.wait(TIMEOUT)
        c.send(b"more")
        c.recv_all()

    half, o = origin(handler), origin()
    p = proxy(timeouts={"drain": 30})
    c = client(p)
    c.request("GET", half.url())
    c.recv_until(b"half")
    c.request("GET", o.url())
    p.signal(signal.SIGTERM)
    p.wait_line("finishing")
    daemon.poll(lambda: refuses(p.address), "the end of listening")
    release.set()
    assert c.recv_exact(4) == b"more"
    message = c.recv_response()
    assert (message.status, message.head.tokens("Connection")) == (200, ["close"])
    c.expect_closed(reset=False)
    assert p.wait_exit() == 0


def test_no_reload_while_ending(proxy, client, origin):
    mirror = origin(echo)
    p = proxy(timeouts={"drain": 30})
    tunnel = client(p)
    assert tunnel.connect_to(mirror.authority).status == 200
    p.signal(signal.SIGTERM)
    p.wait_line("finishing")
    p.signal(signal.SIGHUP)
    p.wait_line("not read again")
    tunnel.close()
    assert p.wait_exit() == 0
