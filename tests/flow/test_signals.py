"""Signals: ending, reading the configuration again, opening the logs again."""

import os
import signal
import socket
import subprocess
import threading

import pytest

import daemon
from peers import TIMEOUT, Client


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


def test_logrotate(proxy, client, origin, tmp_path):
    """The snippet that is installed, with a systemctl that knows our process."""
    o = origin()
    p = proxy(workers=2)
    c = client(p)
    assert c.get(o.url("/before")).status == 200
    p.access(1)
    with open(os.path.join(daemon.ROOT, "conf/penstock.logrotate"), encoding="ascii") as f:
        snippet = f.read()
    assert "/var/log/penstock/*.log {" in snippet
    paths = {name: tmp_path / name for name in ("snippet", "systemctl", "state", "asked")}
    paths["snippet"].write_text(snippet.replace("/var/log/penstock/", p.folder + "/"))
    paths["snippet"].chmod(0o644)
    paths["systemctl"].write_text(
        f'#!/bin/sh\necho "$@" >>{paths["asked"]}\n[ "$1" != kill ] || kill -USR1 {p.pid}\n'
    )
    paths["systemctl"].chmod(0o755)
    for option in ("--debug", "--force"):
        done = subprocess.run(
            ["logrotate", "-s", paths["state"], option, paths["snippet"]],
            env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0 and "error" not in done.stderr, done.stderr
    assert paths["asked"].read_text().splitlines() == [
        "--quiet is-active penstock.service",
        "kill --kill-whom=main --signal=USR1 penstock.service",
    ]
    moved = p.access_path + ".1"
    daemon.poll(lambda: os.path.exists(p.access_path), "the new file")
    daemon.poll(lambda: moved not in opened(p), "the old file's end")
    assert c.get(o.url("/after")).status == 200
    assert "/after" in p.access()[0].text
    assert ["/before" in line.text for line in p.access(path=moved)] == [True]


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
