"""access.rules: who may go where, and what rules set, through the proxy and by --explain."""

import signal
import threading
import time

import pytest

import daemon
import people
from nameserver import A, AAAA
from peers import Closed, request, response, serve

SAY = 'Not <b>"now"</b>.'
# In every zone it is one of these days.
ALWAYS, NEVER = "mon-sun", time.strftime("%a", time.gmtime(time.time() + 3 * 86400)).lower()
BOTH = pytest.mark.parametrize("method", ["GET", "CONNECT"])


def ask(c, o, method, host="127.0.0.1"):
    """One request, or what a tunnel begins with: its status and its page."""
    authority = f"[{host}]:{o.port}" if ":" in host else f"{host}:{o.port}"
    if method != "CONNECT":
        return c.ask(method, f"http://{authority}/")
    c.request("CONNECT", authority)
    answer = c.recv_head()
    if answer.status != 200:
        answer.text = c.recv_exact(int(answer.get("Content-Length"))).decode()
    return answer


def metric(p, name):
    """From the totals that are logged at the end."""
    p.stop()
    return int(p.wait_line(rf"penstock_{name}_total (\d+)")[1])


# ---- conditions ---------------------------------------------------------------------------------

# The condition, where to (a.test and b.a.test are 127.0.0.1) and whether it holds: for GET, for
# CONNECT.
CONDITIONS = [
    ({"client": "127.0.0.0/24"}, "127.0.0.1", True, True),
    ({"client": ["127.0.0.2", "::1"]}, "127.0.0.1", False, False),
    ({"user": "anna"}, "127.0.0.1", False, False),
    ({"group": ["staff"]}, "127.0.0.1", False, False),
    ({"host": "a.test"}, "a.test", True, True),
    ({"host": "a.test"}, "b.a.test", False, False),
    ({"host": ["x.test", ".A.test."]}, "b.a.test", True, True),
    ({"host": ".a.test"}, "a.test", True, True),
    ({"host": "0x7f.1"}, "127.0.0.1", True, True),
    ({"host": "127.0.0.1"}, "2130706433", True, True),
    ({"host": "127.0.0.1"}, "::ffff:127.0.0.1", True, True),
    ({"host": "[::ffff:7f00:1]"}, "127.0.0.1", True, True),
    ({"host": "127.0.0.1"}, "a.test", False, False),
    ({"address": "127.0.0.0/8"}, "127.0.0.1", True, True),
    ({"address": "127.0.0.0/8"}, "a.test", True, True),
    ({"address": ["private", "loopback"]}, "a.test", True, True),
    ({"address": "special"}, "0177.1", True, True),
    ({"address": ["private", "8.0.0.0/8"]}, "a.test", False, False),
    ({"port": "1-65535"}, "127.0.0.1", True, True),
    ({"port": ["25", "80"]}, "127.0.0.1", False, False),
    ({"method": ["GET", "PUT"]}, "127.0.0.1", True, False),
    ({"method": "CONNECT"}, "a.test", False, True),
    ({"scheme": "http"}, "127.0.0.1", True, False),
    ({"scheme": "tunnel"}, "a.test", False, True),
    ({"time": ALWAYS}, "127.0.0.1", True, True),
    ({"time": ["00:00-24:00"], "zone": "Asia/Tokyo"}, "a.test", True, True),
    ({"time": f"{NEVER} 12:00-12:01", "zone": "UTC"}, "127.0.0.1", False, False),
    ({"client": "127.0.0.1", "host": ".test", "address": "loopback"}, "a.test", True, True),
    ({"client": "127.0.0.1", "host": ".test", "address": "private"}, "a.test", False, False),
]


@pytest.mark.parametrize("number", range(len(CONDITIONS)), ids=lambda n: str(CONDITIONS[n][:2]))
def test_condition(proxy, client, origin, names, tmp_path, number):
    condition, host, *holds = CONDITIONS[number]
    o = origin()
    (tmp_path / "groups").write_text("staff: anna\n")
    auth = {
        "users": people.write_users(tmp_path / "users", {"anna": "a"}),
        "groups": str(tmp_path / "groups"),
        "exempt": ["127.0.0.1"],  # nobody in particular
    }
    server = names("127.0.0.1 a.test b.a.test\n")
    rule = {**condition, "action": "deny", "say": SAY}
    p = proxy(access={"rules": [rule]}, auth=auth, resolver={"servers": [server.address]})
    for method, denied in zip(("GET", "CONNECT"), holds):
        c = client(p)
        answer = ask(c, o, method, host)
        if denied:
            assert answer.status == 403
            assert SAY in answer.text and answer.text.endswith(": rule_denied\n")
            assert answer.get("Proxy-Status").startswith("penstock; error=http_request_denied")
            p.wait_line(rf"access.rules\[1\], line \d+, denies \S+:{o.port}")
        else:
            assert answer.status == 200
        c.close()
    assert [line.end == "rule_denied" for line in p.access(2)] == holds
    if all(holds):
        o.assert_untouched()
    assert metric(p, "acl_denied") == sum(holds)


def test_hosts_of_a_file(proxy, client, origin, tmp_path, names):
    """A change of the file is seen by a reload."""
    o = origin()
    server = names("127.0.0.1 ads.test x.ads.test good.ads.test a.test\n")
    path = tmp_path / "ads.txt"
    path.write_text("# a comment\n0.0.0.0 ads.test\n@@||good.ads.test^\n??? unknown\n")
    rules = [{"host": ["other.test", f"@{path}"], "action": "deny"}]
    p = proxy(access={"rules": rules}, resolver={"servers": [server.address]})
    p.wait_line(r"ads.txt: 1 lines in no format known, the first is line 4")
    c = client(p)
    for host, status in (("ads", 403), ("x.ads", 403), ("good.ads", 200), ("a", 200)):
        assert c.get(f"http://{host}.test:{o.port}/").status == status
    path.write_text("a.test\n")
    p.signal(signal.SIGHUP)
    daemon.poll(lambda: c.get(f"http://a.test:{o.port}/").status == 403, "the list to be read")
    assert c.get(f"http://ads.test:{o.port}/").status == 200


def test_a_sentence_is_escaped_on_a_page(proxy, client):
    c = client(proxy(access={"rules": [{"action": "deny", "say": SAY}]}))
    page = c.get("http://a.test/", [("Accept", "text/html")]).text
    assert "Not &lt;b&gt;&quot;now&quot;&lt;/b&gt;." in page and "<b>" not in page


@BOTH
def test_a_sentence_may_be_in_any_language(proxy, client, method):
    say = "Während der Arbeit nicht. Не сейчас. 今はだめです。 🙂"
    p = proxy(access={"rules": [{"action": "deny", "say": say}]})
    c = client(p)
    c.request(method, "a.test:443" if method == "CONNECT" else "http://a.test/")
    answer = c.recv_response()
    assert say in answer.text and answer.get("Content-Type") == "text/plain; charset=utf-8"
    answer.get("Proxy-Status").encode("ascii")
    assert say in client(p).get("http://a.test/", [("Accept", "text/html")]).text


# ---- what decides -------------------------------------------------------------------------------


@pytest.mark.parametrize("path,why", [("/nowhere/x", "No such file"), ("/", "Is a directory")])
def test_a_list_that_cannot_be_read(tmp_path, path, why):
    conf = tmp_path / "x.conf"
    conf.write_text(f'access = {{ rules = (\n{{ host = "@{path}"; action = "deny"; }} ); }};\n')
    done = daemon.run("-t", "-c", conf)
    assert done.returncode == 78
    assert f'x.conf:2: access.rules[1].host: cannot read "{path}": {why}' in done.stderr


@BOTH
def test_the_first_that_matches_decides(proxy, client, origin, names, method):
    o = origin()
    server = names("127.0.0.1 a.test b.test\n")
    rules = [
        {"host": "a.test", "action": "allow"},
        {"host": ".test", "action": "deny"},
        {"action": "allow"},
    ]
    p = proxy(access={"rules": rules}, resolver={"servers": [server.address]})
    assert ask(client(p), o, method, "b.test").status == 403
    assert ask(client(p), o, method, "a.test").status == 200
    assert server.queries("b.test") == 0  # what is denied by name is not asked for


@BOTH
def test_rules_do_not_let_clients_in(proxy, client, origin, method):
    o = origin()
    p = proxy(access={"clients": ["127.0.0.2"], "rules": [{"action": "allow"}]})
    assert ask(client(p), o, method).status == 403
    assert p.access()[0].end == "client_denied"
    o.assert_untouched()


# Rules, whether they lift the denial of loopback.
LIFTING = [
    ([], False),
    ([{"action": "allow"}], False),
    ([{"host": "127.0.0.1", "action": "allow"}], False),
    ([{"port": "1-65535", "action": "allow"}], False),
    ([{"address": "127.0.0.0/8", "action": "allow"}], True),
    ([{"address": "loopback", "action": "allow"}], True),
    ([{"address": "private", "action": "allow"}], False),
    ([{"host": "127.0.0.1", "action": "allow"}, {"address": "loopback", "action": "allow"}], False),
]


@BOTH
@pytest.mark.parametrize("rules,lifted", LIFTING, ids=str)
def test_an_address_is_lifted_by_naming_it(proxy, client, origin, rules, lifted, method):
    o = origin()
    p = proxy(access={"allow_addresses": None, "rules": rules})
    assert ask(client(p), o, method).status == (200 if lifted else 403)
    if not lifted:
        assert p.access()[0].end == "address_denied"
        o.assert_untouched()


def test_names_of_kinds_in_allow_addresses(proxy, client, origin):
    o = origin()
    assert ask(client(proxy(access={"allow_addresses": ["loopback"]})), o, "GET").status == 200
    assert ask(client(proxy(access={"allow_addresses": ["private"]})), o, "GET").status == 403


def test_private_networks_are_denied_unless_opened(proxy, client):
    c = client(proxy())
    for address in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "[fd00::1]"):
        assert c.get(f"http://{address}:8080/").status == 403
        assert c.connect_to(f"{address}:8080").status == 403


MAIL = ["25", "465", "587"]


@pytest.mark.parametrize(
    "access,http,tunnel",
    [
        ({}, 403, 403),
        ({"rules": [{"action": "allow"}]}, 403, 403),
        ({"rules": [{"port": MAIL, "action": "allow"}]}, 502, 502),
        ({"connect_ports": MAIL}, 403, 502),
    ],
    ids=str,
)
def test_ports_of_mail(proxy, client, access, http, tunnel):
    """Nobody listens there on 127.0.0.9: what is let through is refused there."""
    p = proxy(access=access)
    c = client(p)
    for port in MAIL:
        assert c.get(f"http://127.0.0.9:{port}/").status == http
        assert c.connect_to(f"127.0.0.9:{port}").status == tunnel
    expected = ["port_denied" if status == 403 else "refused" for status in (http, tunnel)]
    assert [line.end for line in p.access(6)] == 3 * expected


def test_a_port_of_a_tunnel_is_lifted_by_naming_it(proxy, client, origin):
    o = origin()
    for rule, status in (
        ({"port": str(o.port), "action": "allow"}, 200),
        ({"host": "127.0.0.1", "action": "allow"}, 403),
        ({"port": str(o.port), "address": "private", "action": "allow"}, 403),
        ({"port": str(o.port), "address": "loopback", "action": "allow"}, 200),
    ):
        p = proxy(access={"connect_ports": [], "rules": [rule]})
        assert ask(client(p), o, "CONNECT").status == status


@BOTH
def test_a_denied_address_of_a_name_is_left_out(proxy, client, origin, names, method):
    """Each address is judged by itself, and the one that is left is connected to."""
    o = origin(host="127.0.0.2")
    server = names("127.0.0.1 a.test\n127.0.0.2 a.test\n127.0.0.3 a.test\n")
    rules = [{"address": ["127.0.0.1", "127.0.0.3"], "action": "deny", "say": SAY}]
    p = proxy(access={"rules": rules}, resolver={"servers": [server.address]})
    assert ask(client(p), o, method, "a.test").status == 200
    if method == "GET":
        assert p.access()[0].destination == o.authority


# ---- what rules set -----------------------------------------------------------------------------


def test_log(proxy, client, origin):
    o = origin()
    rules = [{"method": "GET", "log": "off"}, {"port": "1", "log": "off", "action": "deny"}]
    p = proxy(access={"rules": rules})
    c = client(p)
    assert c.get(o.url()).status == 200
    assert c.ask("HEAD", "http://127.0.0.1:1/").status == 403
    assert c.ask("HEAD", o.url()).status == 200
    c.close()
    p.stop()
    assert [line.request.split()[0] for line in p.access()] == ["HEAD"]


def test_denials_are_logged(proxy, client, names, tmp_path):
    """Whatever keeps others out of the log: only the rule that denies can keep it out."""
    (tmp_path / "ads.txt").write_text("ads.test\n")
    server = names("127.66.0.1 inner.test\n127.0.0.1 a.test b.test c.test d.test e.test\n")
    rules = [
        {"host": "d.test", "log": "off", "action": "deny"},
        {"host": "e.test", "log": "on"},
        {"log": "off"},
        {"host": "a.test", "action": "deny"},
        {"host": ["b.test", "e.test"], "log": "off", "action": "deny"},
        {"host": "c.test", "log": "on", "action": "deny"},
        {"address": "127.66.0.0/16", "action": "deny"},
    ]
    access = {
        "rules": rules,
        "blocklists": [str(tmp_path / "ads.txt")],
        "allow_addresses": ["127.66.0.0/16"],
    }
    p = proxy(access=access, resolver={"servers": [server.address]})
    urls = [f"http://{name}.test/" for name in ("a", "b", "c", "d", "e", "ads", "inner")]
    urls += ["http://127.0.0.1:25/", "http://127.0.0.1/", "http://b.test:25/"]
    c = client(p)
    for url in urls:
        assert c.get(url).status == 403, url
    c.close()
    ends = [
        ("a", "rule_denied"), ("c", "rule_denied"), ("e", "rule_denied"), ("ads", "blocklist:ads"),
        ("inner", "rule_denied"), ("127", "port_denied"), ("127", "address_denied")]
    assert [(line.request.split("/")[2].split(".")[0], line.end) for line in p.access(7)] == ends
    assert metric(p, "acl_denied") == 9
    done = daemon.run("-c", p.config_path, "--explain", "127.0.0.1 GET http://a.test/")
    assert "access.rules[3]; but denials are logged" in done.stdout


@pytest.mark.parametrize("log", [None, "off"])
def test_a_tunnel_that_a_reload_denies_is_logged(proxy, client, origin, log):
    """Also one that would have been kept out of the log."""
    o = origin()
    p = proxy(access={"rules": [{"log": "off"}], "recheck_tunnels": "on"})
    c = client(p)
    assert c.connect_to(o.authority).status == 200
    deny = {"action": "deny", **({"log": log} if log else {})}
    p.reload(access={"rules": [{"log": "off"}, deny], "recheck_tunnels": "on"})
    with pytest.raises(Closed) as end:
        c.recv_some()
    assert end.value.reset
    p.stop()
    with open(p.access_path, encoding="ascii") as lines:
        assert [line.split()[-1] for line in lines] == ([] if log else ["rule_denied"])


@BOTH
def test_source(proxy, client, origin, names, method):
    """The first rule that sets it; a connection from another address is not used again."""
    o = origin()
    server = names("127.0.0.1 a.test b.test\n")
    rules = [
        {"host": "a.test", "source": "127.0.0.5"},
        {"host": "b.test", "address": "127.0.0.1", "source": "127.0.0.6"},
        {"source": "127.0.0.7"},
    ]
    p = proxy(access={"rules": rules}, resolver={"servers": [server.address]})
    for host in ("a.test", "b.test", "127.0.0.1"):
        c = client(p)
        assert ask(c, o, method, host).status == 200
        c.close()
    assert [c.peer[0] for c in o.accepted()] == ["127.0.0.5", "127.0.0.6", "127.0.0.7"]


def test_source_of_an_address_that_is_left_out_is_not_the_others(proxy, client, origin, scripted):
    """::1 cannot be reached from its rule's source; 127.0.0.1, which no rule is about, comes later."""
    held = {}

    def script(query):
        if query.name == "a.test":
            held[query.kind] = query
        else:
            query.addresses("127.0.0.1")

    o, server = origin(), scripted(script)
    rules = [{"address": "::1", "source": "127.0.0.5"}]
    p = proxy(workers=1, access={"rules": rules}, resolver={"servers": [server.address]})
    c = client(p)
    c.request("GET", f"http://a.test:{o.port}/")
    daemon.poll(lambda: {A, AAAA} <= set(held), "both questions")
    held[AAAA].addresses("::1")
    for name in ("b.test", "c.test"):  # when they are answered, that was read
        assert client(p).get(f"http://{name}:{o.port}/").status == 200
    held[A].addresses("127.0.0.1")
    assert c.recv_response().status == 200
    assert {c.peer[0] for c in o.accepted()} == {"127.0.0.1"}


RATE, SECONDS = 200_000, 2


@BOTH
def test_bandwidth_is_shared_by_all_that_match(proxy, client, origin, method):
    """And it stands in for that of the client, which would be much less."""
    half = RATE * SECONDS // 2
    o = origin(serve(response(b"x" * half)))
    rules = [{"client": "127.0.0.0/30", "bandwidth": RATE}]
    p = proxy(access={"rules": rules}, limits={"client_bandwidth": RATE // 10})
    clients = [client(p, source=source) for source in ("127.0.0.1", "127.0.0.2")]
    began = time.monotonic()
    for c in clients:
        if method == "CONNECT":
            assert ask(c, o, "CONNECT").status == 200
            c.send(request("GET", "/", [("Host", "x")]))
        else:
            c.request("GET", o.url())
    for c in clients:
        assert len(c.recv_response().body) == half
    took = time.monotonic() - began
    # Each may have one piece at once that is paid for afterwards.
    assert 0.85 * SECONDS <= took < 0.8 * 10 * SECONDS


def test_a_bucket_outlives_its_configuration(proxy, client, origin):
    """A client that rests holds nothing of the rule that its last request was paced by."""
    o = origin()
    p = proxy(access={"rules": [{"bandwidth": 1_000_000}]})
    c = client(p)
    assert c.get(o.url()).status == 200
    p.write_config(access={"rules": None})
    p.signal(signal.SIGHUP)
    p.wait_line("a configuration is not used any more")
    for _ in range(3):
        assert c.get(o.url()).body == b"hello\n"


# ---- reload -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [{"host": "a.test"}, {"address": "127.0.0.1"}, {"method": "GET"}], ids=str
)
def test_a_new_rule_holds_at_once(proxy, client, origin, names, rule):
    """For names that are remembered and connections that are open, on both sides."""
    o = origin()
    server = names("127.0.0.1 a.test\n", "--local-ttl=600")
    p = proxy(resolver={"servers": [server.address]})
    c = client(p)
    url = f"http://a.test:{o.port}/"
    assert c.get(url).status == 200
    p.reload(access={"rules": [{**rule, "action": "deny"}]})
    daemon.poll(lambda: c.get(url).status == 403, "the new rule")
    seen = len(o.connection().requests)
    for _ in range(3):
        assert c.get(url).status == 403
    assert len(o.accepted()) == 1 and len(o.connection().requests) == seen
    p.reload(access={"rules": []})
    daemon.poll(lambda: c.get(url).status == 200, "the rule to be gone")
    assert server.queries("a.test") <= 2  # A and AAAA, once


GONE = "a configuration is not judged by any more"


def test_rules_stay_while_a_name_is_asked_for(proxy, client, origin, scripted):
    """What has begun is judged by the rules that it began under, however late the answer."""
    asked, released = threading.Event(), threading.Event()

    def script(query):
        asked.set()
        assert released.wait(daemon.TIMEOUT)
        query.addresses("127.0.0.1")

    server = scripted(script)
    rules = [{"host": "a.test", "address": "127.0.0.1", "action": "deny", "say": SAY}]
    p = proxy(workers=1, resolver={"servers": [server.address]}, access={"rules": rules})
    early, late = client(p), client(p)
    early.request("GET", "http://a.test:1/")
    assert asked.wait(daemon.TIMEOUT)
    p.reload(access={"rules": []}, name="second")
    o = origin()
    daemon.poll(lambda: late.get(o.url()).get("Via") == "1.1 second", "the new name")
    assert not any(GONE in line for line in p.lines)
    released.set()
    answer = early.recv_response()
    assert answer.status == 403 and SAY.encode() in answer.body
    p.wait_line(GONE)
    daemon.poll(lambda: "rule_denied" in [line.end for line in p.access()], "its line")


def test_what_rules_have_set_outlives_them(proxy, client, origin):
    """A tunnel, and a request that is sent a second time after they have gone."""
    reloaded = threading.Event()

    def handler(c):
        if c.index == 0:
            c.next_request()
            c.send(response(b"one"))
            c.next_request()
            assert reloaded.wait(daemon.TIMEOUT)
            return  # without an answer
        while True:
            c.next_request()
            c.send(response(b"more"))

    o, mirror = origin(handler), origin(serve(response(b"x" * 3000)))
    rules = [
        {"address": "127.0.0.1", "bandwidth": 1_000_000},
        {"host": "127.0.0.1", "log": "off", "scheme": "http"},
    ]
    p = proxy(workers=1, access={"rules": rules})
    c, tunnel = client(p), client(p)
    assert tunnel.connect_to(mirror.authority).status == 200
    assert c.get(o.url("/one")).body == b"one"
    c.request("GET", o.url("/two"))
    daemon.poll(lambda: len(o.connection().requests) == 2, "the request to be there")
    p.reload(access={"rules": []})
    p.wait_line(GONE)
    reloaded.set()
    assert c.recv_response().body == b"more"
    for _ in range(3):
        assert tunnel.get("/").body == b"x" * 3000
    tunnel.close()
    assert c.get(o.url("/three")).status == 200
    lines = sorted(p.access(2), key=lambda line: line.request)
    assert [line.request for line in lines] == [
        f"CONNECT {mirror.authority} HTTP/1.1",
        f"GET {o.url('/three')} HTTP/1.1",
    ]
    assert lines[0].end == "ok" and lines[0].destination == mirror.authority
    assert int(lines[0].down) > 9000
    p.wait_line("a configuration is not used any more")
    assert len(o.accepted()) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"rules": [{"host": "a.test", "action": "deny"}]},
        {"rules": [{"address": "127.0.0.1", "scheme": "tunnel", "action": "deny"}]},
        {"clients": ["192.0.2.1"]},
        {"allow_addresses": []},
        {"connect_ports": ["443"]},
    ],
    ids=lambda change: str(list(change.values())[0]),
)
@pytest.mark.parametrize("recheck", ["on", "off"])
def test_tunnels_are_checked_again(proxy, client, origin, names, change, recheck):
    """When that is asked for."""
    o = origin()
    server = names("127.0.0.1 a.test\n")
    p = proxy(workers=2, resolver={"servers": [server.address]})
    c = client(p)
    assert c.connect_to(f"a.test:{o.port}").status == 200
    assert c.get("/").status == 200
    p.reload(access={"recheck_tunnels": recheck, **change})
    if recheck == "on":
        with pytest.raises(Closed) as end:
            c.recv_some()
        assert end.value.reset
        assert p.access(1)[0].end in ("rule_denied", "client_denied", "address_denied", "port_denied")
    else:
        daemon.poll(lambda: ask(client(p), o, "CONNECT", "a.test").status == 403, "the change")
        assert c.get("/").status == 200


def test_a_tunnel_that_is_still_allowed_goes_on(proxy, client, origin, names):
    o = origin()
    server = names("127.0.0.1 a.test\n127.0.0.1 b.test\n")
    p = proxy(workers=1, resolver={"servers": [server.address]})
    gone, stays = client(p), client(p)
    assert gone.connect_to(f"a.test:{o.port}").status == 200
    assert stays.connect_to(f"b.test:{o.port}").status == 200
    p.write_config(
        access={"recheck_tunnels": "on", "rules": [{"host": "a.test", "action": "deny"}]}
    )
    p.signal(signal.SIGHUP)
    with pytest.raises(Closed):
        gone.recv_some()
    assert stays.get("/").status == 200


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_a_tunnel_that_a_reload_overtakes_is_checked_too(proxy, client, origin, scripted, method):
    """It is asked for before the reload, and stands only afterwards."""
    released = threading.Event()

    def script(query):
        assert released.wait(daemon.TIMEOUT)
        query.addresses("127.0.0.1")

    def switch(message):
        fields = [("Upgrade", "x"), ("Connection", "Upgrade")]
        return response(status="101 Switching Protocols", fields=fields, length=False)

    o, server = origin(serve(switch)), scripted(script)
    p = proxy(workers=1, resolver={"servers": [server.address]})
    c = client(p)
    if method == "CONNECT":
        c.request("CONNECT", f"a.test:{o.port}")
    else:
        fields = [("Upgrade", "x"), ("Connection", "Upgrade")]
        c.request("GET", f"http://a.test:{o.port}/", fields)
    server.asked("a.test")
    p.write_config(
        access={"recheck_tunnels": "on", "rules": [{"host": "a.test", "action": "deny"}]}
    )
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
    daemon.poll(lambda: ask(client(p), o, "GET", "a.test").status == 403, "the new rule")
    released.set()
    with pytest.raises(Closed) as end:
        c.recv_all()
    assert end.value.reset
    assert p.access(2)[-1].end == "rule_denied"


def test_a_bad_rule_changes_nothing(proxy, client, origin):
    o = origin()
    p = proxy(access={"rules": [{"host": "a.test", "action": "deny"}]})
    p.write_config(access={"rules": [{"host": "a.test", "action": "denied"}]})
    p.signal(signal.SIGHUP)
    p.wait_line(r"penstock.conf:\d+: access.rules\[1\].action: must be")
    c = client(p)
    assert c.get("http://a.test/").status == 403
    assert c.get(o.url()).status == 200


def test_ten_thousand_rules(tmp_path):
    """They load from a file, in no more time than it takes to read it."""
    path = tmp_path / "many.conf"
    rules = [
        {"host": f".h{i}.test", "client": f"10.{i // 256}.{i % 256}.0/24", "action": "deny"}
        for i in range(10_000)
    ]
    path.write_text(daemon.render_file({"access": {"rules": rules, "clients": ["0.0.0.0/0"]}}))
    done = daemon.run("-c", str(path), "--explain", "10.39.15.1 GET http://x.h9999.test/")
    assert (done.returncode, done.stderr) == (1, "")
    assert "access.rules[10000]" in done.stdout


# ---- explain ------------------------------------------------------------------------------------

EXPLAINED = """access = {
  clients = [ "192.168.1.0/24" ];
  rules = (
    { host = ".work.test"; time = "mon-fri 08:00-17:00"; zone = "Europe/Berlin";
      action = "deny"; say = "Not now."; },
    { client = "192.168.1.9"; log = "off"; bandwidth = 1000; source = "192.0.2.7"; },
    { address = "private"; host = ".lan"; action = "allow"; },
    { address = "198.20.0.0/16"; action = "deny"; },
    { listener = "guests"; action = "deny"; },
    { port = "8443"; action = "allow"; }
  );
};
listen = ( { name = "guests"; address = "127.0.0.1"; port = 3128; } );
"""

# The request, more options, the status and what the answer has to have.
ANSWERS = [
    ("192.168.2.5 GET http://a.test/", [], 1, ["access.clients", "192.168.2.5"]),
    ("192.168.1.5 GET http://a.test/", [], 0, ["access.rules[4]", "address"]),
    ("192.168.1.5 GET http://a.test/", ["--address", "8.8.8.8"], 0, ["no rule matches"]),
    ("192.168.1.5 GET http://a.test/", ["--address", "198.20.1.1"], 1, [":8: access.rules[4]"]),
    ("192.168.1.5 GET http://a.test/", ["--address", "10.0.0.1"], 1, ["10.0.0.1", "private"]),
    ("192.168.1.5 GET http://nas.lan/", ["--address", "10.0.0.1"], 0, [":7: access.rules[3]"]),
    (
        "192.168.1.5 GET http://a.test/",
        ["--address", "198.20.1.1", "--address", "8.8.8.8"],
        0,
        ["198.20.1.1: deny", "8.8.8.8: allow"],
    ),
    ("192.168.1.5 GET http://0x7f.1/", [], 1, ["127.0.0.1", "loopback"]),
    ("192.168.1.5 GET http://localhost/", [], 1, ["127.0.0.1: deny", "::1: deny", "loopback"]),
    ("192.168.1.5 CONNECT a.LocalHost.:443", [], 1, ["loopback"]),
    ("192.168.1.5 GET http://localhost/", ["--address", "8.8.8.8"], 0, ["no rule matches"]),
    ("192.168.1.5 CONNECT a.test:22", [], 1, ["port 22", "connect_ports"]),
    ("192.168.1.5 GET https://a.test:8443/x", ["--address", "8.8.8.8"], 0, ["access.rules[6]"]),
    ("192.168.1.5 GET http://a.test:25/", [], 1, ["port 25"]),
    (
        "192.168.1.5 GET http://x.work.test/",
        ["--at", "2024-01-01 12:00"],
        1,
        [":4: access.rules[1]", '"Not now."'],
    ),
    ("192.168.1.5 GET http://x.work.test/", ["--at", "2024-01-06 12:00"], 0, ["access.rules[4]"]),
    (
        "192.168.1.9 anna GET http://8.8.8.8/",
        [],
        0,
        [
            "no rule",
            "log off",
            "bandwidth 1000",
            "source 192.0.2.7",
            ":6: access.rules[2]",
            "the user does not count: there is no auth.users",
        ],
    ),
    ("192.168.1.5 GET http://8.8.8.8/", ["--listener", "guests"], 1, [":9: access.rules[5]"]),
]


@pytest.mark.parametrize("number", range(len(ANSWERS)), ids=lambda n: " ".join([ANSWERS[n][0]]))
def test_explain(tmp_path, number):
    what, options, status, parts = ANSWERS[number]
    path = tmp_path / "x.conf"
    path.write_text(EXPLAINED)
    done = daemon.run("-c", str(path), "--explain", what, *options)
    assert (done.returncode, done.stderr) == (status, "")
    assert done.stdout.split()[0] == ("deny" if status else "allow")
    for part in parts:
        assert part in done.stdout


ITSELF = """listen = (
    { address = "127.0.0.1"; port = 3128; }, { address = "0.0.0.0"; port = 3129; } );
access = {
  allow_addresses = [ "special" ]; connect_ports = [ "1-65535" ];
  rules = ( { address = "loopback"; port = "3128"; action = "allow"; } );
};
"""


@BOTH
@pytest.mark.parametrize(
    "authority, addresses, status",
    [
        ("127.0.0.1:3128", [], 1),
        ("[::ffff:127.0.0.1]:3128", [], 1),
        ("0:3128", [], 1),
        ("127.0.0.2:3128", [], 0),
        ("127.0.0.1:3130", [], 0),
        ("[::1]:3129", [], 0),
        ("127.9.9.9:3129", [], 1),
        ("8.8.8.8:3129", [], 0),
        ("a.test:3128", ["127.0.0.1"], 1),
        ("a.test:3128", ["127.0.0.1", "127.0.0.2"], 0),
    ],
)
def test_explain_knows_the_proxy_itself(tmp_path, method, authority, addresses, status):
    path = tmp_path / "x.conf"
    path.write_text(ITSELF)
    url = authority if method == "CONNECT" else f"http://{authority}/"
    options = [text for a in addresses for text in ("--address", a)]
    done = daemon.run("-c", str(path), "--explain", f"127.0.0.1 {method} {url}", *options)
    assert (done.returncode, done.stderr) == (status, "")
    assert ("the proxy itself listens at " in done.stdout) == (status == 1 or len(addresses) > 1)


@pytest.mark.parametrize(
    "arguments",
    [
        [""],
        ["192.168.1.5"],
        ["192.168.1.5 http://a.test/"],
        ["192.168.1.5 anna GET http://a.test/ more"],
        ["host GET http://a.test/"],
        ["192.168.1.5 GET ftp://a.test/"],
        ["192.168.1.5 GET /"],
        ["192.168.1.5 G@T http://a.test/"],
        ["192.168.1.5 CONNECT a.test"],
        ["192.168.1.5 GET http://a.test/", "--address", "a.test"],
        ["192.168.1.5 GET http://10.0.0.1/", "--address", "10.0.0.1"],
        ["192.168.1.5 GET http://a.test/", "--at", "noon"],
        ["192.168.1.5 GET http://a.test/", "--at", "2026-02-30 12:00"],
        ["192.168.1.5 GET http://a.test/"] + ["--address", "::1"] * 17,
    ],
    ids=str,
)
def test_explain_tells_nonsense(arguments):
    done = daemon.run("--explain", *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("penstock: ")


@pytest.mark.parametrize("option", ["--address=8.8.8.8", "--at=2026-11-23 12:00", "--listener=lan"])
def test_what_goes_with_explain_does_so_only(option):
    done = daemon.run("-T", option)
    assert (done.returncode, done.stdout) == (64, "")
    assert "--explain" in done.stderr.split("\n")[0]
