"""The command line, the configuration file, and what signals do."""

import os
import signal
import socket
import threading

import pytest

import daemon
from peers import TIMEOUT, Client

SAMPLE = os.path.join(daemon.ROOT, "conf/penstock.conf")


# ---- the command line ---------------------------------------------------------------------------


def test_version():
    done = daemon.run("-V")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("penstock ")
    assert "libevent" in done.stdout


def test_help():
    done = daemon.run("-h")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("-c", "-t", "-T", "-V", "-h"):
        assert option in done.stdout


@pytest.mark.parametrize(
    "arguments", [["-x"], ["--nothing"], ["-c"], ["file"], ["-t", "file"]], ids=str
)
def test_wrong_use_says_how_to_do_it(arguments):
    done = daemon.run(*arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert "usage: penstock" in done.stderr


ONE = '{ address = "127.0.0.1"; port = 1; }'
TWO = '{ address = "::1"; port = 2; }'


# ---- the file -----------------------------------------------------------------------------------


def check(tmp_path, text):
    path = tmp_path / "test.conf"
    path.write_text(text, encoding="latin-1")
    return path, daemon.run("-t", "-c", str(path))


GOOD = {
    "empty": "",
    "comments": "# one\n// two\n/* three\nfour */\n",
    "several listeners": f"listen = ( {ONE}, {TWO} );",
    "list with round brackets": 'access = { clients = ( "10.0.0.0/8" ); };',
    "group without a semicolon behind it": "timeouts = { head = 5; }",
    "colon for equals": "workers : 3;",
    "long integer": "workers = 3L;",
    "hexadecimal": "workers = 0x10;",
    "ipv6 networks": 'access = { allow_addresses = [ "fd00::/8", "::1/128" ]; };',
    "name servers": 'resolver = { servers = [ "192.0.2.1", "192.0.2.1:53", "::1", "[::1]:53" ]; };',
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_good_file(tmp_path, text):
    _, done = check(tmp_path, text)
    assert (done.returncode, done.stderr) == (0, "")


# name: the file, the line that the message must name, and words of it in this order
BAD = {
    "unknown key": ("workers = 1;\nwrokers = 2;\n", 2, "wrokers", "workers"),
    "unknown key in a group": (
        "timeouts = {\n  head = 1;\n  heat = 2;\n};\n",
        3,
        "timeouts.heat",
        "head",
    ),
    "unknown group": ("\n\ntimeout = { head = 1; };\n", 3, "timeout", "timeouts"),
    "string for a number": ('limits = {\n  head = "many";\n};\n', 2, "limits.head", "1024"),
    "number for a string": ("name = 5;\n", 1, "name"),
    "fraction": ("workers = 1.5;\n", 1, "workers"),
    "boolean": ("workers = true;\n", 1, "workers"),
    "number for a group": ("timeouts = 5;\n", 1, "timeouts"),
    "group for a number": ("workers = { a = 1; };\n", 1, "workers"),
    "too small": ("\nlimits = { head = 1023; };\n", 2, "limits.head", "1024", "1048576"),
    "too large": ("workers = 257;\n", 1, "workers", "0", "256"),
    "negative": ("timeouts = { head = -1; };\n", 1, "timeouts.head"),
    "beyond 32 bits": ("workers = 4294967297L;\n", 1, "workers"),
    "no network": (
        'access = {\n  clients = [ "10.0.0.0/8",\n    "10.0.0.0/33" ];\n};\n',
        None,
        "access.clients",
        "10.0.0.0/33",
    ),
    "network with host bits": ('access = { clients = [ "10.0.0.1/8" ]; };\n', 1, "access.clients"),
    "no port": ('access = { connect_ports = [ "0" ]; };\n', 1, "access.connect_ports"),
    "range backwards": ('access = { connect_ports = [ "9-1" ]; };\n', 1, "access.connect_ports"),
    "number for a port string": (
        "access = { connect_ports = [ 443 ]; };\n",
        1,
        "access.connect_ports",
    ),
    "no name server": ('resolver = { servers = [ "ns.test" ]; };\n', 1, "resolver.servers"),
    "no token": ('name = "a b";\n', 1, "name"),
    "unknown level": ('log = {\n\n  level = "loud";\n};\n', 3, "log.level", "debug"),
    "unknown target": ('log = { target = "mail"; };\n', 1, "log.target", "syslog"),
    "listen at a name": ('listen = ( { address = "localhost"; port = 1; } );\n', 1, "listen"),
    "listen without a port": ('listen = ( { address = "::1"; } );\n', 1, "listen"),
    "listen at too high a port": (
        'listen = ( { address = "::1"; port = 65536; } );\n',
        1,
        "listen",
    ),
    "listen with more": ('listen = ( { address = "::1"; port = 1; tls = true; } );\n', 1, "tls"),
    "listen nowhere": ("listen = ( );\n", 1, "listen"),
    "line as large as the head": (
        "limits = { head = 2048; request_line = 2048; };\n",
        1,
        "limits.request_line",
    ),
    "twice": ("workers = 1;\n\nworkers = 2;\n", 3),
    "no value": ("workers = ;\n", 1),
    "no end of the group": ("timeouts = {\n  head = 1;\n", None),
    "no end of the string": ('name = "penstock;\n', 1),
    "nonsense": ("\n\n%%%\n", 3),
    "included file": ('@include "/etc/passwd"\n', 1),
    "control in a string": ('name = "a\x01b";\n', 1, "name"),
    "deep": ("a = " + "{ a = " * 200 + "1;" + "};" * 200, 1),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_file(tmp_path, case):
    text, line, *words = case
    path, done = check(tmp_path, text)
    assert (done.returncode, done.stdout) == (78, "")
    message = done.stderr
    assert message.count("\n") == 1 and message.isascii(), message
    where = f"{path}:{line}: " if line else f"{path}:"
    assert message.removeprefix("penstock: ").startswith(where), message
    at = len(where)
    for word in words:
        at = message.find(word, at)
        assert at >= 0, f"{word!r} is not in {message!r}"


def test_bad_file_keeps_the_daemon_from_starting(tmp_path):
    path = tmp_path / "test.conf"
    path.write_text("workers = many;\n", encoding="ascii")
    done = daemon.run("-c", str(path))
    assert done.returncode == 78
    assert f"{path}:1: " in done.stderr


@pytest.mark.parametrize("option", [["-t"], ["-T"], []], ids=str)
def test_missing_file(tmp_path, option):
    path = str(tmp_path / "nothing.conf")
    done = daemon.run(*option, "-c", path)
    assert done.returncode == 78
    assert f"{path}: No such file or directory" in done.stderr


def test_directory_for_a_file(tmp_path):
    done = daemon.run("-t", "-c", str(tmp_path))
    assert done.returncode == 78
    assert f"{tmp_path}: " in done.stderr


def test_sample_file_is_good_and_says_the_defaults():
    assert daemon.run("-t", "-c", SAMPLE).returncode == 0
    assert daemon.run("-T", "-c", SAMPLE).stdout == daemon.run("-T").stdout


def test_built_in_defaults():
    done = daemon.run("-T")
    assert (done.returncode, done.stderr) == (0, "")
    for part in ('"127.0.0.1"', "3128", '"127.0.0.0/8"', '"443"', '"penstock"'):
        assert part in done.stdout


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_printed_configuration_reads_as_the_same(tmp_path, text):
    path, _ = check(tmp_path, text)
    once = daemon.run("-T", "-c", str(path))
    assert (once.returncode, once.stderr) == (0, "")
    again = tmp_path / "again.conf"
    again.write_text(once.stdout, encoding="ascii")
    assert daemon.run("-T", "-c", str(again)).stdout == once.stdout


def test_printed_configuration_has_what_the_file_says(tmp_path):
    path = tmp_path / "test.conf"
    config = daemon.merge(daemon.DEFAULTS, {"name": "gate", "log": {"access": 'a"b\\c'}})
    path.write_text(daemon.render_file(config), encoding="ascii")
    out = daemon.run("-T", "-c", str(path)).stdout
    for part in ('"1-65535"', '"gate"', '"debug"', r'"a\"b\\c"'):
        assert part in out


# ---- starting -----------------------------------------------------------------------------------


def test_port_that_is_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "test.conf"
        path.write_text(f'listen = ( {{ address = "127.0.0.1"; port = {port}; }} );\n')
        done = daemon.run("-c", str(path))
    assert done.returncode not in (0, 64, 78)
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Address already in use" in done.stderr


def test_port_of_another_proxy(proxy, tmp_path):
    """Two daemons must not share a port by accident."""
    p = proxy()
    path = tmp_path / "test.conf"
    path.write_text(f'listen = ( {{ address = "127.0.0.1"; port = {p.port}; }} );\n')
    done = daemon.run("-c", str(path))
    assert done.returncode not in (0, 64, 78)
    assert "Address already in use" in done.stderr


def test_address_that_is_not_ours(tmp_path):
    path = tmp_path / "test.conf"
    path.write_text('listen = ( { address = "203.0.113.7"; port = 0; } );\n')
    done = daemon.run("-c", str(path))
    assert done.returncode not in (0, 64, 78)
    assert "203.0.113.7" in done.stderr


def test_access_log_that_cannot_be_opened(tmp_path):
    path = tmp_path / "test.conf"
    config = daemon.merge(daemon.DEFAULTS, {"log": {"access": f"{tmp_path}/no/log"}})
    path.write_text(daemon.render_file(config), encoding="ascii")
    done = daemon.run("-c", str(path))
    assert done.returncode not in (0, 64)
    assert "No such file or directory" in done.stderr
    assert f"{tmp_path}/no/log" in done.stderr


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_several_listeners_and_workers(proxy, client, origin, workers):
    o = origin()
    listen = [{"address": a, "port": 0} for a in ("127.0.0.1", "::1", "127.0.0.1")]
    p = proxy(listen=listen, workers=workers)
    assert len(set(p.ports)) == 3
    for place, port in zip(listen, p.ports):
        for _ in range(6):
            assert client((place["address"], port)).get(o.url()).status == 200
    assert len(p.access(18)) == 18


# ---- ending -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_ends_when_told(proxy, client, origin, number):
    o = origin()
    p = proxy()
    idle, silent = client(p), client(p)
    assert idle.get(o.url()).status == 200
    assert silent.sock.getpeername()[1] == p.port
    p.signal(number)
    assert p.wait_exit() == 0
    idle.expect_closed()
    silent.expect_closed()


def half_answer(release):
    """An origin that sends the second half of its answer when it is told to."""

    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        assert release.wait(TIMEOUT)
        c.send(b"more")
        c.recv_all()

    return handler


def test_finishes_what_is_running(proxy, client, origin):
    release = threading.Event()
    o = origin(half_answer(release))
    p = proxy(timeouts={"drain": 30})
    c = client(p)
    c.request("GET", o.url())
    c.recv_until(b"half")
    p.signal(signal.SIGTERM)
    p.wait_line("finishing")
    daemon.poll(lambda: refuses(p.address), "the end of listening")
    assert p.alive()
    release.set()
    assert c.recv_exact(4) == b"more"
    c.expect_closed()
    assert p.wait_exit() == 0
    assert p.access()[0].end == "ok"


def refuses(address):
    try:
        Client(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it was in the queue of a listener that was just closed
    return False


@pytest.mark.parametrize("how", ["second signal", "time is up"])
def test_does_not_wait_for_ever(proxy, client, origin, how):
    release = threading.Event()
    o = origin(half_answer(release))
    p = proxy(timeouts={"drain": 1 if how == "time is up" else 60})
    c = client(p)
    c.request("GET", o.url())
    c.recv_until(b"half")
    p.signal(signal.SIGTERM)
    p.wait_line("finishing")
    if how == "second signal":
        p.signal(signal.SIGTERM)
    assert p.wait_exit() == 0
    c.expect_closed()
    release.set()
    line = p.access()[0]
    assert (line.status, line.down, line.end) == ("200", "4", "shutdown")


def test_ends_in_the_middle_of_everything(proxy, client, origin, names):
    """Nothing is left behind (sanitizers see that) whatever was under way."""
    release = threading.Event()
    half, silent = origin(half_answer(release)), origin(lambda c: c.recv_all())
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        p = proxy(resolver={"servers": ["127.0.0.1:%d" % server.getsockname()[1]]})
        clients = [client(p) for _ in range(8)]
        clients[0].request("GET", half.url())
        clients[0].recv_until(b"half")
        clients[1].request("GET", silent.url())
        clients[2].request("GET", "http://a.test/")
        clients[3].request("CONNECT", silent.authority)
        assert clients[3].recv_head().status == 200
        clients[4].send("GET http://")
        clients[5].request("CONNECT", "b.test:443")
        clients[6].request("POST", silent.url(), [("Content-Length", "100")])
        server.settimeout(TIMEOUT)
        server.recv(4096)
        p.signal(signal.SIGTERM)
        p.wait_line("finishing")
        p.signal(signal.SIGTERM)
        assert p.wait_exit() == 0
    release.set()


# ---- changing its mind --------------------------------------------------------------------------


def test_reload(proxy, client, origin):
    o = origin()
    p = proxy(access={"connect_ports": []})
    old = client(p)
    assert old.connect_to(o.authority).status == 403
    p.write_config(access={"connect_ports": ["1-65535"]}, name="second")
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
    # Each worker takes the news when its turn comes.
    daemon.poll(lambda: Client(p.address).get(o.url()).get("Via") == "1.1 second", "the new name")
    daemon.poll(lambda: old.connect_to(o.authority).status == 200, "the new ports")


def test_bad_file_changes_nothing_and_says_why(proxy, client, origin):
    o = origin()
    p = proxy()
    c = client(p)
    with open(p.config_path, "w", encoding="ascii") as f:
        f.write('name = "second";\nworkers = many;\n')
    for i in range(2):
        p.signal(signal.SIGHUP)
        p.wait_line(f"{p.config_path}:2: ", count=i + 1)
        assert c.get(o.url()).get("Via") == "1.1 penstock"
    os.unlink(p.config_path)
    p.signal(signal.SIGHUP)
    p.wait_line("No such file or directory")
    assert c.get(o.url()).get("Via") == "1.1 penstock"


def test_reload_names_what_takes_a_restart(proxy, client, origin):
    o = origin()
    p = proxy(workers=1)
    p.write_config(workers=2, name="second")
    p.signal(signal.SIGHUP)
    p.wait_line("workers.* restart")
    p.wait_line("read again")
    assert client(p).get(o.url()).status == 200


def test_request_ends_under_the_configuration_it_began_with(proxy, client, origin):
    release = threading.Event()
    o = origin(half_answer(release))
    p = proxy()
    c = client(p)
    c.request("GET", o.url())
    c.recv_until(b"half")
    for i in range(5):
        p.write_config(name=f"name{i}", limits={"in_flight": 16384 + i})
        p.signal(signal.SIGHUP)
        p.wait_line("read again", count=i + 1)
    release.set()
    assert c.recv_exact(4) == b"more"
    assert p.access()[0].end == "ok"


def test_reload_under_load(proxy, client, origin):
    o = origin()
    p = proxy(workers=2)
    clients = [client(p) for _ in range(8)]
    for i in range(20):
        p.write_config(name=f"name{i}")
        p.signal(signal.SIGHUP)
        for c in clients:
            c.request("GET", o.url())
        for c in clients:
            assert c.recv_response().status == 200


def test_logs_are_opened_again(proxy, client, origin):
    o = origin()
    p = proxy(workers=2)
    c = client(p)
    for i in range(3):
        c.get(o.url(f"/before{i}"))
    moved = p.access_path + ".1"
    os.rename(p.access_path, moved)
    p.signal(signal.SIGUSR1)
    daemon.poll(lambda: os.path.exists(p.access_path), "the new file")
    before = p.access(3, path=moved)
    assert [f"/before{i} " in line.request for i, line in enumerate(before)] == [True] * 3
    daemon.poll(lambda: moved not in opened(p), "the old file's end")
    c.get(o.url("/after"))
    assert "/after" in p.access()[0].text


def opened(p):
    folder = f"/proc/{p.pid}/fd"
    return [os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)]


def test_logs_that_cannot_be_opened_again_go_on(proxy, client, origin):
    o = origin()
    p = proxy()
    c = client(p)
    c.get(o.url("/one"))
    moved = p.folder + ".moved"
    os.rename(p.folder, moved)
    p.signal(signal.SIGUSR1)
    p.wait_line("access log")
    c.get(o.url("/two"))
    assert len(p.access(2, path=os.path.join(moved, "access.log"))) == 2


def test_descriptors_do_not_leak(proxy, client, origin, refusing_port):
    o = origin()
    p = proxy(workers=1, limits={"pool": 0})
    c = client(p)
    c.get(o.url())
    before = p.descriptors()
    for _ in range(50):
        c.get(o.url())
        c.get(f"http://127.0.0.1:{refusing_port}/")
        other = Client(p.address)
        other.connect_to(o.authority)
        other.close()
    daemon.poll(lambda: p.descriptors("socket") <= before, "all to be closed")
    for i in range(3):
        p.signal(signal.SIGHUP)
        p.wait_line("read again", count=i + 1)
        p.signal(signal.SIGUSR1)
    daemon.poll(lambda: p.descriptors() <= before + 16 * 2, "only spare pipes to be left")
