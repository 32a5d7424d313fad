"""What is said of a place to listen on holds for those who come in there: name and source."""

import ipaddress
import signal
import socket

import pytest

import daemon

BOTH = pytest.mark.parametrize("method", ["GET", "CONNECT"])
SOURCES = ["127.0.0.41", "127.0.0.42"]


def place(**more):
    return {"address": "127.0.0.1", "port": 0, **more}


def seen_from(o, c, method):
    """The address that the origin saw the request come from."""
    count = len(o.accepted())
    if method == "GET":
        # A POST goes over a connection of its own.
        assert c.ask("POST", o.url(), body=b"x").status == 200
    else:
        assert c.connect_to(o.authority).status == 200
    return o.connection(count).peer[0]


@BOTH
@pytest.mark.parametrize("workers", [1, 4])
def test_source_of_each_listener(proxy, client, origin, method, workers):
    o = origin()
    listen = [place(source=SOURCES[0]), place(), place(source=SOURCES[1]), place()]
    p = proxy(workers=workers, listen=listen)
    expected = [SOURCES[0], "127.0.0.1", SOURCES[1], "127.0.0.1"]
    for _ in range(4):
        for port, source in zip(p.ports, expected):
            assert seen_from(o, client(("127.0.0.1", port)), method) == source


def test_kept_connections_to_an_origin_are_those_of_the_source(proxy, client, origin):
    o = origin()
    p = proxy(workers=1, listen=[place(source=SOURCES[0]), place(source=SOURCES[1])])
    clients = [client(("127.0.0.1", port)) for port in p.ports]
    for _ in range(3):
        for c in clients:
            assert c.get(o.url()).status == 200
    peers = [(c.peer[0], len(c.requests)) for c in o.accepted()]
    assert sorted(peers) == [(SOURCES[0], 3), (SOURCES[1], 3)]


@BOTH
def test_random_source_out_of_a_network(proxy, client, origin, method):
    o = origin()
    p = proxy(listen=[place(source="127.77.0.0/16")])
    seen = {seen_from(o, client(p), method) for _ in range(8)}
    assert len(seen) > 4
    assert all(ipaddress.ip_address(a) in ipaddress.ip_network("127.77.0.0/16") for a in seen)


def test_a_source_of_another_family_leads_nowhere(proxy, client, origin):
    p = proxy(listen=[place(source="2001:db8::/64")])
    o = origin()
    answer = client(p).get(o.url())
    assert answer.status == 502
    o.assert_untouched()


def test_a_reload_changes_the_source_for_the_next_request(proxy, client, origin):
    """On a connection that is kept, too; the place itself stays as it is."""
    o = origin()
    p = proxy(listen=[place(source=SOURCES[0], name="a"), place(name="b")])
    first, second = (client(("127.0.0.1", port)) for port in p.ports)
    for sources in ([SOURCES[0], None], [None, SOURCES[1]], [SOURCES[1], SOURCES[0]]):
        p.reload(listen=[place(name="x", **({"source": s} if s else {})) for s in sources])
        for c, source in zip((first, second), sources):
            assert seen_from(o, c, "GET") == (source or "127.0.0.1")
    assert not any("no longer listening" in line for line in p.lines)
    assert sum("listening on" in line for line in p.lines) == 2


def test_a_reload_that_fails_changes_no_source(proxy, client, origin):
    o = origin()
    p = proxy(listen=[place(source=SOURCES[0])])
    c = client(p)
    bad = [
        [place(source=SOURCES[1]), {"address": "192.0.2.1", "port": 3128}],
        [place(source="127.0.0.1/8")],
    ]
    for i, listen in enumerate(bad):
        p.write_config(listen=listen)
        p.signal(signal.SIGHUP)
        p.wait_line("nothing has changed", count=i + 1)
    assert seen_from(o, c, "GET") == SOURCES[0]


def test_who_came_in_by_a_listener_that_is_closed_keeps_its_source(proxy, client, origin):
    o = origin()
    p = proxy(listen=[place(), place(address="127.0.0.43", port=3128, source=SOURCES[0])])
    c = client(("127.0.0.43", 3128))
    assert seen_from(o, c, "GET") == SOURCES[0]
    p.reload(listen=[place()])
    p.wait_line("no longer listening on 127.0.0.43")

    def closed():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.43", 3128)) != 0

    daemon.poll(closed, "the listener to be closed")
    assert seen_from(o, c, "GET") == SOURCES[0]
    assert seen_from(o, client(p), "GET") == "127.0.0.1"


def test_names_are_shown(proxy):
    p = proxy(listen=[place(name="lan"), place()])
    assert p.wait_line(rf"listening on 127\.0\.0\.1:{p.ports[0]} \(lan\)$")
    assert p.wait_line(rf"listening on 127\.0\.0\.1:{p.ports[1]}$")
    shown = daemon.run("-T", "-c", p.config_path).stdout
    assert 'listen = ( { address = "127.0.0.1"; port = 0; name = "lan"; }, { address' in shown


# ---- rules --------------------------------------------------------------------------------------


def test_rules_know_the_listener(proxy, client, origin):
    """By its name of now: a reload that gives it another is seen by the next request."""
    o = origin()
    rules = [
        {"listener": ["guests", "127.0.0.44:3128"], "action": "deny"},
        {"listener": "lan", "source": SOURCES[1]},
    ]
    listen = [place(name="lan"), place(name="guests", source=SOURCES[0]), place(name="guests")]
    listen += [place(address="127.0.0.44", port=3128), place(source=SOURCES[0])]
    p = proxy(listen=listen, access={"rules": rules}, limits={"pool": 0})
    clients = [client(("127.0.0.44" if i == 3 else "127.0.0.1", p.ports[i])) for i in range(5)]

    def outcomes():
        found = []
        for c in clients:
            count = len(o.accepted())
            status = c.get(o.url()).status
            found.append(o.connection(count).peer[0] if status == 200 else status)
        return found

    assert outcomes() == [SOURCES[1], 403, 403, 403, SOURCES[0]]
    assert {line.end for line in p.access(5)} == {"ok", "rule_denied"}
    listen[0], listen[1] = place(name="guests"), place(name="lan", source=SOURCES[0])
    listen[3] = place(address="127.0.0.44", port=3128, name="lan")
    p.reload(listen=listen)
    assert outcomes() == [403, SOURCES[1], 403, SOURCES[1], SOURCES[0]]


def test_rules_know_inherited_listeners_by_the_names_of_their_sockets(proxy, client, origin):
    o = origin()
    with socket.create_server(("127.0.0.1", 0)) as lan, socket.create_server(("127.0.0.1", 0)) as b:
        rules = [{"listener": "guests.socket", "action": "deny"}]
        p = proxy(sockets={"lan": lan, "guests.socket": b}, access={"rules": rules})
        assert client(("127.0.0.1", p.ports[0])).get(o.url()).status == 200
        assert client(("127.0.0.1", p.ports[1])).get(o.url()).status == 403
