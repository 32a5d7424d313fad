"""Started as root: who it is then, and what it can and cannot do any more."""

import os
import pwd
import re
import shutil
import signal
import socket
import tempfile

import pytest

import daemon
from conftest import Stage
from peers import Client

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")

USER = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
EX_CONFIG, EX_OSERR = 78, 71


@pytest.fixture
def stage():
    """In a folder that every user can come to, as /etc and /var/log are."""
    folder = tempfile.mkdtemp(prefix="penstock-users-")
    os.chmod(folder, 0o755)
    stage = Stage(folder)
    yield stage
    stage.clear()
    shutil.rmtree(folder)


def rights(p, key):
    """A line of /proc/PID/status, of each thread that is the daemon's."""
    found = []
    for tid in [p.pid, *p.workers()]:
        with open(f"/proc/{p.pid}/task/{tid}/status", encoding="ascii") as f:
            found.append(re.search(rf"^{key}:[ \t]*(.*)", f.read(), re.M)[1].split())
    return found


def test_root_is_left_behind(proxy, client, origin):
    o = origin()
    p = proxy(user="nobody", workers=2)
    p.wait_line("running as user nobody")
    assert client(p).get(o.url()).status == 200
    for key, expected in {
        "Uid": [str(USER.pw_uid)] * 4,
        "Gid": [str(USER.pw_gid)] * 4,
        "CapPrm": ["0" * 16],
        "CapEff": ["0" * 16],
        "CapInh": ["0" * 16],
        "CapAmb": ["0" * 16],
        "NoNewPrivs": ["1"],
    }.items():
        assert rights(p, key) == [expected] * 3, key
    groups = list(map(str, os.getgrouplist("nobody", USER.pw_gid)))
    assert rights(p, "Groups") == [groups] * 3
    # Core dumps stay possible: /proc shows whose the process is only when they are.
    assert os.stat(f"/proc/{p.pid}/stat").st_uid == USER.pw_uid


def test_root_without_a_user_is_warned_of(proxy, client, origin):
    o = origin()
    p = proxy()
    p.wait_line("warning: running as root; the key user says who else to be")
    assert client(p).get(o.url()).status == 200
    assert rights(p, "NoNewPrivs") == [["1"]] * (1 + daemon.WORKERS)


def start(stage, launch=(), arguments=(), **config):
    """Start with these keys changed, to the end; the result of the program."""
    path = os.path.join(stage.folder, "penstock.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(daemon.render_file(daemon.merge(daemon.DEFAULTS, config)))
    return daemon.run_as(list(launch), "-c", path, *arguments)


def test_unknown_user(stage):
    result = start(stage, user="no-such-user")
    assert result.returncode == EX_OSERR
    assert "user no-such-user: there is no such user" in result.stderr


def test_checked_beforehand(stage):
    """-t finds what a start as root would meet as the user."""
    path = log_path(stage, 0o755, 0)
    good = start(stage, arguments=["-t"], user="nobody", log={"access": path})
    assert good.returncode == 0, good.stderr
    assert not os.path.exists(path)
    with open(path, "w", encoding="ascii"):
        os.chmod(path, 0o640)
    result = start(stage, arguments=["-t"], user="nobody", log={"access": path})
    assert result.returncode != 0
    assert f"cannot open the access log {path}: Permission denied" in result.stderr
    result = start(stage, arguments=["-t"], user="no-such-user")
    assert result.returncode != 0
    assert "user no-such-user: there is no such user" in result.stderr


def low_ports():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as f:
        return int(f.read()) >= 1024


@pytest.mark.skipif(not low_ports(), reason="all may listen on all ports here")
def test_low_ports_at_the_start_only(proxy, client, origin):
    o = origin()
    port = next(port for port in range(700, 1024) if not in_use(port))
    p = proxy(user="nobody", listen=[{"address": "127.0.0.1", "port": port}])
    assert p.ports == [port]
    assert client(p).get(o.url()).status == 200
    other = next(port for port in range(port + 1, 1024) if not in_use(port))
    p.write_config(listen=[{"address": "127.0.0.1", "port": other}], name="second")
    p.signal(signal.SIGHUP)
    p.wait_line(
        rf"cannot listen on 127\.0\.0\.1:{other}: Permission denied;"
        " a port below 1024 takes root, or a socket from systemd; nothing has changed"
    )
    assert client(p).get(o.url()).get("Via") == "1.1 penstock"
    # What it has it keeps, over reloads too.
    p.write_config(name="third")
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
    daemon.poll(lambda: Client(p.address).get(o.url()).get("Via") == "1.1 third", "the new name")


def in_use(port):
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_a_configuration_that_only_root_can_read(stage, proxy, client, origin):
    """It starts, and says at once what a reload will meet."""
    o = origin()
    folder = stage.subfolder("secret", 0)
    os.chmod(folder, 0o700)
    p = proxy(user="nobody")
    os.chmod(p.config_path, 0o600)
    assert "a reload will fail" not in p.stderr
    p.signal(signal.SIGHUP)
    p.wait_line("Permission denied; nothing has changed")
    assert client(p).get(o.url()).status == 200
    unreadable = os.path.join(folder, "penstock.conf")
    shutil.copy(p.config_path, unreadable)
    second = daemon.Program([daemon.BINARY, "-c", unreadable])
    stage.servers.append(second)
    second.wait_line(f"user nobody cannot read {unreadable}: Permission denied; a reload will fail")


# ---- the access log -----------------------------------------------------------------------------


def log_path(stage, mode, uid):
    folder = stage.subfolder("log", 0)
    os.chmod(folder, mode)
    os.chown(folder, uid, -1)
    return os.path.join(folder, "access.log")


def test_log_in_a_folder_of_the_user(stage, proxy, client, origin):
    """Renamed and opened again, as often as one likes."""
    o = origin()
    path = log_path(stage, 0o750, USER.pw_uid)
    p = proxy(user="nobody", log={"access": path})
    assert os.stat(path).st_uid == USER.pw_uid
    for i in range(3):
        assert client(p).get(o.url(f"/{i}")).status == 200
        p.access(1, path=path)
        os.rename(path, f"{path}.{i}")
        p.signal(signal.SIGUSR1)
        daemon.poll(lambda: os.path.exists(path), "the new file")
    assert os.stat(path).st_uid == USER.pw_uid
    assert "cannot reopen" not in p.stderr


def test_log_in_a_folder_of_root(stage, proxy, client, origin):
    """Made at the start; after a rename it takes a file from logrotate's "create"."""
    o = origin()
    path = log_path(stage, 0o755, 0)
    p = proxy(user="nobody", log={"access": path})
    assert (os.stat(path).st_uid, os.stat(path).st_mode & 0o777) == (USER.pw_uid, 0o640)
    c = client(p)
    c.get(o.url("/one"))
    p.access(1, path=path)
    os.rename(path, path + ".1")
    p.signal(signal.SIGUSR1)
    p.wait_line("cannot reopen the access log: Permission denied, keeping the old file")
    c.get(o.url("/two"))
    assert "/two" in p.access(2, path=path + ".1")[1].request
    with open(path, "w", encoding="ascii"):
        os.chown(path, USER.pw_uid, -1)
    p.signal(signal.SIGUSR1)
    c.get(o.url("/three"))
    daemon.poll(lambda: c.get(o.url("/three")) and os.stat(path).st_size > 0, "the new file")
    # A second start finds it, and goes on.
    second = proxy(user="nobody", log={"access": path})
    client(second).get(o.url("/four"))
    daemon.poll(lambda: "/four" in open(path, encoding="ascii").read(), "the line")


def test_log_that_is_a_link_or_not_the_users(stage):
    """Nothing of root's is written to or given away through what lies in the log's folder."""
    path = log_path(stage, 0o755, USER.pw_uid)
    roots = os.path.join(stage.folder, "of-root")
    with open(roots, "w", encoding="ascii") as f:
        f.write("as it was")
    os.chmod(roots, 0o600)
    os.symlink(roots, path)
    for _ in range(2):
        result = start(stage, user="nobody", log={"access": path})
        assert result.returncode == EX_OSERR
        assert f"cannot open the access log {path}: Permission denied" in result.stderr
        with open(roots, encoding="ascii") as f:
            assert f.read() == "as it was"
        assert os.stat(roots).st_uid == 0
        os.unlink(path)
        os.link(roots, path)


# ---- not as root --------------------------------------------------------------------------------


def test_not_root(stage):
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    result = start(stage, as_nobody, user="daemon", log={"access": ""})
    if "setpriv" in result.stderr:
        pytest.skip("the binary is where only root can come")
    assert result.returncode == EX_OSERR
    assert "user daemon: only root can become another user" in result.stderr


def test_the_user_already(stage, proxy, client, origin):
    """As under systemd with User=: the key may say the same."""
    p = proxy(user="root")
    p.wait_line("warning: running as root")
    assert client(p).get(origin().url()).status == 200


def test_lists_are_read_by_root_first_and_then_by_the_user(stage, proxy, client):
    path = os.path.join(stage.folder, "ads.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("ads.test\n")
    os.chmod(path, 0o600)
    lists = {"blocklists": [path]}
    result = start(stage, arguments=["-t"], user="nobody", access=lists)
    assert result.returncode == 0, result.stderr
    assert f"user nobody cannot read {path}: Permission denied; a reload will fail" in result.stdout
    p = proxy(user="nobody", access=lists)
    p.wait_line(rf"user nobody cannot read {path}: Permission denied; a reload will fail")
    os.chmod(p.folder, 0o755)
    p.signal(signal.SIGHUP)
    p.wait_line(rf"access.blocklists: cannot read {path}: Permission denied; nothing has changed")
    assert client(p).get("http://ads.test/").status == 403
    os.chmod(path, 0o644)
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
