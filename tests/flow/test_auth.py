"""Who has to say who he is, and what happens when he does not, or says it wrongly."""

import os
import select
import signal
import time

import pytest

import daemon
import people
from people import say
from peers import Client, request

ANNA, BERT = say("anna", "open sesame"), say("bert", "p@ss:w/rd")
WRONG, NOBODY = say("anna", "open barley"), say("carl", "open sesame")
CHALLENGE = 'Basic realm="penstock", charset="UTF-8"'
OPEN = {"delay": 0, "failures": 0}  # neither slowed down nor stopped


@pytest.fixture
def users(tmp_path):
    return people.write_users(
        tmp_path / "users", {"anna": "open sesame", "bert": "p@ss:w/rd", "ü ber": "ß"}
    )


@pytest.fixture
def guarded(proxy, users):
    """guarded(key=value): a proxy for users, with these keys of the group auth."""

    def start(auth=None, **config):
        return proxy(auth={"users": users, **OPEN, **(auth or {})}, **config)

    return start


def becomes(c, url, fields, status):
    """Ask until a reload has reached the worker."""
    daemon.poll(lambda: c.get(url, fields).status == status, f"the status {status}")


# ---- being let in -------------------------------------------------------------------------------


def test_who_says_nothing_is_asked(guarded, client, origin):
    o = origin()
    p = guarded()
    c = client(p)
    answer = c.get(o.url(), [("Accept", "text/html")])
    assert answer.status == 407
    assert answer.head.reason == "Proxy Authentication Required"
    assert answer.get("Proxy-Authenticate") == CHALLENGE
    assert answer.get("Proxy-Status") == "penstock; error=http_request_denied"
    assert answer.head.tokens("Connection") == []
    assert "user name and a password" in answer.text and "auth_required" in answer.text
    o.assert_untouched()
    assert c.get(o.url(), [ANNA]).status == 200
    lines = p.access(2)
    assert [(x.status, x.user, x.end) for x in lines] == [
        ("407", "-", "auth_required"),
        ("200", "anna", "ok"),
    ]


def test_credentials_do_not_reach_the_origin(guarded, client, origin):
    o = origin()
    p = guarded()
    c = client(p)
    fields = [ANNA, ("Authorization", "Basic eDp5"), ("X", "y")]
    assert c.get(o.url(), fields).status == 200
    assert c.ask("POST", o.url(), fields, b"body").status == 200
    for message in o.connection().requests:
        assert message.get("Authorization") == "Basic eDp5"
        assert "proxy-authorization" not in message.head.raw.lower().decode()
        assert ANNA[1].encode() not in message.head.raw
    c.ask("GET", "http://127.0.0.1:1/", [ANNA])
    people.assert_unsaid(p, "open sesame", "anna:open sesame")


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS"])
def test_credentials_are_in_no_answer(guarded, client, origin, method):
    c = client(guarded())
    o = origin()
    answer = c.ask(method, o.url(), [ANNA, ("Max-Forwards", "0"), ("X-Seen", "yes")])
    assert answer.status == 200
    assert (b"X-Seen" in answer.body) == (method == "TRACE")
    for message in (answer, c.get("http://127.0.0.1:1/", [ANNA]), c.get(o.url(), [WRONG])):
        text = message.head.raw + message.body
        assert ANNA[1].split()[1].encode() not in text
        assert b"sesame" not in text and b"barley" not in text
    o.assert_untouched()


CREDENTIALS = [
    ([ANNA], 200, "ok"),
    ([BERT], 200, "ok"),
    ([say("ü ber", "ß")], 200, "ok"),
    ([say("anna", "open sesame", "bAsIc")], 200, "ok"),
    ([say("anna", "open sesame", "Basic  ")], 200, "ok"),
    ([WRONG], 407, "auth_failed"),
    ([NOBODY], 407, "auth_failed"),
    ([say("Anna", "open sesame")], 407, "auth_failed"),
    ([say("anna ", "open sesame")], 407, "auth_failed"),
    ([say("anna", "open sesame\0")], 407, "auth_failed"),
    ([say("anna", "")], 407, "auth_failed"),
    ([say("", "open sesame")], 407, "auth_failed"),
    ([say("anna", "x" * 600)], 407, "auth_failed"),
    ([say("x" * 600, "x")], 407, "auth_failed"),
    ([ANNA, ANNA], 407, "auth_failed"),
    ([ANNA, WRONG], 407, "auth_failed"),
    ([("Proxy-Authorization", "Basic")], 407, "auth_failed"),
    ([("Proxy-Authorization", "Basic YW5uYQ==")], 407, "auth_failed"),
    ([("Proxy-Authorization", ANNA[1] + ", " + ANNA[1])], 407, "auth_failed"),
    ([("Proxy-Authorization", ANNA[1].rstrip("=") + "\x01")], 400, "bad_request"),
    ([("Proxy-Authorization", "")], 407, "auth_required"),
    ([("Proxy-Authorization", "Bearer abc")], 407, "auth_required"),
    ([("Proxy-Authorization", 'Digest username="anna"')], 407, "auth_required"),
    ([("Authorization", ANNA[1])], 407, "auth_required"),
]


def test_credentials(guarded, client, origin):
    p = guarded()
    for fields, status, _ in CREDENTIALS:
        o = origin()
        answer = client(p).get(o.url(), fields)
        assert answer.status == status, fields
        assert answer.get("Proxy-Authenticate") == (CHALLENGE if status == 407 else None)
        if status != 200:
            o.assert_untouched()
    for line, (fields, status, end) in zip(p.access(len(CREDENTIALS)), CREDENTIALS):
        assert (line.status, line.end) == (str(status), end), fields
        assert (line.user == "-") == (status != 200)


def test_the_name_in_the_access_log_is_one_field(guarded, client, origin):
    p = guarded()
    assert client(p).get(origin().url(), [say("ü ber", "ß")]).status == 200
    assert p.access()[0].user == r"\xc3\xbc\x20ber"


def test_each_request_of_a_connection_is_checked(guarded, client, origin):
    o = origin()
    p = guarded()
    c = client(p)
    asked = [[ANNA], [], [ANNA], [WRONG], [BERT], [NOBODY], [BERT]]
    assert [c.get(o.url(), fields).status for fields in asked] == [
        200, 407, 200, 407, 200, 407, 200]
    assert [x.user for x in p.access(7)] == ["anna", "-", "anna", "-", "bert", "-", "bert"]


def test_pipelined_requests_are_checked_in_order(guarded, client, origin):
    o = origin()
    p = guarded()
    c = client(p)
    asked = [[ANNA], [], [BERT], [WRONG], [ANNA], [NOBODY], [ANNA]]
    c.send(b"".join(request("GET", o.url(f"/{i}"), fields) for i, fields in enumerate(asked)))
    assert [c.recv_response().status for _ in asked] == [200, 407, 200, 407, 200, 407, 200]
    assert [x.user for x in p.access(7)] == ["anna", "-", "bert", "-", "anna", "-", "anna"]


def test_connect(guarded, client, origin):
    """The 407 keeps the connection, on which the client asks again."""

    def echo(c):
        c.send(c.recv_some())

    o = origin(echo)
    p = guarded()
    c = client(p)
    for fields, status in (([], 407), ([WRONG], 407), ([ANNA], 200)):
        c.request("CONNECT", o.authority, fields)
        head = c.recv_head()
        assert head.status == status
        if status == 407:
            assert head.get("Proxy-Authenticate") == CHALLENGE
            assert head.tokens("Connection") == []
            c.recv_exact(int(head.get("Content-Length")))
            o.assert_untouched()
    c.send(b"ping")
    assert c.recv_some() == b"ping"
    assert bytes(o.connection().received) == b"ping"
    c.close()
    assert [(x.status, x.user) for x in p.access(3)] == [
        ("407", "-"), ("407", "-"), ("200", "anna")]


@pytest.mark.parametrize("exempt,ends", [([], True), (["127.0.0.1"], False)])
def test_tunnels_of_nobody_are_checked_again(proxy, client, origin, users, exempt, ends):
    """When users have to say who they are from now on."""
    o = origin()
    p = proxy(workers=1)
    c = client(p)
    assert c.connect_to(o.authority).status == 200
    p.reload(access={"recheck_tunnels": "on"}, auth={"users": users, **OPEN, "exempt": exempt})
    if ends:
        c.expect_closed(reset=True)
        assert p.access()[0].end == "auth_required"
    else:
        becomes(client(p, source="127.0.0.2"), o.url(), [], 407)
        assert c.get("/").status == 200


def test_an_old_client(guarded, client, origin):
    o = origin()
    p = guarded()
    answer = client(p).get(o.url(), version="HTTP/1.0")
    assert (answer.status, answer.get("Proxy-Authenticate")) == (407, CHALLENGE)
    c = client(p)
    keep = ("Proxy-Connection", "keep-alive")
    assert c.get(o.url(), [keep], version="HTTP/1.0").status == 407
    assert c.get(o.url(), [keep, ANNA], version="HTTP/1.0").status == 200


def test_a_body_that_is_not_read(guarded, client, origin):
    """The connection ends behind the answer, which is not lost in a reset."""
    o = origin()
    p = guarded()
    for fields in ([], [WRONG]):
        c = client(p)
        c.send(request("POST", o.url(), [*fields, ("Content-Length", "3000000")]))
        c.send(bytes(100_000))
        answer = c.recv_response()
        assert answer.status == 407
        assert answer.head.tokens("Connection") == ["close"]
        c.close()
    c = client(p)
    c.send(request("POST", o.url(), [("Content-Length", "5"), ("Expect", "100-continue")]))
    assert c.recv_response().status == 407
    o.assert_untouched()
    c = client(p)
    assert c.ask("POST", o.url(), [ANNA], b"hello").status == 200
    assert o.connection().requests[0].body == b"hello"


def test_the_realm(guarded, client, origin):
    p = guarded({"realm": "the (best) proxy, ever"})
    answer = client(p).get(origin().url())
    assert answer.get("Proxy-Authenticate") == (
        'Basic realm="the (best) proxy, ever", charset="UTF-8"')


def test_the_proxys_own_page_is_for_users_too(guarded, client):
    c = client(guarded())
    assert c.get("/", [("Host", "proxy")]).status == 407
    assert c.get("/", [("Host", "proxy"), ANNA]).status == 200


def test_exempt_clients(guarded, client, origin):
    o = origin()
    p = guarded({"exempt": ["127.0.0.2", "127.0.1.0/24", "::ffff:127.0.2.0/120"]})
    for source, fields, status in (
        ("127.0.0.2", [], 200),
        ("127.0.0.2", [WRONG], 200),
        ("127.0.1.77", [], 200),
        ("127.0.2.77", [], 200),
        ("127.0.0.3", [], 407),
        ("127.0.0.3", [ANNA], 200),
    ):
        assert client(p, source=source).get(o.url(), fields).status == status, source
    assert [x.user for x in p.access(6)] == ["-"] * 5 + ["anna"]


def test_kinds_of_hashes(proxy, client, origin, tmp_path):
    settings = ["$y$j9T$abcdefgh", "$2a$04$abcdefghijklmnopqrstuu",
                "$2y$04$abcdefghijklmnopqrstuu", "$6$rounds=1000$salt", "$5$salt"]
    users = people.write_users(
        tmp_path / "users",
        {f"user{i}": people.crypt("open sesame", s) for i, s in enumerate(settings)})
    o = origin()
    c = client(proxy(auth={"users": users, **OPEN}))
    for i, setting in enumerate(settings):
        for password, status in (("open sesame", 200), ("open barley", 407), ("open sesame", 200)):
            assert c.get(o.url(), [say(f"user{i}", password)]).status == status, setting


def test_an_empty_file_lets_nobody_in(proxy, client, origin, tmp_path):
    p = proxy(auth={"users": people.write_users(tmp_path / "users", {}), **OPEN})
    assert client(p).get(origin().url(), [ANNA]).status == 407


# ---- what is kept, and reloads ------------------------------------------------------------------


@pytest.mark.parametrize("keep,checks", [(300, 1), (0, 3)])
def test_a_password_is_checked_anew_only_after_a_while(guarded, client, origin, keep, checks):
    o = origin()
    p = guarded({"keep": keep})
    for _ in range(3):
        assert client(p).get(o.url(), [ANNA]).status == 200
    p.stop()
    assert people.counted(p, "auth_checks_total") == checks


def test_what_was_right_is_checked_again_in_time(guarded, client, origin):
    o = origin()
    p = guarded({"keep": 1})
    c = client(p)
    checks = 0
    until = time.monotonic() + 3.5
    while time.monotonic() < until:
        assert c.get(o.url(), [ANNA]).status == 200
        checks += 1
    p.stop()
    assert 3 <= people.counted(p, "auth_checks_total") <= 4 < checks


def test_a_reload_makes_old_passwords_void(guarded, client, origin, users):
    o = origin()
    p = guarded()
    c = client(p)
    assert c.get(o.url(), [ANNA]).status == 200
    assert c.get(o.url(), [BERT]).status == 200
    people.write_users(users, {"anna": "another"})
    assert c.get(o.url(), [ANNA]).status == 200  # until it is told to read it
    p.reload()
    becomes(c, o.url(), [BERT], 407)
    assert c.get(o.url(), [ANNA]).status == 407
    assert c.get(o.url(), [say("anna", "another")]).status == 200
    people.write_users(users, {"anna": "open sesame", "bert": "p@ss:w/rd"})
    p.reload()
    becomes(c, o.url(), [BERT], 200)
    assert c.get(o.url(), [say("anna", "another")]).status == 407


def test_a_reload_turns_it_on_and_off(proxy, client, origin, users):
    o = origin()
    p = proxy()
    c = client(p)
    assert c.get(o.url()).status == 200
    p.reload(auth={"users": users, **OPEN})
    becomes(c, o.url(), [], 407)
    assert c.get(o.url(), [ANNA]).status == 200
    assert c.get(o.url(), [WRONG]).status == 407
    p.reload()
    becomes(c, o.url(), [], 200)


def test_a_bad_file_changes_nothing(guarded, client, origin, users):
    o = origin()
    p = guarded()
    c = client(p)
    with open(users, "a", encoding="ascii") as f:
        f.write("dora:secret\n")
    p.signal(signal.SIGHUP)
    p.wait_line(r"penstock.conf:\d+: auth.users: \S+users:4: user \"dora\": the hash is no hash"
                r".*nothing has changed")
    assert c.get(o.url(), [BERT]).status == 200
    os.unlink(users)
    p.signal(signal.SIGHUP)
    p.wait_line("auth.users: cannot read .*users: No such file.*nothing has changed")
    assert c.get(o.url(), [BERT]).status == 200
    people.assert_unsaid(p, "secret")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(guarded, client, origin, users):
    o = origin()
    p = guarded()
    os.unlink(users)
    os.mkfifo(users)
    p.signal(signal.SIGHUP)
    p.wait_line("auth.users: cannot read .*users: it is no file; nothing has changed")
    assert client(p).get(o.url(), [BERT]).status == 200
    os.unlink(p.config_path)
    os.mkfifo(p.config_path)
    p.signal(signal.SIGHUP)
    p.wait_line("penstock.conf: it is no file, and cannot be read again; nothing has changed")
    assert client(p).get(o.url(), [BERT]).status == 200


def test_groups_with_strangers_are_warned_of(guarded, client, origin, tmp_path):
    groups = tmp_path / "groups"
    groups.write_text("# who is who\nstaff: anna bert\nold: carl anna\n")
    p = guarded({"groups": str(groups)})
    p.wait_line(r'warning: \S+groups:3: group "old": there is no user "carl", ignoring')
    assert client(p).get(origin().url(), [ANNA]).status == 200


@pytest.mark.parametrize(
    "condition, says",
    [
        ({"user": ["anna", "ana"]}, r'rules\[1\].user: there is no user "ana": that matches nobody'),
        ({"group": ["staff", "stuff"]}, r'rules\[1\].group: nobody is in a group "stuff": that matches'),
        ({"listener": ["lan", "lna"]}, r'rules\[1\].listener: there is no listener "lna": that matches'),
        ({"user": "anna", "group": "staff", "listener": "lan"}, None),
    ],
    ids=["user", "group", "listener", "known"],
)
def test_rules_for_strangers_are_warned_of(guarded, client, origin, tmp_path, condition, says):
    groups = tmp_path / "groups"
    groups.write_text("staff: anna\nempty:\n")
    # Of several the first: the file may be one that somebody else keeps.
    rules = [{**condition, "action": "allow"}, {"user": "nobody", "action": "deny"}][: 1 + (says is not None)]
    listen = [{"name": "lan", "address": "127.0.0.1", "port": 0}]
    p = guarded({"groups": str(groups)}, access={"rules": rules}, listen=listen)
    if says:
        p.wait_line(r"warning: \S+penstock.conf:\d+: access." + says)
    assert client(p).get(origin().url(), [ANNA]).status == 200
    p.stop()
    assert sum("matches nobody" in line for line in p.lines) == (says is not None)


# ---- failures -----------------------------------------------------------------------------------

FAILURE = r'warning: authentication failure from {} for user "{}"$'


def test_failures_are_logged(guarded, client, origin):
    o = origin()
    p = guarded()
    c = client(p)
    for fields in ([WRONG], [NOBODY], [], [("Proxy-Authorization", "Basic x")], [ANNA]):
        c.get(o.url(), fields)
    p.stop()
    lines = [line for line in p.lines if "authentication" in line]
    assert [line.split(": ", 1)[1] for line in lines] == [
        'authentication failure from 127.0.0.1 for user "anna"',
        'authentication failure from 127.0.0.1 for user "carl"',
    ]
    assert people.counted(p, "auth_failures_total") == 2
    people.assert_unsaid(p, "open sesame", "open barley")


def test_too_many_failures(guarded, client, origin):
    """Then nothing is checked any more, not even what is right and known."""
    o = origin()
    p = guarded({"failures": 5})
    c = client(p)
    assert c.get(o.url(), [ANNA]).status == 200
    for i in range(5):
        assert c.get(o.url(), [say("anna", f"wrong {i}")]).status == 407
    for fields in ([WRONG], [ANNA], [NOBODY]):
        answer = c.get(o.url(), fields)
        assert answer.status == 429
        assert 1 <= int(answer.get("Retry-After")) <= 12
        assert answer.get("Proxy-Authenticate") is None
        assert "too often" in answer.text
        assert answer.head.tokens("Connection") == []
    assert c.get(o.url()).status == 407  # nothing was said: nothing is limited
    assert client(p, source="127.0.0.9").get(o.url(), [ANNA]).status == 200
    ends = [x.end for x in p.access(11)]
    assert sorted(ends[1:]) == ["auth_failed"] * 5 + ["auth_limited"] * 3 + ["auth_required", "ok"]
    c.close()
    p.stop()
    assert people.counted(p, "auth_limited_total") == 3
    assert people.counted(p, "auth_failures_total") == 5


def test_failures_at_once_are_no_more(guarded, client, origin):
    """Also when they all are asked before the first is answered."""
    o = origin()
    p = guarded({"failures": 5})
    clients = [client(p) for _ in range(30)]
    for i, c in enumerate(clients):
        c.request("GET", o.url(), [say("anna", f"wrong {i}")])
    statuses = [c.recv_response().status for c in clients]
    # Two are checked at a time.
    assert 5 <= statuses.count(407) <= 6
    assert statuses.count(429) == 30 - statuses.count(407)


def test_failures_are_forgiven_in_time(guarded, client, origin):
    o = origin()
    p = guarded({"failures": 30})
    c = client(p)
    for i in range(30):
        c.get(o.url(), [say("anna", f"wrong {i}")])
    answer = c.get(o.url(), [ANNA])
    if answer.status == 429:  # or it took so long that one is forgiven already
        assert int(answer.get("Retry-After")) <= 2
    becomes(c, o.url(), [ANNA], 200)


def test_a_wrong_password_is_answered_late(guarded, client, origin):
    o = origin()
    p = guarded({"delay": 1})
    c, other = client(p), client(p)
    began = time.monotonic()
    c.request("GET", o.url(), [WRONG])
    p.wait_line("authentication failure")
    assert other.get(o.url(), [ANNA]).status == 200  # meanwhile
    assert c.recv_response().status == 407
    assert time.monotonic() - began > 0.9
    # Also in front of what is behind it in a pipeline.
    began = time.monotonic()
    c.send(request("GET", o.url(), [WRONG]) + request("GET", o.url(), [ANNA]))
    assert c.recv_response().status == 407
    assert c.recv_response().status == 200
    assert time.monotonic() - began > 0.9


# ---- slow hashes --------------------------------------------------------------------------------


@pytest.fixture
def slow(proxy, tmp_path):
    """A proxy with one worker, whose anna takes a second to be checked, and whose bert does not."""
    users = people.write_users(
        tmp_path / "users",
        {"anna": people.crypt("open sesame", people.SLOW), "bert": "p@ss:w/rd"})

    def start(auth=None, **config):
        return proxy(workers=1, auth={"users": users, **OPEN, **(auth or {})}, **config)

    return start


def test_a_slow_hash_holds_up_nobody_else(slow, client, origin):
    """One worker serves many requests of others while both threads check passwords."""
    o = origin()
    p = slow()
    other = client(p)
    assert other.get(o.url(), [BERT]).status == 200
    waiting = [client(p) for _ in range(2)]
    for c, fields in zip(waiting, ([ANNA], [WRONG])):
        c.request("GET", o.url(), fields)
    served, longest = 0, 0
    while not select.select([c.sock for c in waiting], [], [], 0)[0]:
        began = time.monotonic()
        assert other.get(o.url(), [BERT]).status == 200
        longest = max(longest, time.monotonic() - began)
        served += 1
    print(f"{served} requests meanwhile, the longest took {longest * 1000:.1f} ms")
    assert served >= 5
    assert [c.recv_response().status for c in waiting] == [200, 407]


def test_a_client_that_leaves_while_it_is_checked(slow, client, origin):
    o = origin()
    p = slow({"keep": 0})
    for leave in (Client.close, Client.reset):
        clients = [client(p) for _ in range(4)]  # two are checked, two are in the queue
        for c in clients:
            c.request("GET", o.url(), [ANNA])
        daemon.poll(lambda: daemon.ptrace.threads(p.pid, "checker"), "the threads")
        for c in clients:
            leave(c)
    lines = p.access(8)
    assert [x.end for x in lines] == ["client_gone"] * 8
    assert client(p).get(o.url(), [BERT]).status == 200
    o.connection()
    assert len(o.accepted()) == 1


def test_the_end_while_a_password_is_checked(slow, client, origin):
    p = slow(timeouts={"drain": 30})
    o = origin()
    c, late = client(p), client(p)
    c.request("GET", o.url(), [ANNA])
    late.request("GET", o.url(), [say("anna", "wrong")])
    daemon.poll(lambda: daemon.ptrace.threads(p.pid, "checker"), "the threads")
    p.signal(signal.SIGTERM)
    assert (c.recv_response().status, late.recv_response().status) == (200, 407)
    assert p.wait_exit() == 0


def test_the_end_at_once(slow, client, origin):
    p = slow(timeouts={"drain": 30})
    clients = [client(p) for _ in range(6)]
    for c in clients:
        c.request("GET", origin().url(), [ANNA])
    daemon.poll(lambda: daemon.ptrace.threads(p.pid, "checker"), "the threads")
    p.signal(signal.SIGTERM)
    p.wait_line("finishing what is running")
    p.signal(signal.SIGTERM)
    assert p.wait_exit() == 0


def first_that_is_not_checked(clients):
    """The answer to the first of them that is told at once."""
    while True:
        told = daemon.poll(lambda: select.select([c.sock for c in clients], [], [], 1)[0], "it")
        c = next(c for c in clients if c.sock in told)
        clients.remove(c)
        answer = c.recv_response()
        c.close()
        if answer.status != 407:
            return answer


def ask_wrongly(p, o, client, count, sources):
    """So many clients with a wrong password of anna's each, in turn from these addresses."""
    clients = [client(p, source=sources[i % len(sources)]) for i in range(count)]
    for i, c in enumerate(clients):
        c.request("GET", o.url(), [say("anna", f"wrong {i}")])
    return clients


def test_a_full_queue_is_overload(slow, client, origin):
    o = origin()
    p = slow()
    # 256 wait and some are under way: the others are told at once.
    clients = ask_wrongly(p, o, client, 270, [f"127.0.0.{i}" for i in range(2, 8)])
    answer = first_that_is_not_checked(clients)
    assert (answer.status, answer.get("Retry-After")) == (503, "1")
    assert client(p).get(o.url()).status == 407
    for c in clients:
        c.close()
    assert p.access(271)


def test_one_client_does_not_fill_the_queue(slow, client, origin):
    o = origin()
    p = slow()
    clients = ask_wrongly(p, o, client, 80, ["127.0.0.2"])
    answer = first_that_is_not_checked(clients)
    assert (answer.status, answer.get("Retry-After")) == (503, "1")
    assert len(clients) > 60  # at once
    other = client(p, source="127.0.0.3")
    other.request("GET", o.url(), [BERT])
    other.expect_open()
    for c in clients:
        c.close()
    assert other.recv_response().status == 200


def test_who_there_is_cannot_be_told_by_the_time(proxy, client, origin, tmp_path):
    setting = people.FAST.replace("$04$", "$10$")  # 50 ms
    users = people.write_users(tmp_path / "users", {"anna": people.crypt("open sesame", setting)})
    o = origin()
    c = client(proxy(auth={"users": users, **OPEN}))
    took = {"anna": [], "carl": []}
    for i in range(5):
        for name, times in took.items():
            began = time.monotonic()
            assert c.get(o.url(), [say(name, f"wrong {i}")]).status == 407
            times.append(time.monotonic() - began)
    assert 0.5 < min(took["carl"]) / min(took["anna"]) < 2


# ---- files that are not good --------------------------------------------------------------------


@pytest.mark.parametrize(
    "users,groups,said",
    [
        ("anna:secret\n", None, 'auth.users: {u}:1: user "anna": the hash is no hash'),
        ("\n# x\nanna:$apr1$abc$secret\n", None, '{u}:3: user "anna": the hash is MD5'),
        ("anna:$1$abc$secret\n", None, '{u}:1: user "anna": the hash is MD5'),
        ("anna:{SHA}secret\n", None, '{u}:1: user "anna": the hash is SHA-1'),
        ("anna:abJnggxhB/yWI\n", None, "DES"),
        ("anna:$2b$31$" + "x" * 53 + "\n", None, "costs too much"),
        ("anna\n", None, "{u}:1: no colon"),
        (":x\n", None, "{u}:1: the name before the colon is empty"),
        ("HASH\nHASH\n", None, '{u}:2: user "anna" is in line 1 already'),
        ("HASH\n", "staff anna\n", "auth.groups: {g}:1: no colon"),
        ("HASH\n", ": anna\n", 'auth.groups: {g}:1: group ""'),
        (None, None, "auth.users: cannot read {u}: No such file or directory"),
        ("HASH\n", "", None),
    ],
)
def test_files_are_checked(tmp_path, users, groups, said):
    paths = {"u": str(tmp_path / "users"), "g": str(tmp_path / "groups")}
    auth = {"users": paths["u"]}
    if users is not None:
        (tmp_path / "users").write_text(users.replace("HASH", f"anna:{people.crypt('x')}"))
    if groups is not None:
        (tmp_path / "groups").write_text(groups)
        auth["groups"] = paths["g"]
    conf = tmp_path / "conf"
    conf.write_text("\n\n" + daemon.render_file(
        {"auth": auth, "listen": [{"address": "127.0.0.1", "port": 0}]}))
    done = daemon.run("-t", "-c", str(conf))
    if said is None:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 78
    assert done.stderr.startswith(f"penstock: {conf}:3: auth.")
    assert said.format(**paths) in done.stderr
    assert "secret" not in done.stderr


def test_groups_take_users(tmp_path):
    conf = tmp_path / "conf"
    conf.write_text(f'auth = {{ groups = "{tmp_path}/groups"; }};\n')
    done = daemon.run("-t", "-c", str(conf))
    assert done.returncode == 78
    assert "conf:1: auth.groups: there are no users to be in groups" in done.stderr


# ---- users and groups in rules ------------------------------------------------------------------

RULES = [
    {"group": "staff", "port": ["1-65535"], "action": "allow"},
    {"user": ["bert"], "method": ["GET"], "action": "allow"},
    {"action": "deny", "say": "Staff only."},
]


@pytest.fixture
def groups(tmp_path):
    (tmp_path / "groups").write_text("staff: anna\nboss: anna\nother: bert\n")
    return str(tmp_path / "groups")


def test_rules_know_users_and_groups(guarded, client, origin, groups):
    o = origin()
    p = guarded({"groups": groups, "exempt": ["127.0.0.2"]}, access={"rules": RULES})
    c = client(p)
    for fields, method, status in (
        ([ANNA], "GET", 200), ([ANNA], "POST", 200), ([BERT], "GET", 200), ([BERT], "POST", 403),
        ([say("ü ber", "ß")], "GET", 403), ([], "GET", 407), ([ANNA], "GET", 200),
    ):
        assert c.ask(method, o.url(), fields).status == status, (fields, method)
    assert client(p, source="127.0.0.2").get(o.url(), [ANNA]).status == 403  # nobody in particular
    assert [(x.user, x.end) for x in p.access(8)][3] == ("bert", "rule_denied")


def test_explain_knows_users_and_groups(tmp_path, users, groups):
    conf = tmp_path / "conf"
    conf.write_text(daemon.render_file({
        "auth": {"users": users, "groups": groups, "exempt": ["127.0.0.2"]},
        "access": {"rules": RULES}}))
    for question, status, said in (
        ("127.0.0.1 anna POST http://example.com/", 0, "allow "),
        ("127.0.0.1 bert GET http://example.com/", 0, "allow "),
        ("127.0.0.1 bert POST http://example.com/", 1, "access.rules[3] denies it"),
        ("127.0.0.1 GET http://example.com/", 1, "lets only users in, and none is named"),
        ("127.0.0.1 dora GET http://example.com/", 1, 'has no user "dora"'),
        ("127.0.0.2 anna GET http://example.com/", 1, "access.rules[3] denies it"),
        ("127.0.0.2 anna GET http://example.com/", 1, "not count: the client is in auth.exempt"),
    ):
        done = daemon.run("-c", str(conf), "--explain", question)
        assert (done.returncode, done.stderr) == (status, ""), question
        assert said in done.stdout
        assert done.stdout.startswith("allow " if status == 0 else "deny ")
