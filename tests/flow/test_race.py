"""Sites with several addresses: which are connected to, when, and what becomes of those that lose.

All happens in two networks of the test's own, with a cable between them: the client, the proxy and
the name server in one, the sites in the other.
"""

import queue
import signal
import subprocess
import threading
import time

import pytest

import space
from daemon import poll
from nameserver import A, AAAA
from peers import TIMEOUT, hello, response, serve

pytestmark = pytest.mark.skipif(
    not space.is_possible(), reason="it takes root to make network namespaces"
)

# Seconds until the next address is tried beside one that is silent, which are 0.25; the loop's
# clock may be some milliseconds behind.
STAGGER = 0.2
FIRST, SECOND = 0.4, 0.02  # how much later than with IPv4 alone a page may come, seconds
ROUNDS = 8  # a machine that is busy makes pages late, but not in all rounds

US = {4: "198.51.100.1", 6: "2001:db8:1::1"}
SITE = {4: "198.51.100.2", 6: "2001:db8:1::2"}
SLOW = {4: "198.51.100.3", 6: "2001:db8:1::3"}
DROPPED = {4: "203.0.113.{}", 6: "2001:db8:2::{}"}  # nothing ever comes back
UNREACHABLE = "2001:db8:3::{}"  # a router says so
NO_ROUTE = "2001:db8:4::{}"  # this machine says so

MACS = {"inside": "02:00:00:00:00:01", "outside": "02:00:00:00:00:02"}
NOBODY = "02:00:00:00:00:99"


class Networks:
    """`inside` is where the proxy is, `outside` where sites are."""

    def __init__(self):
        self.inside, self.outside = space.Space(), space.Space()
        self.inside.join(self.outside, f"{US[4]}/24", f"{SITE[4]}/24")
        for name, end in (("inside", self.inside), ("outside", self.outside)):
            end.ip(f"link set cable address {MACS[name]}")
        self.inside.ip(f"-6 addr add {US[6]}/64 dev cable nodad")
        self.outside.ip(f"addr add {SLOW[4]}/24 dev cable")
        for address in SITE[6], SLOW[6]:
            self.outside.ip(f"-6 addr add {address}/64 dev cable nodad")
        # Who is where need not be asked for, so that it can be mistaken: see deaf().
        for version in (4, 6):
            for address in SITE[version], SLOW[version]:
                self._neighbour(self.inside, address, MACS["outside"])
            self.answer(version)
        self.outside.ip("addr add 203.0.113.254/32 dev lo")
        with self.outside:
            subprocess.run(
                ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"],
                check=True,
            )
        for prefix, fate in (("2001:db8:2::/48", "blackhole"), ("2001:db8:3::/48", "unreachable")):
            self.inside.ip(f"-6 route add {prefix} via {SITE[6]}")
            self.outside.ip(f"-6 route add {fate} {prefix}")
        self.inside.ip(f"route add 203.0.113.0/24 via {SITE[4]}")
        self.outside.ip("route add blackhole 203.0.113.0/24")
        self.inside.ip("-6 route add unreachable 2001:db8:4::/48")

    def _neighbour(self, where, address, mac):
        where.ip(f"neigh replace {address} lladdr {mac} dev cable nud permanent")

    def deaf(self, version):
        """What comes from the sites goes astray."""
        self._neighbour(self.outside, US[version], NOBODY)

    def answer(self, version):
        self._neighbour(self.outside, US[version], MACS["inside"])

    def resets(self):
        """How many connections the sites' machine has refused."""
        with self.outside:
            told = subprocess.run(
                ["cat", "/proc/net/snmp"], check=True, capture_output=True, text=True
            ).stdout
        names, values = (line.split() for line in told.splitlines() if line.startswith("Tcp:"))
        return int(values[names.index("OutRsts")])

    def close(self):
        self.inside.close()
        self.outside.close()


@pytest.fixture
def net():
    networks = Networks()
    yield networks
    networks.close()


@pytest.fixture
def site(net, origin):
    """site(address, port): a running site that closes after each page."""

    def page(c):
        c.next_request()
        c.send(response(b"page", fields=[("Connection", "close")]))

    def start(address=SITE[4], port=0):
        with net.outside:
            return origin(page, host=address, port=port)

    return start


def proxy_that_asks(proxy, server, config):
    """It may go everywhere."""
    everywhere = {"allow_addresses": ["0.0.0.0/0", "::/0"]}
    return proxy(resolver={"servers": [server.address]}, access=everywhere, workers=1, **config)


@pytest.fixture
def proxy_in(net, proxy, names):
    """proxy_in({name: addresses}, ...): a proxy that knows these names."""

    def start(hosts, **config):
        lines = "".join(f"{a} {n}.test\n" for n, addresses in hosts.items() for a in addresses)
        with net.inside:
            return proxy_that_asks(proxy, names(lines), config)

    return start


@pytest.fixture
def proxy_asking(net, proxy, scripted):
    """proxy_asking(script, ...): a proxy that asks a scripted name server."""

    def start(script, **config):
        with net.inside:
            return proxy_that_asks(proxy, scripted(script), config)

    return start


@pytest.fixture
def fetch(net, client):
    """fetch(proxy, how, authority): the seconds until the page has come."""

    def ask(proxy, how, authority):
        with net.inside:
            c = client(proxy)
        began = time.monotonic()
        if how == "CONNECT":
            assert c.connect_to(authority).status == 200
            got = c.get("/", fields=[("Host", authority)])
        else:
            got = c.get(f"http://{authority}/")
        took = time.monotonic() - began
        assert got.body == b"page"
        c.close()
        return took

    return ask


def connecting(proxy):
    """The addresses that the proxy, and whoever is with it, is connecting to just now."""

    def look():
        remotes = []
        for table in "tcp", "tcp6":
            with open(f"/proc/{proxy.pid}/net/{table}", encoding="ascii") as f:
                fields = [line.split() for line in f.readlines()[1:]]
            remotes += [words[2] for words in fields if words[3] == "02"]
        return remotes

    # The two tables are not read in one moment.
    before, now = look(), look()
    while before != now:
        before, now = now, look()
    return now


BROKEN = {
    "dropped": DROPPED[6].format(1),
    "refused": SITE[6],
    "unreachable": UNREACHABLE.format(1),
    "no route": NO_ROUTE.format(1),
    "slow": SLOW[6],
}
SILENT = ("dropped", "slow")


@pytest.mark.parametrize("how", ["GET", "CONNECT"])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_site_with_broken_ipv6_is_as_fast_as_one_without(
    net, proxy_in, site, fetch, broken, how
):
    s = site()
    slow = site(SLOW[6], s.port)
    if broken == "slow":
        net.deaf(6)
    hosts = {f"alone{i}": [SITE[4]] for i in range(ROUNDS)}
    hosts.update({f"both{i}": [SITE[4], BROKEN[broken]] for i in range(ROUNDS)})
    p = proxy_in(hosts, family="prefer-ipv6")
    told = []
    for i in range(ROUNDS):
        alone, alone_again, both, both_again = (
            fetch(p, how, f"{name}{i}.test:{s.port}")
            for name in ("alone", "alone", "both", "both")
        )
        # IPv6 was tried first, or there is nothing to be fast in spite of.
        assert broken not in SILENT or both >= STAGGER
        told.append((both - alone, both_again - alone_again))
        if told[-1][0] <= FIRST and told[-1][1] <= SECOND:
            break
    else:
        raise AssertionError(f"seconds later than with IPv4 alone: {told}")
    lines = p.access(4 * len(told))
    assert {line.destination for line in lines} == {f"{SITE[4]}:{s.port}"}
    net.answer(6)
    with net.outside:
        assert [bytes(c.received) for c in slow.accepted() if c.received] == []


def test_the_winner_is_remembered_until_a_reload(net, proxy_in, site, fetch):
    s = site()
    p = proxy_in({"both": [SITE[4], DROPPED[6].format(1)]}, family="prefer-ipv6")
    authority = f"both.test:{s.port}"
    assert fetch(p, "GET", authority) >= STAGGER
    # By tunnels as well as by requests: the least of some, on a machine that may be busy.
    assert min(fetch(p, how, authority) for how in ("CONNECT", "GET") * 4) < STAGGER
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
    poll(lambda: fetch(p, "CONNECT", authority) >= STAGGER, "a race without a favourite")


def test_whoever_loses_is_closed_before_a_byte(net, proxy_in, site, client):
    """Both answer while the proxy does not look: it finds two connections, and one wins."""
    s = site()
    s6 = site(SITE[6], s.port)
    p = proxy_in({"both": [SITE[4], SITE[6]]}, timeouts={"connect": 60})
    for how in "GET", "CONNECT":
        net.deaf(4)
        net.deaf(6)
        with net.inside:
            c = client(p, timeout=60)
        authority = f"both.test:{s.port}"
        c.request(how, authority if how == "CONNECT" else f"http://{authority}/")
        poll(lambda: len(connecting(p)) == 2, "two attempts", 60)
        seen = len(s.connections), len(s6.connections)
        with p.halted():
            net.answer(4)
            net.answer(6)
            both = s.connection(seen[0], 60), s6.connection(seen[1], 60)
        if how == "GET":
            assert c.recv_response().body == b"page"
        else:
            assert c.recv_head().status == 200
            assert c.get("/", fields=[("Host", "both.test")]).body == b"page"
        for connection in both:
            connection.wait_finished(60)
        winners = [o for o in both if o.requests]
        assert len(winners) == 1
        assert [bytes(o.received) for o in both if o is not winners[0]] == [b""]
        # A proper end, or a reset: but over.
        assert all(o.ended or o in winners for o in both)


def test_the_first_may_win_while_the_second_is_under_way(net, proxy_in, site, client):
    s = site(SITE[6])
    p = proxy_in(
        {"late": [SITE[6], DROPPED[4].format(1)]}, family="prefer-ipv6", timeouts={"connect": 60}
    )
    net.deaf(6)
    with net.inside:
        c = client(p, timeout=60)
    c.request("GET", f"http://late.test:{s.port}/")
    poll(lambda: len(connecting(p)) == 2, "two attempts", 60)
    net.answer(6)
    assert c.recv_response().body == b"page"
    assert p.access()[0].destination == f"[{SITE[6]}]:{s.port}"
    poll(lambda: connecting(p) == [], "the other to be given up", 60)


@pytest.mark.parametrize("how", ["GET", "CONNECT"])
def test_two_at_once_and_a_third_after_a_while(net, proxy_in, client, how):
    silent = [DROPPED[v].format(i) for v in (4, 6) for i in range(1, 5)]
    p = proxy_in({"many": silent}, timeouts={"connect": 3})
    most, tried, over = 0, set(), threading.Event()

    def watch():
        nonlocal most
        while not over.is_set():
            now = connecting(p)
            most = max(most, len(now))
            tried.update(now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with net.inside:
            c = client(p, timeout=60)
        target = "many.test:8080" if how == "CONNECT" else "http://many.test:8080/"
        assert c.ask(how, target).status == 504
    finally:
        over.set()
        watcher.join()
    assert most == 2
    assert 3 <= len(tried) <= 6
    # Of each family one goes first.
    assert {len(remote) for remote in tried} == {len("00000000:0000"), len("0" * 32 + ":0000")}
    assert p.access()[0].end == "connect_timeout"


def test_six_attempts_in_all(net, proxy_in, client):
    addresses = [f"198.51.100.{100 + i}" for i in range(8)]
    for address in addresses:
        net.outside.ip(f"addr add {address}/24 dev cable")
    p = proxy_in({"refusing": addresses})
    before = net.resets()
    with net.inside:
        c = client(p)
    assert c.get("http://refusing.test:81/").status == 502
    assert p.access()[0].end == "refused"
    assert net.resets() - before == 6


class Families:
    """A name server's script: all names have these addresses, of which one family may be held back."""

    def __init__(self, *addresses, ttl=60):
        self.addresses, self.ttl = addresses, ttl
        self.hold = None
        self.held = queue.Queue()

    def __call__(self, query):
        if query.kind == self.hold:
            self.held.put(query)
        else:
            query.addresses(*self.addresses, ttl=self.ttl)

    def release(self):
        self.held.get(timeout=TIMEOUT).addresses(*self.addresses, ttl=self.ttl)


def test_six_attempts_in_all_when_the_remembered_one_comes_late(
    net, proxy_asking, site, fetch, client
):
    refusing = [f"198.51.100.{100 + i}" for i in range(3)]
    refusing6 = [f"2001:db8:1::{100 + i}" for i in range(5)]
    for address in refusing:
        net.outside.ip(f"addr add {address}/24 dev cable")
    for address in refusing6:
        net.outside.ip(f"-6 addr add {address}/64 dev cable nodad")
    s = site()
    families = Families(SITE[4], *refusing, *refusing6, ttl=0)
    p = proxy_asking(families, family="prefer-ipv6")
    sockets = p.descriptors("socket")
    fetch(p, "GET", f"a.test:{s.port}")
    s.stop()
    # It may have to be told by a reset, which is none of those that count.
    poll(lambda: p.descriptors("socket") == sockets, "the end of the connection that was kept")
    families.hold = A
    before = net.resets()
    with net.inside:
        c = client(p)
    c.request("GET", f"http://a.test:{s.port}/")
    poll(lambda: net.resets() - before == 5, "all IPv6 addresses to be tried")
    families.release()
    assert c.recv_response().status == 502
    assert net.resets() - before == 6


def test_the_winner_is_remembered_when_the_other_family_was_not_known_yet(
    net, proxy_asking, site, fetch, client
):
    s = site()
    families = Families(SITE[4], DROPPED[6].format(1))
    p = proxy_asking(families, family="prefer-ipv6")
    told = []
    for i in range(ROUNDS):
        families.hold = AAAA
        fetch(p, "GET", f"a{i}.test:{s.port}")
        families.hold = None
        families.release()
        # Once this is answered the proxy has heard the other, too.
        fetch(p, "GET", f"alone{i}.test:{s.port}")
        told.append(fetch(p, "GET", f"a{i}.test:{s.port}"))
        if told[-1] < STAGGER:
            break
    else:
        raise AssertionError(f"seconds: {told}")


def test_a_kept_connection_is_used_while_others_are_being_made(net, proxy_asking, origin, client):
    with net.outside:
        s = origin(serve(hello), host=SITE[4])
    families = Families(SITE[4], DROPPED[6].format(1), ttl=0)
    p = proxy_asking(families, family="prefer-ipv6")
    url = f"http://a.test:{s.port}/"
    with net.inside:
        c = client(p)
    assert c.get(url).status == 200
    families.hold = A
    c.request("GET", url)
    poll(lambda: len(connecting(p)) == 1, "an attempt")
    families.release()
    assert c.recv_response().status == 200
    assert len(s.connections) == 1
    poll(lambda: connecting(p) == [], "the attempt to be given up")


@pytest.mark.parametrize(
    "family, name, to",
    [
        ("ipv4", "both", 4),
        ("ipv6", "both", 6),
        ("prefer-ipv4", "both", 4),
        ("prefer-ipv6", "both", 6),
        ("prefer-ipv4", "six", 6),
        ("prefer-ipv6", "four", 4),
        ("ipv4", "six", "no IPv4 address"),
        ("ipv6", "four", "no IPv6 address"),
    ],
)
def test_family(net, proxy_in, site, client, family, name, to):
    s = site(SITE[4])
    site(SITE[6], s.port)
    hosts = {"both": [SITE[4], SITE[6]], "four": [SITE[4]], "six": [SITE[6]]}
    p = proxy_in(hosts, family=family)
    for method in "GET", "CONNECT":
        with net.inside:
            c = client(p)
        target = f"http://{name}.test:{s.port}/" if method == "GET" else f"{name}.test:{s.port}"
        if to in SITE:
            head = c.get(target).head if method == "GET" else c.connect_to(target)
            assert head.status == 200
            c.close()
        else:
            refused = c.ask(method, target)
            assert refused.status == 502
            assert to in refused.text
    if to in SITE:
        destination = {4: f"{SITE[4]}:{s.port}", 6: f"[{SITE[6]}]:{s.port}"}[to]
        assert [line.destination for line in p.access(2)] == [destination] * 2
    else:
        assert [line.end for line in p.access(2)] == ["dns_not_found"] * 2
