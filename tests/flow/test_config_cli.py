"""The command line, the configuration file, and starting."""

import os
import socket

import pytest

import daemon

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
    # An IPv4 and an IPv6 socket may be given the same port.
    assert len(set(zip((at["address"] for at in listen), p.ports))) == 3
    for place, port in zip(listen, p.ports):
        for _ in range(6):
            assert client((place["address"], port)).get(o.url()).status == 200
    assert len(p.access(18)) == 18
