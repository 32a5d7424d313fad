"""Name servers that lie, fail, are slow, or say too much: the proxy believes only what it may."""

import socket
import struct
import threading

import pytest

from nameserver import (
    AAAA,
    CNAME,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    SOA,
    A,
    address,
    encode,
    record,
)

HERE = "127.0.0.81"  # the origin
TRAP = "127.0.0.82"  # where a wrong answer leads
LIARS = "127.0.0.83"  # another address of a name server


@pytest.fixture
def here_and_trap(origin):
    """An origin, and a listener on the same port of another address that nobody may reach."""
    o = origin(host=HERE)
    return o, origin(host=TRAP, port=o.port)


# ---- answers that are not for us ----------------------------------------------------------------


def wrong_id(query):
    message = query.message([address(query.name, TRAP)])
    query.send(bytes([message[0] ^ 0xFF, message[1]]) + message[2:])


def wrong_name(query):
    question = encode("b.test") + query.question[-4:]
    query.answer([address("b.test", TRAP), address(query.name, TRAP)], question=question)


def wrong_type(query):
    question = query.question[:-4] + struct.pack(">HH", 16, 1)
    query.answer([address(query.name, TRAP)], question=question)


def no_question(query):
    message = query.message([address(query.name, TRAP)])
    query.send(message[:4] + b"\0\0" + message[6:12] + message[12 + len(query.question) :])


def other_port(query):
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.sendto(query.message([address(query.name, TRAP)]), query.peer)


def other_address(query):
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind((LIARS, query.server.udp.getsockname()[1]))
        s.sendto(query.message([address(query.name, TRAP)]), query.peer)


def garbage(query):
    for junk in (b"", b"\0", query.id, query.id + b"\xc0" * 510, b"\xff" * 1200):
        query.send(junk)


def of_another_name(query):
    """What an honest server might add, and a liar too: the answer is for a.test alone."""
    if query.kind == A:
        query.answer([address("other.test", TRAP), address(query.name, HERE)])
    else:
        query.answer([address("other.test", "::1")])


LIES = [wrong_id, wrong_name, wrong_type, no_question, other_port, other_address, garbage]


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize("lie", [*LIES, of_another_name], ids=lambda lie: lie.__name__)
def test_lie_before_the_answer(proxy, client, scripted, here_and_trap, lie, method):
    o, trap = here_and_trap

    def script(query):
        lie(query)
        if lie is not of_another_name:
            query.addresses(HERE)

    server = scripted(script)
    c = client(proxy(resolver={"servers": [server.address]}))
    if method == "CONNECT":
        assert c.connect_to(f"a.test:{o.port}").status == 200
    else:
        assert c.get(f"http://a.test:{o.port}/").status == 200
    trap.assert_untouched()


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_nothing_but_lies(proxy, client, scripted, here_and_trap, lie):
    o, trap = here_and_trap
    server = scripted(lie)
    p = proxy(resolver={"servers": [server.address]}, timeouts={"resolve": 1})
    answer = client(p).get(f"http://a.test:{o.port}/")
    assert answer.status == 504
    assert answer.get("Proxy-Status").startswith("penstock; error=dns_timeout")
    trap.assert_untouched()


# ---- answers of every size and shape ------------------------------------------------------------


def truncated(query):
    if query.tcp:
        query.addresses(HERE)
    else:
        query.answer(truncated=True)


def sixty(query):
    """The last ones refuse, which nobody has to find out."""
    more = [f"127.1.0.{i}" for i in range(59)] + [f"2001:db8::{i}" for i in range(60)]
    if query.tcp or query.kind == A:
        query.addresses(HERE, *more)
    else:
        query.answer(truncated=True)


def chain(query):
    names = [query.name] + [f"alias{i}.test" for i in range(10)]
    records = [record(a, CNAME, encode(b)) for a, b in zip(names, names[1:])]
    query.answer(records + ([address(names[-1], HERE)] if query.kind == A else []))


def sixty_four_kib(query):
    if query.tcp:
        wanted = [HERE] + [f"127.1.{i // 256}.{i % 256}" for i in range(2600)]
        query.addresses(*wanted)
    else:
        query.answer(truncated=True)


def byte_by_byte(query):
    if not query.tcp:
        query.answer(truncated=True)
        return
    message = query.message([address(query.name, HERE)] if query.kind == A else [])
    for byte in struct.pack(">H", len(message)) + message:
        query.tcp.send(bytes([byte]))


def without_edns(query):
    """An old server: it does not know the OPT record, and says so."""
    if query.raw[11]:
        query.send(query.id + struct.pack(">HHHHH", 0x8181, 1, 0, 0, 0) + query.question)
    else:
        query.addresses(HERE)


def only_ipv4(query):
    query.addresses(HERE)


def fails_for_ipv6(query):
    if query.kind == A:
        query.addresses(HERE)
    else:
        query.answer(rcode=SERVFAIL)


def denies_for_ipv6(query):
    if query.kind == A:
        query.addresses(HERE)
    else:
        query.answer(rcode=NXDOMAIN)


def fails_at_first(query):
    if query.server.count(query.name) <= 2:
        query.answer(rcode=SERVFAIL)
    else:
        query.addresses(HERE)


GOOD = [truncated, sixty, chain, sixty_four_kib, byte_by_byte, without_edns, only_ipv4]
GOOD += [fails_for_ipv6, denies_for_ipv6, fails_at_first]


@pytest.mark.parametrize("script", GOOD, ids=lambda script: script.__name__)
def test_answer_that_is_good(proxy, client, origin, scripted, script):
    o = origin(host=HERE)
    server = scripted(script)
    p = proxy(resolver={"servers": [server.address]})
    assert client(p).get(f"http://a.test:{o.port}/").status == 200
    assert p.access()[0].destination == o.authority


def loop(query):
    query.answer([record("a.test", CNAME, encode("b.test")), record("b.test", CNAME, encode("a.test"))])


def loop_of_one(query):
    query.answer([record("a.test", CNAME, encode("a.test"))])


def no_such_name(query):
    query.answer(rcode=NXDOMAIN)


def no_address(query):
    query.answer()


def fails(query):
    query.answer(rcode=SERVFAIL)


def refuses(query):
    query.answer(rcode=REFUSED)


def fails_late(query):
    """A server that takes its time to fail: the question was sent again before."""
    if query.server.count(query.name) > 2:
        query.answer(rcode=SERVFAIL)


def nothing_but_a_head(query):
    query.send(query.id + struct.pack(">HHHHH", 0x8180, 1, 60000, 0, 0) + query.question)


def echoes(query):
    """A question is no answer, not even to itself."""
    query.send(query.raw)


def fails_or_silent(query):
    if query.kind == A:
        query.answer(rcode=SERVFAIL)


def nobody_or_silent(query):
    if query.kind == A:
        query.answer(rcode=NXDOMAIN)


def no_address_or_silent(query):
    if query.kind == A:
        query.answer()


def silent(query):
    pass


def deaf_over_tcp(query):
    if not query.tcp:
        query.answer(truncated=True)


BAD = [
    (loop, 502, "dns_not_found"),
    (loop_of_one, 502, "dns_not_found"),
    (no_such_name, 502, "dns_not_found"),
    (no_address, 502, "dns_not_found"),
    (nobody_or_silent, 502, "dns_not_found"),
    (fails, 502, "dns_error"),
    (refuses, 502, "dns_error"),
    (fails_late, 502, "dns_error"),
    (nothing_but_a_head, 502, "dns_error"),
    (echoes, 502, "dns_error"),
    (fails_or_silent, 502, "dns_error"),
    (no_address_or_silent, 504, "dns_timeout"),
    (silent, 504, "dns_timeout"),
    (deaf_over_tcp, 504, "dns_timeout"),
]


@pytest.mark.parametrize("script,status,end", BAD, ids=lambda x: getattr(x, "__name__", ""))
def test_answer_that_leads_nowhere(proxy, client, scripted, script, status, end):
    server = scripted(script)
    p = proxy(resolver={"servers": [server.address]}, timeouts={"resolve": 2})
    assert client(p).get("http://a.test/").status == status
    assert p.access()[0].end == end


def test_answer_that_stops_in_the_middle(proxy, client, origin, scripted):
    """Over TCP.  It costs its own request its time, and no other one."""
    o = origin(host=HERE)

    def script(query):
        if query.name == "good.test":
            query.addresses(HERE)
        elif query.tcp:
            query.tcp.sendall(b"\xff\xff" + query.message())
        else:
            query.answer(truncated=True)

    server = scripted(script)
    p = proxy(workers=1, resolver={"servers": [server.address]}, timeouts={"resolve": 2})
    waiting = client(p)
    waiting.request("GET", "http://a.test/")
    server.asked("a.test", tcp=True)
    assert client(p).get(f"http://good.test:{o.port}/").status == 200
    assert waiting.recv_response().status in (502, 504)
    assert p.access(2)[1].end in ("dns_error", "dns_timeout")


def test_over_tcp_it_is_asked_again(proxy, client, origin, scripted):
    """The library asks once there, and waits no longer than it does for the first answer over UDP."""
    o = origin(host=HERE)

    def script(query):
        if not query.tcp:
            query.answer(truncated=True)
        elif sum(over_tcp for _, _, over_tcp in server.seen) > 2:
            query.addresses(HERE)

    server = scripted(script)
    p = proxy(workers=1, resolver={"servers": [server.address]}, timeouts={"resolve": 10})
    assert client(p).get(f"http://a.test:{o.port}/").status == 200


# ---- how long it is believed --------------------------------------------------------------------


def test_time_to_live_of_nothing(proxy, client, origin, scripted):
    o = origin(host=HERE)
    server = scripted(lambda query: query.addresses(HERE, ttl=0))
    c = client(proxy(workers=1, resolver={"servers": [server.address]}))
    for i in range(3):
        assert c.get(f"http://a.test:{o.port}/").status == 200
        assert server.count("a.test") == 2 * (i + 1)


def test_time_to_live_of_nothing_made_longer(proxy, client, origin, scripted):
    o = origin(host=HERE)
    server = scripted(lambda query: query.addresses(HERE, ttl=0))
    c = client(proxy(workers=1, resolver={"servers": [server.address], "ttl_min": 3600}))
    for _ in range(3):
        assert c.get(f"http://a.test:{o.port}/").status == 200
    assert server.count("a.test") == 2


@pytest.mark.parametrize("minimum,times", [(0, 3), (3600, 1)])
def test_no_is_believed_as_long_as_the_zone_says(proxy, client, scripted, minimum, times):
    def script(query):
        numbers = struct.pack(">IIIII", 1, 2, 3, 4, minimum)
        soa = record("test", SOA, b"\0\0" + numbers, ttl=3600)
        query.answer(rcode=NXDOMAIN, authority=[soa])

    server = scripted(script)
    c = client(proxy(workers=1, resolver={"servers": [server.address], "ttl_negative": 3600}))
    for _ in range(3):
        assert c.get("http://a.test/").status == 502
    assert server.count("a.test") == 2 * times


# ---- slow families ------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [A, AAAA])
def test_one_family_is_slow(proxy, client, origin, scripted, slow):
    """Whatever comes first, both are used: the origin listens on the address that comes late."""
    late = threading.Event()
    o = origin(host="127.0.0.1" if slow == A else "::1")
    held = []

    def script(query):
        if query.kind == slow:
            held.append(query)
            late.set()
        else:
            query.addresses("127.0.0.1", "::1")

    server = scripted(script)
    c = client(proxy(resolver={"servers": [server.address]}))
    c.request("GET", f"http://a.test:{o.port}/")
    assert late.wait(10)
    held[0].addresses("127.0.0.1", "::1")
    assert c.recv_response().status == 200


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize("silent", [A, AAAA])
def test_one_family_is_never_told(proxy, client, origin, scripted, silent, method):
    """The other one is enough, and not only when the lookup is given up."""
    o = origin(host="127.0.0.1" if silent == AAAA else "::1")
    server = scripted(lambda q: q.kind == silent or q.addresses("127.0.0.1", "::1"))
    p = proxy(resolver={"servers": [server.address]}, timeouts={"resolve": 600})
    c = client(p)
    if method == "GET":
        assert c.get(f"http://a.test:{o.port}/").status == 200
    else:
        assert c.connect_to(f"a.test:{o.port}").status == 200
        assert c.get("/").status == 200


def test_turns(proxy, client, origin, scripted):
    """With one lookup at a time the second waits for the first, and both are answered."""
    o = origin(host=HERE)
    held = []
    both = threading.Event()

    def script(query):
        if query.name == "a.test":
            held.append(query)
            if len(held) == 2:
                both.set()
        else:
            query.addresses(HERE)

    server = scripted(script)
    p = proxy(workers=1, resolver={"servers": [server.address], "lookups": 1})
    first, second = client(p), client(p)
    first.request("GET", f"http://a.test:{o.port}/")
    assert both.wait(10)
    second.request("GET", f"http://b.test:{o.port}/")
    # A request behind it, which needs no name, has been served: the second one has been read.
    assert client(p).get(o.url()).status == 200
    assert server.count("b.test") == 0
    for query in held:
        query.addresses(HERE)
    assert first.recv_response().status == 200
    assert second.recv_response().status == 200


# ---- DNS rebinding ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_rebinding_never_reaches_the_second_address(
    proxy, client, scripted, here_and_trap, method
):
    """An allowed address first, a denied one as soon as it was asked for, with a TTL of 0."""
    o, trap = here_and_trap

    def script(query):
        first = query.server.count(query.name) <= 2
        query.addresses(HERE if first else TRAP, ttl=0)

    server = scripted(script)
    p = proxy(
        workers=1,
        access={"allow_addresses": [HERE]},
        resolver={"servers": [server.address]},
    )
    statuses = []
    for _ in range(4):
        c = client(p)
        if method == "CONNECT":
            statuses.append(c.connect_to(f"a.test:{o.port}").status)
        else:
            statuses.append(c.get(f"http://a.test:{o.port}/").status)
        c.close()
    assert statuses == [200, 403, 403, 403]
    # What was vetted is what was dialled: nobody asked a second time for the first.
    assert server.count("a.test") == 2 * 4
    trap.assert_untouched()


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_rebinding_within_a_client_connection(proxy, client, scripted, here_and_trap, method):
    o, trap = here_and_trap

    def script(query):
        first = query.server.count(query.name) <= 2
        query.addresses(HERE if first else TRAP, ttl=0)

    server = scripted(script)
    p = proxy(
        workers=1, access={"allow_addresses": [HERE]}, resolver={"servers": [server.address]}
    )
    c = client(p)
    assert c.get(f"http://a.test:{o.port}/").status == 200
    for _ in range(3):
        authority = f"a.test:{o.port}"
        url = authority if method == "CONNECT" else f"http://{authority}/"
        assert c.ask(method, url).status == 403
    trap.assert_untouched()


def test_denied_address_among_those_of_the_other_family(proxy, client, origin, scripted):
    o = origin(host=HERE)
    trap = origin(host="::1", port=o.port)
    server = scripted(lambda query: query.addresses(HERE, "::1", ttl=0))
    p = proxy(access={"allow_addresses": [HERE]}, resolver={"servers": [server.address]})
    for _ in range(3):
        assert client(p).get(f"http://a.test:{o.port}/").status == 200
    trap.assert_untouched()


# ---- names that are never asked for -------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["1.2.3.4.5", "256.1.1.1", "a.1", "a.0x1f", "0x", "a..test", "x" * 64 + ".test"]
    + [".".join(["x" * 62] * 4) + ".test", "m\xc3\xbcnchen.test", "a%2etest", "a test", "a\\test"],
)
def test_name_that_is_none(proxy, client, scripted, host):
    server = scripted(silent)
    p = proxy(resolver={"servers": [server.address]}, timeouts={"resolve": 1})
    client(p).ask("CONNECT", f"{host}:443")
    answer = client(p).get(f"http://{host}/")
    assert answer.status == 400
    assert server.seen == []


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "A.LocalHost."])
def test_localhost_is_never_asked_for(proxy, client, origin, scripted, host):
    o = origin(host="127.0.0.1")
    server = scripted(lambda query: query.addresses(TRAP))
    c = client(proxy(resolver={"servers": [server.address]}))
    assert c.get(f"http://{host}:{o.port}/").status == 200
    assert server.seen == []
