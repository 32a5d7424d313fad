"""Where connections to sites leave from, as the sites see it; in networks of the test's own."""

import ipaddress
import queue

import pytest

import space
from nameserver import A
from peers import TIMEOUT, hello, serve

pytestmark = pytest.mark.skipif(
    not space.is_possible(), reason="it takes root to make network namespaces"
)

SITE = {4: "198.51.100.2", 6: "2001:db8:1::2"}
ONE = {4: "198.51.100.77", 6: "2001:db8:77:1::1"}
MANY = {4: "192.0.2.0/24", 6: "2001:db8:77::/48"}


@pytest.fixture
def net():
    """Two networks; the sites' sends all of ONE and MANY back to the proxy's."""
    inside, outside = space.Space(), space.Space()
    inside.join(outside, "198.51.100.1/24", f"{SITE[4]}/24")
    inside.ip("-6 addr add 2001:db8:1::1/64 dev cable nodad")
    outside.ip(f"-6 addr add {SITE[6]}/64 dev cable nodad")
    for version, ours in ((4, "198.51.100.1"), (6, "2001:db8:1::1")):
        for network in ONE[version], MANY[version]:
            inside.ip(f"-{version} route add local {network} dev lo")
            outside.ip(f"-{version} route add {network} via {ours}")
    yield inside, outside
    inside.close()
    outside.close()


@pytest.fixture
def site(net, origin):
    def start(version, handler=serve(hello), port=0):
        with net[1]:
            return origin(handler, host=SITE[version], port=port)

    return start


@pytest.fixture
def proxy_from(net, proxy):
    """proxy_from(source, clients): a proxy that leaves from there, for some clients from elsewhere."""

    def start(source=None, clients=(), **config):
        rules = [{"client": [client], "source": special} for client, special in clients]
        if source:
            rules.append({"source": source})
        access = {"allow_addresses": ["0.0.0.0/0", "::/0"], "rules": rules}
        with net[0]:
            return proxy(access=access, workers=1, **config)

    return start


def ask(net, client, proxy, how, site, source=None):
    with net[0]:
        c = client(proxy, source=source)
    if how == "CONNECT":
        assert c.connect_to(site.authority).status == 200
        assert c.get("/").status == 200
    else:
        assert c.get(site.url()).status == 200
    c.close()


def peers_of(site):
    return [ipaddress.ip_address(c.peer[0]) for c in site.connections]


@pytest.mark.parametrize("how", ["GET", "CONNECT"])
@pytest.mark.parametrize("version", [4, 6])
def test_an_address(net, proxy_from, site, client, version, how):
    s = site(version)
    p = proxy_from(ONE[version])
    ask(net, client, p, how, s)
    assert peers_of(s) == [ipaddress.ip_address(ONE[version])]


@pytest.mark.parametrize("user", ["", "nobody"])
@pytest.mark.parametrize("how", ["GET", "CONNECT"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_prefix(net, proxy_from, site, client, version, how, user):
    """Another address for each connection, and no privilege is needed for it."""
    s = site(version)
    # Nothing is kept, or there would be one connection.
    p = proxy_from(MANY[version], user=user, limits={"pool": 0}, log={"access": ""})
    for _ in range(20):
        ask(net, client, p, how, s)
    seen = peers_of(s)
    assert len(seen) == 20
    assert all(peer in ipaddress.ip_network(MANY[version]) for peer in seen)
    assert len(set(seen)) > (18 if version == 6 else 10)


def test_a_kept_connection_is_used_by_its_own_source_only(net, proxy_from, site, client):
    s = site(6)
    p = proxy_from(clients=[("127.0.0.2", ONE[6]), ("127.0.0.3", MANY[6])])
    for _ in range(2):
        for us in "127.0.0.1", "127.0.0.2", "127.0.0.3":
            ask(net, client, p, "GET", s, us)
    seen = peers_of(s)
    assert len(seen) == 3
    assert seen[0] == ipaddress.ip_address("2001:db8:1::1")
    assert seen[1] == ipaddress.ip_address(ONE[6])
    assert seen[2] in ipaddress.ip_network(MANY[6])
    assert [len(c.requests) for c in s.connections] == [2, 2, 2]


@pytest.mark.parametrize("how", ["GET", "CONNECT"])
def test_a_source_reaches_its_own_family_only(net, proxy_from, site, client, names, how):
    four = site(4)
    six = site(6, port=four.port)
    hosts = f"{SITE[4]} both.test\n{SITE[6]} both.test\n{SITE[4]} four.test\n"
    with net[0]:
        server = names(hosts).address
    p = proxy_from(ONE[6], resolver={"servers": [server]})
    for name in "both", "four":
        with net[0]:
            c = client(p)
        authority = f"{name}.test:{four.port}"
        target = authority if how == "CONNECT" else f"http://{authority}/"
        if name == "four":
            refused = c.ask(how, target)
            assert refused.status == 502
            assert "connects from" in refused.text
        elif how == "CONNECT":
            assert c.connect_to(target).status == 200
        else:
            assert c.get(target).status == 200
        c.close()
    with net[1]:
        assert four.accepted() == []
        assert len(six.accepted()) == 1
    # A tunnel is logged when it ends.
    assert {line.end for line in p.access(2)} == {"ok", "unreachable"}


@pytest.mark.parametrize("how", ["GET", "CONNECT"])
def test_a_source_of_each_family(net, proxy_from, site, client, how):
    sites = [site(4), site(6)]
    p = proxy_from(f"{MANY[6]}, {ONE[4]}")
    for s in sites:
        ask(net, client, p, how, s)
    (four,), (six,) = (peers_of(s) for s in sites)
    assert four == ipaddress.ip_address(ONE[4])
    assert six in ipaddress.ip_network(MANY[6])


def test_addresses_that_a_source_cannot_reach_leave_nothing_behind(
    net, proxy, site, client, scripted
):
    """A rule for IPv6 addresses names an IPv4 source; then the IPv4 addresses come."""
    held = queue.Queue()

    def script(query):
        if query.name == "both.test" and query.kind == A:
            held.put(query)
        else:
            query.addresses(SITE[6] if query.name == "both.test" else SITE[4])

    s = site(4)
    rules = [{"address": ["2001:db8:1::/64"], "action": "allow", "source": ONE[4]}]
    access = {"allow_addresses": ["0.0.0.0/0"], "rules": rules}
    with net[0]:
        resolver = {"servers": [scripted(script).address]}
        p = proxy(access=access, resolver=resolver, workers=1)
        c, other = client(p), client(p)
    c.request("GET", f"http://both.test:{s.port}/")
    waiting = held.get(timeout=TIMEOUT)
    # Once this is answered the proxy has heard of the IPv6 address, too.
    assert other.get(f"http://four.test:{s.port}/").status == 200
    waiting.addresses(SITE[4])
    assert c.recv_response().status == 200
    assert peers_of(s) == [ipaddress.ip_address("198.51.100.1")]
