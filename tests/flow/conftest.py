"""Fixtures: a proxy, origins and clients, ended in an order that lets everything be checked."""

import os
import socket

import pytest

pytest.register_assert_rewrite("peers", "daemon", "nameserver")

import daemon  # noqa: E402
import nameserver  # noqa: E402
import peers  # noqa: E402
import space  # noqa: E402


class Stage:
    """What a test has started.  At its end the clients go first, then origins, then proxies."""

    def __init__(self, folder):
        self.folder = folder
        self.clients, self.origins, self.servers, self.proxies = [], [], [], []

    def subfolder(self, name, number):
        path = os.path.join(self.folder, f"{name}{number}")
        os.mkdir(path)
        return path

    def clear(self):
        for client in self.clients:
            client.close()
        for origin in self.origins:
            origin.stop()
        errors = []
        for act in [p.stop_unless_stopped for p in self.proxies] + [o.check for o in self.origins]:
            try:
                act()
            except AssertionError as error:
                errors.append(error)
        for program in self.proxies + self.servers:
            program.kill()
        if errors:
            raise errors[0]


@pytest.fixture
def stage(tmp_path):
    stage = Stage(str(tmp_path))
    yield stage
    stage.clear()


@pytest.fixture
def proxy(stage):
    """proxy(key=value, group={...}): a running proxy.  Groups are merged with the defaults.

    env: more environment variables; stdout: a file for its standard output; sockets: those it is
    handed over, by name.
    """

    def start(env=None, stdout=None, sockets=None, **config):
        folder = stage.subfolder("proxy", len(stage.proxies))
        started = daemon.Proxy(folder, config, env, stdout, sockets)
        stage.proxies.append(started)
        return started

    return start


@pytest.fixture
def origin(stage):
    """origin(handler): a running origin.  See peers.Origin and peers.serve."""

    def start(handler=peers.serve(peers.hello), **options):
        started = peers.Origin(handler, **options)
        stage.origins.append(started)
        return started

    return start


@pytest.fixture
def client(stage):
    """client(proxy): a connected client; client(("127.0.0.1", port)) goes elsewhere.

    source: the address it comes from.
    """

    def start(to, timeout=peers.TIMEOUT, source=None):
        started = peers.Client(getattr(to, "address", to), timeout, source)
        stage.clients.append(started)
        return started

    return start


@pytest.fixture
def names(stage):
    """names(hosts, *arguments): a running name server; its address is for resolver.servers."""

    def start(hosts="", *arguments):
        folder = stage.subfolder("names", len(stage.servers))
        started = daemon.NameServer(folder, hosts, arguments)
        stage.servers.append(started)
        return started

    return start


@pytest.fixture
def scripted(stage):
    """scripted(script): a running nameserver.Scripted; its address is for resolver.servers."""
    started = []

    def start(script):
        started.append(nameserver.Scripted(script))
        stage.servers.append(started[-1])
        return started[-1]

    yield start
    for server in started:
        server.check()


@pytest.fixture
def refusing_port():
    """A port of 127.0.0.1 that refuses connections as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def small_buffers():
    """A network of one's own, in which the kernel lets no socket grow large.

    For crowds: on loopback it gives a proxy's socket up to 2.6 MiB, and a thousand of these take
    all that it has for TCP; then it resets connections, those of the tests beside this one, too.
    """
    if not space.is_possible():
        yield
        return
    own = space.Space()
    with own:
        for name in "tcp_wmem", "tcp_rmem":
            with open(f"/proc/sys/net/ipv4/{name}", "w", encoding="ascii") as file:
                file.write("4096 32768 65536")
        yield
    own.close()
