"""The command line, the configuration file, and starting."""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import tempfile

import pytest

import daemon

MANUAL = os.path.join(daemon.ROOT, "conf/penstock.8")
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
    assert daemon.run("--help").stdout == done.stdout
    assert daemon.run("--version").stdout == daemon.run("-V").stdout


def test_the_manual_page_has_every_option():
    groff = ["groff", "-mdoc", "-Tascii", "-ww", "-P-cbou"]
    page = subprocess.run([*groff, MANUAL], capture_output=True, text=True, check=True, timeout=60)
    assert page.stderr == ""
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z]+", daemon.run("-h").stdout))
    assert len(known) > 8
    told = set(re.findall(r"(?<![\w-])--?[a-zA-Z]+", page.stdout))
    assert told - {"--help", "--version"} >= known
    assert told - known <= {"--help", "--version"}


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


def check(tmp_path, text, option="-t"):
    path = tmp_path / "test.conf"
    path.write_text(text, encoding="latin-1")
    return path, daemon.run(option, "-c", str(path))


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
    _, done = check(tmp_path, text, "-T")  # whether the ports are free just now is no matter
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
    assert daemon.run("-T", "-c", SAMPLE).returncode == 0
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


# ---- what a start would do, tried ---------------------------------------------------------------


def rehearse(tmp_path, config, **options):
    path = tmp_path / "test.conf"
    path.write_text(daemon.render_file(daemon.merge(daemon.DEFAULTS, config)), encoding="ascii")
    return path, daemon.run("-t", "-c", str(path), **options)


def at(port, address="127.0.0.1"):
    return {"listen": [{"address": address, "port": port}]}


def test_a_start_that_would_succeed(tmp_path):
    log = tmp_path / "access.log"
    path, done = rehearse(tmp_path, {"log": {"access": str(log)}})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{path}: good\n")
    assert not log.exists()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("share", [False, True], ids=["alone", "shared"])
def test_port_of_another_program(tmp_path, address, share):
    with socket.create_server((address, 0), reuse_port=share) as taken:
        port = taken.getsockname()[1]
        _, done = rehearse(tmp_path, at(port))
    assert done.returncode == 71
    assert done.stderr == (
        f"penstock: cannot listen on 127.0.0.1:{port}: in use by {comm(os.getpid())}"
        f" (process {os.getpid()})\n"
    )


def comm(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().rstrip("\n")


def test_port_of_the_daemon_that_runs(proxy, client, origin, tmp_path):
    o = origin()
    p = proxy()
    before = os.stat(p.access_path)
    config = {**at(p.port), "log": {"access": p.access_path}}
    for _ in range(20):
        path, done = rehearse(tmp_path, config)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"127.0.0.1:{p.port} is held by penstock (process {p.pid})\n" in done.stdout
        assert client(p).get(o.url()).status == 200
    p.access(20)
    assert os.stat(p.access_path).st_ino == before.st_ino


def test_start_at_an_address_that_is_not_ours(tmp_path):
    _, done = rehearse(tmp_path, at(3128, "203.0.113.7"))
    assert done.returncode == 71
    assert done.stderr == (
        "penstock: cannot listen on 203.0.113.7:3128: Cannot assign requested address\n"
    )


def test_all_that_is_wrong_is_said(tmp_path):
    config = {**at(3128, "203.0.113.7"), "log": {"access": f"{tmp_path}/no/log"}}
    _, done = rehearse(tmp_path, config)
    assert done.returncode == 71
    assert done.stderr.count("\n") == 2
    assert f"cannot open the access log {tmp_path}/no/log: No such file or directory" in done.stderr


@pytest.mark.parametrize("what", ["folder", "file"])
@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's files")
def test_access_log_of_another_user(what):
    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        folder, log = top / "logs", top / "logs/access.log"
        top.chmod(0o755)
        folder.mkdir()
        if what == "file":
            log.write_text("")
            log.chmod(0o600)
            folder.chmod(0o777)
        _, done = rehearse(top, {"log": {"access": str(log)}}, user=65534)
    assert done.returncode == 71
    assert done.stderr == f"penstock: cannot open the access log {log}: Permission denied\n"


def test_a_pipe_for_an_access_log_is_not_opened(tmp_path):
    """Its reader would see the end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with open(fifo, "wb") as writer:
        _, done = rehearse(tmp_path, {"log": {"access": str(fifo)}})
        assert done.returncode == 0
        assert writer.write(b"still open") == 10
    assert os.read(reader, 100) == b"still open"
    os.close(reader)


# ---- open files ---------------------------------------------------------------------------------


def open_files(p):
    with open(f"/proc/{p.pid}/limits", encoding="ascii") as f:
        line = next(line for line in f if line.startswith("Max open files"))
    return int(line.split()[3])


def test_limit_of_open_files_is_raised_to_what_is_wished_for(proxy):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        p = proxy(workers=2, limits={"clients": 100, "pool": 10})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # A process's own and each worker's own, a place, connections to clients and origins, pipes.
    assert open_files(p) == 32 + 2 * (64 + 1 + 10) + 100 * 2 + 100 * 4
    assert not any("open files" in line for line in p.lines)
    p.write_config(limits={"clients": 200, "pool": 10})
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
    assert open_files(p) == 32 + 2 * (64 + 1 + 10) + 200 * 2 + 200 * 4


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 2000000, reason="there are enough"
)
def test_too_few_open_files_are_said(proxy, tmp_path):
    p = proxy(workers=1, limits={"clients": 1000000, "pool": 0})
    had = open_files(p)
    p.wait_line(rf"warning: {had} open files are allowed, but 1 workers .* may need 2000097: ")
    _, done = rehearse(tmp_path, {"workers": 1, "limits": {"clients": 1000000, "pool": 0}})
    assert done.returncode == 0
    assert "may need 2000097 open files" in done.stdout
