"""The proxy never connects to itself, whatever is allowed, however its address is written."""

import os
import socket

import pytest

from daemon import poll
from space import Space, is_possible

ALL = ["0.0.0.0/0", "::/0"]
BOTH = pytest.mark.parametrize("method", ["GET", "CONNECT"])


def place(address, port=0):
    return {"address": address, "port": port}


def open_to_all(proxy, *places, **options):
    access = {"allow_addresses": ALL, "clients": ALL, "connect_ports": ["1-65535"]}
    listen = [place(*p) for p in places] or None
    return proxy(listen=listen, access=access, timeouts={"drain": 0}, **options)


class Answer:
    """To a CONNECT: without what a tunnel carries."""

    def __init__(self, c):
        self.head = c.recv_head()
        self.status, self.get = self.head.status, self.head.get
        self.text = c.recv_exact(int(self.get("Content-Length", "0"))).decode("utf-8")


def ask(c, method, authority):
    if method != "CONNECT":
        return c.ask(method, f"http://{authority}/")
    c.request(method, authority)
    return Answer(c)


def assert_denied(p, c, method, authority):
    answer = ask(c, method, authority)
    assert answer.status == 403, authority
    assert answer.get("Proxy-Status").startswith("penstock; error=destination_ip_prohibited")
    assert answer.text.endswith(": address_denied\n")


def assert_not_denied(c, method, authority):
    """Nobody needs to be there."""
    assert ask(c, method, authority).status in (200, 502, 504), authority


def assert_nobody_came(p, clients):
    """Those are all: nothing else than our own connections ever came in."""
    p.stop()
    assert int(p.wait_line(r"penstock_clients_total (\d+)")[1]) == clients


# ---- the address as it is listened on -----------------------------------------------------------

SPELLED = ["127.0.0.1", "127.1", "0x7f000001", "017700000001", "2130706433", "[::ffff:127.0.0.1]"]
ANY = ["0.0.0.0", "0", "[::ffff:0.0.0.0]", "[::ffff:0:0]"]


@BOTH
def test_own_address_in_every_spelling(proxy, client, method):
    p = open_to_all(proxy, ("127.0.0.1",))
    c = client(p)
    for host in SPELLED + ANY + ["localhost", "LocalHost."]:
        assert_denied(p, c, method, f"{host}:{p.port}")
    assert_nobody_came(p, 1)


@BOTH
def test_no_rule_leads_here(proxy, client, origin, method):
    rules = [{"address": ["special", "loopback", *ALL], "port": "1-65535", "action": "allow"}]
    p = proxy(access={"allow_addresses": None, "connect_ports": ["1-65535"], "rules": rules})
    c = client(p)
    for host in ["127.0.0.1", "localhost", "0.0.0.0"]:
        assert_denied(p, c, method, f"{host}:{p.port}")
    o = origin()
    assert ask(client(p), method, o.authority).status == 200


@BOTH
def test_own_ipv6_address_in_every_spelling(proxy, client, method):
    p = open_to_all(proxy, ("::1",), ("127.0.0.1",))
    c = client(("::1", p.ports[0]))
    for host in ["[::1]", "[0:0:0:0:0:0:0:1]", "[::0.0.0.1]", "[::]", "[0::0]"]:
        assert_denied(p, c, method, f"{host}:{p.ports[0]}")
    assert_nobody_came(p, 1)


@BOTH
def test_all_of_several_places(proxy, client, method):
    p = open_to_all(proxy, ("127.0.0.1",), ("127.0.0.3",), ("::1",), ("127.0.0.1",))
    c = client(p)
    for host, port in zip(["127.0.0.1", "127.0.0.3", "[::1]", "127.0.0.1"], p.ports):
        assert_denied(p, c, method, f"{host}:{port}")
    assert_nobody_came(p, 1)


@BOTH
def test_others_at_our_port_and_at_our_address(proxy, client, origin, method):
    p = open_to_all(proxy, ("127.0.0.1",))
    at_our_port, at_our_address = origin(host="127.0.0.77", port=p.port), origin(host="127.0.0.1")
    for o in (at_our_port, at_our_address):
        assert ask(client(p), method, o.authority).status == 200


@BOTH
def test_name_of_ours_leads_to_the_other_address_only(proxy, client, origin, names, method):
    server = names("127.0.0.1 a.test\n127.0.0.78 a.test\n127.0.0.1 b.test\n")
    p = open_to_all(proxy, ("127.0.0.1",), resolver={"servers": [server.address]})
    other = origin(host="127.0.0.78", port=p.port)
    for _ in range(3):
        assert ask(client(p), method, f"a.test:{p.port}").status == 200
    assert_denied(p, client(p), method, f"b.test:{p.port}")
    assert len(other.accepted()) >= 1
    assert_nobody_came(p, 4)


# ---- all addresses ------------------------------------------------------------------------------


@BOTH
def test_all_addresses_of_loopback(proxy, client, method):
    p = open_to_all(proxy, ("0.0.0.0",), ("::",))
    c = client(p)
    for host in SPELLED + ANY + ["127.0.0.2", "127.255.255.254"]:
        assert_denied(p, c, method, f"{host}:{p.ports[0]}")
    for host in ["[::1]", "[::]"]:
        assert_denied(p, c, method, f"{host}:{p.ports[1]}")
    assert_nobody_came(p, 1)


@BOTH
def test_a_wildcard_is_of_its_family(proxy, client, origin, method):
    """As opened by us "::" is IPv6 alone: IPv4 at that port is somebody else."""
    p = open_to_all(proxy, ("::",), ("127.0.0.1",))
    o = origin(host="127.0.0.79", port=p.ports[0])
    c = client(("127.0.0.1", p.ports[1]))
    assert ask(c, method, o.authority).status == 200


@BOTH
@pytest.mark.parametrize("only", [0, 1])
def test_inherited_sockets(proxy, client, method, only):
    with socket.socket(socket.AF_INET6) as wild, socket.socket() as exact:
        wild.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        wild.bind(("::", 0))
        exact.bind(("127.0.0.1", 0))
        wild.listen()
        exact.listen()
        p = open_to_all(proxy, sockets={"wild": wild, "exact": exact})
        c = client(("127.0.0.1", p.ports[1]))
        assert_denied(p, c, method, f"127.0.0.1:{p.ports[1]}")
        for host in ("[::1]", "[::]"):
            assert_denied(p, c, method, f"{host}:{p.ports[0]}")
        if only:
            assert ask(c, method, f"127.0.0.1:{p.ports[0]}").status == 502
        else:
            assert_denied(p, c, method, f"127.0.0.1:{p.ports[0]}")
        assert_nobody_came(p, 1)


@BOTH
def test_inherited_mapped_address(proxy, client, method):
    with socket.socket(socket.AF_INET6) as mapped:
        mapped.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        mapped.bind(("::ffff:127.0.0.1", 0))
        mapped.listen()
        p = open_to_all(proxy, sockets={"mapped": mapped})
        c = client(("127.0.0.1", p.port))
        for host in SPELLED + ANY:
            assert_denied(p, c, method, f"{host}:{p.port}")
        assert_nobody_came(p, 1)


# ---- addresses come and go ----------------------------------------------------------------------


@pytest.fixture
def spaces():
    if not is_possible():
        pytest.skip("makes network namespaces, which takes root")
    made = [Space(), Space()]
    yield made
    for space in made:
        space.close()


@BOTH
def test_all_addresses_of_this_machine(proxy, client, origin, spaces, method):
    """Those it has, those it gets later, and networks that are routed to it; and no others."""
    here, there = spaces
    here.join(there, "10.9.0.1/24", "10.9.0.2/24")
    here.add("2001:db8:9::1/64", "cable")
    there.add("2001:db8:9::2/64", "cable")
    with there:
        others = [origin(host="10.9.0.2", port=3128), origin(host="2001:db8:9::2", port=3128)]
    with here:
        p = open_to_all(proxy, ("0.0.0.0", 3128), ("::", 3128))
        c = client(p)
        own = ["10.9.0.1", "[2001:db8:9::1]", "[::ffff:10.9.0.1]"]
        for host in own:
            assert_denied(p, c, method, f"{host}:3128")
        here.add("10.9.0.50/24", "cable")  # a second one in its network
        here.add("10.9.0.51/32", "lo")
        here.add("2001:db8:7::1/128", "lo")
        here.ip("route add local 192.0.2.0/24 dev lo")
        here.ip("route add local 2001:db8:8::/64 dev lo")
        own += ["10.9.0.50", "10.9.0.51", "192.0.2.77", "[2001:db8:7::1]", "[2001:db8:8::5]"]
        for host in own:
            assert_denied(p, c, method, f"{host}:3128")
            assert ask(c, method, f"{host}:1").status == 502  # nobody is there, and may be
        for o in others:
            assert ask(client(p), method, o.authority).status == 200
        assert_nobody_came(p, 1 + len(others))


# ---- reload -------------------------------------------------------------------------------------


def loopback(number):
    """An address that no other run of the tests uses at this time."""
    return f"127.{110 + number}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"


@BOTH
def test_listeners_that_come_and_go_by_reload(proxy, client, origin, method):
    first, second = loopback(1), loopback(2)
    p = open_to_all(proxy, ("127.0.0.1",), (first, 3128))
    c = client(p)
    assert_denied(p, c, method, f"{first}:3128")
    assert_not_denied(client(p), method, f"{second}:3128")
    p.reload(listen=[place("127.0.0.1"), place(second, 3128)])
    p.wait_line(f"no longer listening on {first}")
    assert_denied(p, c, method, f"{second}:3128")
    # A moment later its sockets are closed, and somebody else may have the port.
    o = origin_once_free(origin, first)
    assert ask(client(p), method, o.authority).status == 200
    assert_denied(p, c, method, f"127.0.0.1:{p.port}")


def origin_once_free(origin, host):
    def start():
        try:
            return origin(host=host, port=3128)
        except OSError:
            return None

    return poll(start, f"{host}:3128 to be free")
