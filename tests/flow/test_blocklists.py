"""Blocklists: which hosts are refused, what is said of it, and how lists are read again."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import daemon
from peers import Closed

HOSTS = """
127.0.0.1 ads.test x.ads.test good.ads.test x.good.ads.test bad.good.ads.test other.test
127.0.0.1 one.test two.test three.test n5.list.test
"""
MILLION = 1_000_000 if not daemon.sanitized() else 100_000


def write(path, text):
    """Write the list, put into its place all at once; its path."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)
    return path


@pytest.fixture
def served(proxy, origin, names, tmp_path):
    """served(lists): a proxy with them, for which every name of the test leads to the origin."""

    def start(lists, workers=daemon.WORKERS, **access):
        o = origin()
        servers = names(HOSTS)
        paths = [write(str(tmp_path / name), text) for name, text in lists.items()]
        p = proxy(
            access={"blocklists": paths, **access},
            resolver={"servers": [servers.address]},
            workers=workers,
        )
        return p, o, paths

    return start


def get(c, o, host):
    return c.get(f"http://{host}:{o.port}/")


def reload(p, count):
    p.signal(signal.SIGHUP)
    p.wait_line("read again", count=count, timeout=daemon.RELOAD_TIMEOUT)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    ["ads.test", "ADS.test. # why", ".ads.test", "*.ads.test", "0.0.0.0 none.test ads.test"]
    + ["127.0.0.1\tads.test", "address=/none.test/ads.test/", "local=/ads.test/", "||ads.test^"],
)
def test_formats(served, client, line):
    p, o, _ = served({"ads.txt": f"# a list\n\n{line}\r\n"})
    c = client(p)
    for host in ("ads.test", "x.ads.test", "X.Ads.TEST."):
        assert get(c, o, host).status == 403
    assert get(c, o, "other.test").status == 200
    assert client(p).connect_to(f"x.ads.test:{o.port}").status == 403
    assert client(p).connect_to(f"other.test:{o.port}").status == 200
    assert sum(len(connection.requests) for connection in o.connections) == 1


def test_what_is_said_of_it(served, client):
    p, o, _ = served({"ads.txt": "ads.test\n", "more.hosts": "0.0.0.0 other.test\n"})
    c = client(p)
    plain = get(c, o, "ads.test")
    assert b"it is on the list ads." in plain.body and b"penstock: blocklist" in plain.body
    status = plain.head.get("Proxy-Status")
    assert "error=http_request_denied" in status and "on the list ads" in status
    page = c.get(f"http://other.test:{o.port}/", [("Accept", "text/html")])
    assert b"it is on the list more." in page.body and b"<h1>403 Forbidden</h1>" in page.body
    assert [line.end for line in p.access(2)] == ["blocklist:ads", "blocklist:more"]
    assert get(c, o, "one.test").status == 200
    c.close()
    p.stop()
    assert "penstock_blocklist_denied_total 2" in p.stderr
    for name in ("ads", "more"):
        assert f'penstock_blocklist_denied_total{{list="{name}"}} 1' in p.stderr


def test_exceptions(served, client):
    """The longer name decides, and an exception holds in whichever list it stands."""
    p, o, _ = served(
        {"ads.txt": "||ads.test^\n||bad.good.ads.test^\n", "mine.txt": "@@good.ads.test\n"}
    )
    c = client(p)
    for host in ("ads.test", "x.ads.test", "bad.good.ads.test"):
        assert get(c, o, host).status == 403, host
    for host in ("good.ads.test", "x.good.ads.test"):
        assert get(c, o, host).status == 200, host


def test_the_name_is_not_even_asked_for(proxy, client, names, tmp_path):
    server = names("127.0.0.1 ads.test\n")
    path = write(str(tmp_path / "ads.txt"), "ads.test\n")
    p = proxy(access={"blocklists": [path]}, resolver={"servers": [server.address]})
    assert client(p).get("http://ads.test/").status == 403
    assert server.queries("ads.test") == 0


def test_addresses_are_on_no_list(served, client):
    p, o, _ = served({"ads.txt": "127.0.0.1\n0.0.0.0 127.0.0.1\n1\n"})
    p.wait_line(r"list ads \(.*\): 0 names, 0 exceptions; 2 lines in no format known, .* line 1$")
    assert client(p).get(o.url()).status == 200


# ---- beside rules -------------------------------------------------------------------------------


def test_a_rule_that_allows_the_host_lifts_it(served, client):
    rules = [
        {"host": "good.ads.test", "action": "allow"},
        {"host": "x.ads.test", "address": "10.0.0.0/8", "action": "allow"},
        {"client": "127.0.0.1", "action": "allow"},
    ]
    p, o, _ = served({"ads.txt": "ads.test\n"}, rules=rules)
    c = client(p)
    assert get(c, o, "good.ads.test").status == 200
    # One that does not name it does not, and one that waits for the address may not.
    assert get(c, o, "ads.test").status == 403
    answer = get(c, o, "x.ads.test")
    assert answer.status == 403 and b"on the list ads." in answer.body
    assert [line.end for line in p.access(3)] == ["ok", "blocklist:ads", "blocklist:ads"]
    for host, expected in {
        "good.ads.test": r"allow .*access\.rules\[1\] allows it",
        "ads.test": r"deny ads\.test is on the list ads \(.*/ads\.txt\), unless .* names the host; "
        r"it is allowed by .*access\.rules\[3\], which names no host",
    }.items():
        done = daemon.run("-c", p.config_path, "--explain", f"127.0.0.1 GET http://{host}/")
        assert done.returncode == (0 if expected.startswith("allow") else 1)
        assert re.match(expected, done.stdout), done.stdout


def test_tunnels_are_checked_again(served, client):
    p, o, paths = served({"ads.txt": "none.test\n"}, recheck_tunnels="on")
    gone, stays = client(p), client(p)
    assert gone.connect_to(f"ads.test:{o.port}").status == 200
    assert stays.connect_to(f"other.test:{o.port}").status == 200
    write(paths[0], "ads.test\n")
    reload(p, 1)
    with pytest.raises(Closed) as end:
        gone.recv_some()
    assert end.value.reset
    assert stays.get("/").status == 200
    assert p.access(1)[0].end == "blocklist:ads"


# ---- the configuration --------------------------------------------------------------------------


def check(folder, paths):
    path = os.path.join(folder, "check.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(daemon.render_file(daemon.merge(daemon.DEFAULTS, {"access": {"blocklists": paths}})))
    return daemon.run("-t", "-c", path)


def test_checked_beforehand(tmp_path):
    folder = str(tmp_path)
    good = write(os.path.join(folder, "ads.txt"), "ads.test\nno name\n@@x.ads.test\n")
    result = check(folder, [good])
    assert result.returncode == 0, result.stderr
    assert (
        f"list ads ({good}): 1 name, 1 exception; "
        "1 line in no format known, the first is line 2\n" in result.stdout
    )
    os.mkdir(os.path.join(folder, "sub"))
    again = write(os.path.join(folder, "sub", "ads.hosts"), "")
    for path, why in {
        os.path.join(folder, "none"): "cannot read .*: No such file or directory",
        folder: "cannot read .*: Is a directory",
        "": 'must be a list of at most 64 files like .*, but holds ""',
        again: "there is a list of that name already",
        "/dev/null": "cannot read /dev/null: it is no file",
        os.path.join(folder, "my list.txt"): "a list is called by its file's name",
    }.items():
        result = check(folder, [good, path])
        assert result.returncode == 78, path
        assert re.search(rf"check.conf:\d+: access\.blocklists: .*{why}", result.stderr), path


# ---- reload -------------------------------------------------------------------------------------


def test_a_reload_reads_it_again(served, client):
    p, o, paths = served({"ads.txt": "ads.test\n"})
    c = client(p)
    assert get(c, o, "ads.test").status == 403
    assert get(c, o, "other.test").status == 200
    write(paths[0], "other.test\n")
    reload(p, 1)
    # On the connection that is open already.
    daemon.poll(lambda: get(c, o, "other.test").status == 403, "the new list")
    assert get(c, o, "ads.test").status == 200
    os.unlink(paths[0])
    p.signal(signal.SIGHUP)
    p.wait_line(r"access\.blocklists: cannot read .*: No such file.*; nothing has changed")
    assert get(c, o, "other.test").status == 403
    p.write_config(access={"blocklists": None})
    reload(p, 2)
    daemon.poll(lambda: get(c, o, "other.test").status == 200, "no list")


def million(number):
    """What tells it from another is its last line."""
    rest = "".join(f"0.0.0.0 n{i}.list.test\n" for i in range(MILLION))
    return f"{rest}0.0.0.0 {number}.test\n"


@pytest.fixture(scope="module")
def large():
    return million("one"), million("two")


def loading(p):
    """Whether the thread that reads is there."""
    for tid in os.listdir(f"/proc/{p.pid}/task"):
        try:
            with open(f"/proc/{p.pid}/task/{tid}/comm", encoding="ascii") as f:
                if f.read() == "loader\n":
                    return True
        except FileNotFoundError:
            pass
    return False


@pytest.mark.timeout(150)  # it reads at leisure
def test_a_million_names_are_read_while_traffic_flows(served, client, large):
    """What took a loop's time would hold up every request for as long as the reading takes."""
    p, o, paths = served({"large.txt": large[0]}, workers=1)
    c = client(p)
    assert get(c, o, "n5.list.test").status == get(c, o, "one.test").status == 403
    write(paths[0], large[1])
    p.signal(signal.SIGHUP)
    began, slowest, answers = time.monotonic(), 0, 0
    while get(c, o, "two.test").status == 200:
        at = time.monotonic()
        assert get(c, o, "three.test").status == 200
        slowest = max(slowest, time.monotonic() - at)
        answers += 1
        assert at - began < 120
    took = time.monotonic() - began
    p.wait_line("read again", timeout=daemon.RELOAD_TIMEOUT)
    assert get(c, o, "n5.list.test").status == 403
    daemon.poll(lambda: get(c, o, "one.test").status == 200, "the new list")
    print(f"{answers} answers in {took:.2f} s, the slowest took {slowest * 1000:.1f} ms")
    if not daemon.sanitized():
        assert answers > 20 and slowest < took / 2
        # The old one is gone, and both together were never twice as much as they are.
        daemon.poll(lambda: p.status("VmRSS") < 64 * 1024, "the old list to be gone")
        assert p.memory_peak() < 128 * 1024


def test_reading_goes_on_beside_a_program_that_takes_the_cpu(served, large):
    """It steps back, but not so far that it would never be done."""
    p, _, paths = served({"large.txt": "three.test\n"})
    cpu = {min(os.sched_getaffinity(0))}
    with subprocess.Popen(
        [sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, cpu)
    ) as busy:
        try:
            os.sched_setaffinity(p.pid, cpu)  # the main thread, from which others have it
            write(paths[0], large[1])
            began = time.monotonic()
            reload(p, 1)
            print(f"{time.monotonic() - began:.1f} s")
        finally:
            busy.kill()


def test_told_to_reload_while_it_reads(served, client, large):
    p, o, paths = served({"large.txt": large[0]})
    c = client(p)
    write(paths[0], large[1])
    p.signal(signal.SIGHUP)
    daemon.poll(lambda: loading(p) or "read again" in p.stderr, "reading to begin")
    write(paths[0], "three.test\n")
    p.signal(signal.SIGHUP)
    p.wait_line("read again", count=2, timeout=daemon.RELOAD_TIMEOUT)
    daemon.poll(lambda: get(c, o, "three.test").status == 403, "the last list")
    assert get(c, o, "two.test").status == 200


@pytest.mark.parametrize("signals", [1, 2])
def test_told_to_end_while_it_reads(served, client, large, signals):
    p, o, paths = served({"large.txt": large[0]})
    c = client(p)
    assert get(c, o, "three.test").status == 200
    write(paths[0], large[1])
    p.signal(signal.SIGHUP)
    daemon.poll(lambda: loading(p) or "read again" in p.stderr, "reading to begin")
    for _ in range(signals):
        p.signal(signal.SIGTERM)
    assert p.wait_exit() == 0


def test_a_list_that_has_not_changed_is_not_read_again(served, tmp_path, large):
    """Nor one that a rule names, which tells of its odd line whenever it is read."""
    named = write(str(tmp_path / "named.txt"), "one.test\nno name\n")
    rules = [{"host": "@" + named, "action": "deny"}]
    p, _, paths = served({"large.txt": large[0], "ads.txt": "ads.test\n"}, rules=rules)

    def told():
        return sum(named in line and "in no format known" in line for line in p.lines)

    settled = os.stat(paths[0]).st_ctime + 3
    daemon.poll(lambda: time.time() > settled, "the file's time to be past")
    reload(p, 1)  # those that were too young
    reload(p, 2)
    assert sum("list large (" in line for line in p.lines) == 2
    before = told()
    reload(p, 3)
    assert sum("list large (" in line for line in p.lines) == 2 and told() == before
    write(paths[1], "ads.test\nother.test\n")
    reload(p, 4)
    assert sum("list large (" in line for line in p.lines) == 2
    assert any("list ads (" in line and "2 names" in line for line in p.lines)


# ---- lists that are not needed any more ---------------------------------------------------------

GENERATIONS = 5


def generation(number):
    names = 300_000 if not daemon.sanitized() else 3_000
    return "".join(f"0.0.0.0 n{i}.list.test\n" for i in range(names)) + f"g{number}.test\n"


@pytest.mark.parametrize("named_by", ["blocklists", "a rule"])
def test_a_generation_of_lists_goes_though_tunnels_and_downloads_go_on(
    proxy, client, origin, tmp_path, named_by
):
    """Each began under lists of its own.  They go on, end well, and are logged."""
    path, released = str(tmp_path / "large.txt"), threading.Event()

    def drip(c):
        while True:
            c.next_request()
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin")
            assert released.wait(daemon.RELOAD_TIMEOUT)
            c.send(b"\r\nend")

    slow, quick = origin(drip), origin()
    write(path, generation(0))
    by_rule = [{"host": "@" + path, "action": "deny"}]
    access = {"blocklists": [path]} if named_by == "blocklists" else {"rules": by_rule}
    p = proxy(access=access)
    tunnels, downloads, memory = [], [], []
    for number in range(GENERATIONS + 1):
        if number > 0:
            write(path, generation(number))
            reload(p, number)
            p.wait_line("a configuration is not judged by any more", count=number)
        assert client(p).get(f"http://g{number}.test/").status == 403
        tunnels.append(client(p))
        assert tunnels[-1].connect_to(quick.authority).status == 200
        downloads.append(client(p))
        downloads[-1].request("GET", slow.url(f"/{number}"))
        assert downloads[-1].recv_head().status == 200
        memory.append(p.status("VmRSS"))
    print(f"{named_by}: {memory} KiB")
    assert not any("a configuration is not used any more" in line for line in p.lines)
    if not daemon.sanitized():
        # A generation is 6 MiB.
        assert memory[-1] < memory[0] + 12 * 1024
    released.set()
    for tunnel, download in zip(tunnels, downloads):
        assert tunnel.get("/").body == b"hello\n"
        tunnel.close()
        assert download.recv_exact(10) == b"begin\r\nend"
    lines = p.access(3 * (GENERATIONS + 1))
    for to in (quick.authority, slow.authority):
        assert [line.end for line in lines if line.destination == to] == ["ok"] * len(tunnels)
    denied = "blocklist:large" if named_by == "blocklists" else "rule_denied"
    assert [line.end for line in lines if line.status == "403"] == [denied] * len(tunnels)
    p.wait_line("a configuration is not used any more", count=GENERATIONS)
