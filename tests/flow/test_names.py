"""Names become addresses, and both are judged: who may go where."""

import contextlib
import socket

import pytest

from peers import TIMEOUT, request

LOOPBACK = ["127.0.0.0/8", "::1"]


@contextlib.contextmanager
def hanging_port(host="127.0.0.1"):
    """A port where connecting neither succeeds nor fails: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((host, 0))
        listening.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.fixture
def silent_server():
    """A name server that takes queries and never answers."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(TIMEOUT)
        yield server


def address_of(server):
    host, port = server.getsockname()
    return f"{host}:{port}"


# ---- who may go where ---------------------------------------------------------------------------

FORBIDDEN = [
    "127.0.0.1",
    "127.255.255.254",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "0.0.0.0",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[ff02::1]",
    "[fd00:ec2::254]",
    "[2001:db8::1]",
]

# Other ways to write an IPv4 address, which inet_aton(3) and browsers know.
SPELLINGS = ["127.1", "127.0.1", "0x7f000001", "0x7f.1", "2130706433", "017700000001", "0177.0.0.1"]


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize("host", FORBIDDEN + SPELLINGS + ["0"])
def test_addresses_of_special_purpose_are_denied(proxy, client, origin, host, method):
    o = origin(host="::1" if host == "[::1]" else "127.0.0.1")
    p = proxy(access={"allow_addresses": None})
    c = client(p)
    authority = f"{host}:{o.port}"
    answer = c.ask(method, authority if method == "CONNECT" else f"http://{authority}/")
    assert answer.status == 403
    assert answer.get("Proxy-Status").startswith("penstock; error=destination_ip_prohibited")
    o.assert_untouched()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254"])
def test_name_of_a_denied_address_is_denied(proxy, client, origin, names, address):
    """The address is what counts: a name cannot be pointed at what is denied."""
    o = origin(host="::1" if address == "::1" else "127.0.0.1")
    server = names(f"{address} a.test\n")
    p = proxy(access={"allow_addresses": None}, resolver={"servers": [server.address]})
    assert client(p).get(f"http://a.test:{o.port}/").status == 403
    o.assert_untouched()


def test_name_with_one_denied_address_never_leads_there(proxy, client, origin, names):
    denied = origin(host="127.0.0.1")
    server = names("127.0.0.1 a.test\n127.0.0.2 a.test\n")
    p = proxy(access={"allow_addresses": ["127.0.0.2"]}, resolver={"servers": [server.address]})
    c = client(p)
    for _ in range(4):
        assert c.get(f"http://a.test:{denied.port}/").status in (403, 502)
    denied.assert_untouched()


def test_allowed_network(proxy, client, origin):
    o, other = origin(host="127.0.0.1"), origin(host="127.0.0.9")
    c = client(proxy(access={"allow_addresses": ["127.0.0.0/29"]}))
    assert c.get(o.url()).status == 200
    assert c.get(other.url()).status == 403
    other.assert_untouched()


@pytest.mark.parametrize(
    "clients,status",
    [
        ([], 403),
        (["10.0.0.0/8"], 403),
        (["127.0.0.2"], 403),
        (["::1"], 403),
        (["127.0.0.1"], 200),
        (["10.0.0.0/8", "127.0.0.0/8"], 200),
        (["0.0.0.0/0"], 200),
    ],
    ids=str,
)
def test_clients(proxy, client, origin, clients, status):
    o = origin()
    p = proxy(access={"clients": clients})
    c = client(p)
    assert c.get(o.url()).status == status
    assert client(p).connect_to(o.authority).status == status
    if status == 403:
        assert client(p).ask("GET", "/", [("Host", "x")]).status == 403
        o.assert_untouched()


@pytest.mark.parametrize(
    "ports,status",
    [
        ([], 403),
        (None, 403),
        (["443", "8443"], 403),
        (["PORT"], 200),
        (["1-65535"], 200),
        (["443", "PORT-PORT"], 200),
        (["1-1024"], 403),
    ],
    ids=str,
)
def test_connect_ports(proxy, client, origin, ports, status):
    o = origin()
    written = ports and [p.replace("PORT", str(o.port)) for p in ports]
    c = client(proxy(access={"connect_ports": written}))
    head = c.connect_to(o.authority)
    assert head.status == status
    if status == 403:
        assert head.get("Proxy-Status").startswith("penstock; error=http_request_denied")
        o.assert_untouched()
        assert c.get(o.url()).status == 200  # only tunnels are bound to these ports


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize(
    "host", ["a.test", "A.Test", "a.test.", "x_y.a-b.test", "xn--mnchen-3ya.test"]
)
def test_name(proxy, client, origin, names, host, method):
    o = origin()
    server = names("127.0.0.1 a.test x_y.a-b.test xn--mnchen-3ya.test\n")
    p = proxy(resolver={"servers": [server.address]})
    c = client(p)
    if method == "CONNECT":
        assert c.connect_to(f"{host}:{o.port}").status == 200
        c.request("GET", "/", [("Host", host)])
        assert c.recv_response().body == b"hello\n"
        c.close()
    else:
        assert c.get(f"http://{host}:{o.port}/").body == b"hello\n"
    assert p.access()[0].destination == o.authority


@pytest.mark.parametrize("listening", ["127.0.0.1", "::1"])
def test_name_with_addresses_of_both_families(proxy, client, origin, names, listening):
    o = origin(host=listening)
    server = names("127.0.0.1 a.test\n::1 a.test\n")
    p = proxy(resolver={"servers": [server.address]})
    c = client(p)
    assert c.get(f"http://a.test:{o.port}/").status == 200
    tunnel = client(p)
    assert tunnel.connect_to(f"a.test:{o.port}").status == 200
    tunnel.close()
    assert [line.destination for line in p.access(2)] == [o.authority] * 2


# Addresses that nothing else uses, so that a port which is free on one is free on the other.
@pytest.mark.parametrize("listening", ["127.0.0.71", "127.0.0.72"])
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_next_address_when_the_first_refuses(proxy, client, origin, names, listening, method):
    """One of the two cases has the refusing address in front, whatever the order is."""
    o = origin(host=listening)
    server = names("127.0.0.71 a.test\n127.0.0.72 a.test\n")
    p = proxy(resolver={"servers": [server.address]})
    c = client(p)
    if method == "CONNECT":
        assert c.connect_to(f"a.test:{o.port}").status == 200
    else:
        assert c.get(f"http://a.test:{o.port}/").status == 200
    assert len(o.accepted()) == 1


@pytest.mark.parametrize(
    "listening,hanging", [("127.0.0.71", "127.0.0.72"), ("127.0.0.72", "127.0.0.71")]
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_next_address_when_the_first_hangs(
    proxy, client, origin, names, listening, hanging, method
):
    server = names("127.0.0.71 a.test\n127.0.0.72 a.test\n")
    p = proxy(resolver={"servers": [server.address]}, timeouts={"connect": 8})
    c = client(p)
    with hanging_port(hanging) as port:
        o = origin(host=listening, port=port)
        if method == "CONNECT":
            assert c.connect_to(f"a.test:{port}").status == 200
        else:
            assert c.get(f"http://a.test:{port}/").status == 200
        assert len(o.accepted()) == 1


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_all_addresses_refuse(proxy, client, names, refusing_port, method):
    server = names("127.0.0.1 a.test\n127.0.0.1 a.test\n::1 a.test\n")
    c = client(proxy(resolver={"servers": [server.address]}))
    authority = f"a.test:{refusing_port}"
    answer = c.ask(method, authority if method == "CONNECT" else f"http://{authority}/")
    assert answer.status == 502
    assert answer.get("Proxy-Status").startswith("penstock; error=connection_refused")


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize(
    "host,error,token",
    [
        ("nothing.test", "dns_error", "dns_not_found"),
        ("text.test", "dns_error", "dns_not_found"),
        ("refused.example", "dns_error", "dns_error"),
    ],
    ids=["no such name", "no address", "server refuses"],
)
def test_name_that_leads_nowhere(proxy, client, names, host, error, token, method):
    server = names("", "--txt-record=text.test,hello")
    p = proxy(resolver={"servers": [server.address]})
    c = client(p)
    for _ in range(2):
        answer = c.ask(method, f"{host}:443" if method == "CONNECT" else f"http://{host}/")
        assert answer.status == 502
        assert answer.get("Proxy-Status").startswith(f"penstock; error={error}")
        assert host in answer.text
    assert [line.end for line in p.access(2)] == [token] * 2


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_name_server_that_never_answers(proxy, client, silent_server, method):
    p = proxy(resolver={"servers": [address_of(silent_server)]}, timeouts={"resolve": 1})
    c = client(p)
    answer = c.ask(method, "a.test:443" if method == "CONNECT" else "http://a.test/")
    assert answer.status == 504
    assert answer.get("Proxy-Status").startswith("penstock; error=dns_timeout")
    assert b"a\x04test" in silent_server.recv(4096)
    assert p.access()[0].end == "dns_timeout"


def test_name_server_that_is_not_there(proxy, client, origin, refusing_port):
    o = origin()
    server = f"127.0.0.1:{refusing_port}"
    c = client(proxy(resolver={"servers": [server]}, timeouts={"resolve": 3}))
    answer = c.get("http://a.test/")
    assert answer.status in (502, 504)
    assert c.get(o.url()).status == 200


def test_second_name_server_when_the_first_is_not_there(
    proxy, client, origin, names, refusing_port
):
    o = origin()
    server = names("127.0.0.1 a.test\n")
    servers = [f"127.0.0.1:{refusing_port}", server.address]
    c = client(proxy(resolver={"servers": servers}))
    assert c.get(f"http://a.test:{o.port}/").status == 200


def test_others_go_on_while_a_name_is_looked_up(proxy, client, origin, silent_server):
    o = origin()
    p = proxy(workers=1, resolver={"servers": [address_of(silent_server)]})
    waiting = client(p)
    waiting.request("GET", "http://a.test/")
    silent_server.recv(4096)
    assert client(p).get(o.url()).status == 200
    waiting.expect_open()
    waiting.close()


def test_name_is_asked_for_once(proxy, client, origin, names):
    o = origin()
    server = names("127.0.0.1 a.test\n", "--local-ttl=60")
    p = proxy(workers=1, resolver={"servers": [server.address]})
    clients = [client(p) for _ in range(20)]
    for c in clients:
        c.send(
            request("GET", f"http://a.test:{o.port}/") + request("GET", f"http://A.TEST:{o.port}/")
        )
    for c in clients:
        assert [c.recv_response().status for _ in range(2)] == [200, 200]
    assert server.queries("a.test") == 2  # A and AAAA


def test_name_that_does_not_exist_is_asked_for_once(proxy, client, names):
    server = names()
    c = client(proxy(workers=1, resolver={"servers": [server.address]}))
    for _ in range(3):
        assert c.get("http://nothing.test/").status == 502
    assert server.queries("nothing.test") <= 2


def test_answers_are_not_remembered_longer_than_allowed(proxy, client, origin, names):
    o = origin()
    server = names("127.0.0.1 a.test\n", "--local-ttl=60")
    p = proxy(workers=1, resolver={"servers": [server.address], "ttl_max": 0})
    c = client(p)
    for i in range(3):
        assert c.get(f"http://a.test:{o.port}/").status == 200
        assert server.queries("a.test") == 2 * (i + 1)


@pytest.mark.parametrize("host", SPELLINGS)
def test_address_in_another_spelling_needs_no_name_server(
    proxy, client, origin, silent_server, host
):
    o = origin()
    c = client(proxy(resolver={"servers": [address_of(silent_server)]}))
    assert c.get(f"http://{host}:{o.port}/").status == 200
