"""peers -- the proxies that are measured: how each is configured, started and asked."""

import os
import re
import shutil
from dataclasses import dataclass

from program import Failure, Program

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
BUILT = os.path.join(HERE, "..", "..", "build", "bench")


@dataclass(frozen=True)
class Peer:
    """What is to be known of a proxy.  In argv and template, @WORDS@ are filled in."""

    name: str
    argv: tuple
    template: str = ""
    settings: tuple = ()
    version: tuple = ()
    tunnels: bool = True
    keeps_clients: bool = True
    relays: bool = False  # knows nothing of HTTP
    spread: bool = False  # over all CPUs


HAPROXY = ("haproxy", "-db", "-f", "@CONFIG@")

PEERS = {
    peer.name: peer
    for peer in (
        Peer("penstock", ("@PENSTOCK@", "-c", "@CONFIG@"), "penstock.conf",
             (("LOG", ""), ("WORKERS", 1)), ("@PENSTOCK@", "-V")),
        Peer("penstock-log", ("@PENSTOCK@", "-c", "@CONFIG@"), "penstock.conf",
             (("LOG", "@FOLDER@/access.log"), ("WORKERS", 1))),
        Peer("penstock-spread", ("@PENSTOCK@", "-c", "@CONFIG@"), "penstock.conf",
             (("LOG", ""), ("WORKERS", 1)), spread=True),
        Peer("penstock-spread-2", ("@PENSTOCK@", "-c", "@CONFIG@"), "penstock.conf",
             (("LOG", ""), ("WORKERS", 2)), spread=True),
        Peer("limit", ("@LIMIT@", "@PORT@", "@ORIGIN@"), relays=True),
        # Chooses by itself whether to splice, and copies most of what it gets here.
        Peer("haproxy", HAPROXY, "haproxy.cfg",
             (("SPLICE", "option splice-auto"), ("TUNING", "")),
             ("haproxy", "-v"), tunnels=False),
        Peer("haproxy-copy", HAPROXY, "haproxy.cfg",
             (("SPLICE", "no option splice-auto"), ("TUNING", "")),
             ("haproxy", "-v"), tunnels=False),
        # Told to splice, and with larger pipes and buffers than by default.
        Peer("haproxy-tuned", HAPROXY, "haproxy.cfg",
             (("SPLICE", "option splice-request\n\toption splice-response"),
              ("TUNING", "tune.pipesize 1048576\n\ttune.bufsize 65536")),
             ("haproxy", "-v"), tunnels=False),
        Peer("nginx", ("nginx", "-p", "@FOLDER@", "-e", "@FOLDER@/error.log", "-c", "@CONFIG@"),
             "nginx.conf", version=("nginx", "-v"), tunnels=False),
        Peer("squid", ("squid", "-N", "-f", "@CONFIG@"), "squid.conf", version=("squid", "-v")),
        Peer("tinyproxy", ("tinyproxy", "-d", "-c", "@CONFIG@"), "tinyproxy.conf",
             version=("tinyproxy", "-v"), keeps_clients=False),
        Peer("trafficserver", ("traffic_server", "--run-root=@CONFIG@"), "trafficserver",
             version=("traffic_server", "-V")),
        Peer("privoxy", ("privoxy", "--no-daemon", "@CONFIG@"), "privoxy.conf",
             version=("privoxy", "--help")),
    )
}


def fill(text, words):
    """The text with the @WORDS@; those of the settings may have others in them."""
    for _ in range(2):
        text = re.sub("@([A-Z]+)@", lambda found: str(words.get(found[1], found[0])), text)
    return text


def find(name):
    """Where the program is; daemons are not in everybody's PATH."""
    path = shutil.which(name, path=PATH)
    if not path:
        raise Failure(f"there is no {name}")
    return path


def write_config(peer, folder, words):
    """The template filled in: a file, or a folder of them."""
    template = os.path.join(HERE, "peers", peer.template)
    names = os.listdir(template) if os.path.isdir(template) else [None]
    config = os.path.join(folder, peer.template)
    for name in names:
        source = os.path.join(template, name) if name else template
        target = os.path.join(config, name) if name else config
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.chmod(os.path.dirname(target), 0o777)  # some give up root's rights
        with open(source) as read, open(target, "w") as written:
            written.write(fill(read.read(), words))
    return config


class Running:
    """A peer that listens on its port."""

    def __init__(self, peer, bench, port):
        self.peer, self.port = peer, port
        folder = os.path.join(bench.folder, f"{peer.name}-{port}")
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777)
        words = {
            "PENSTOCK": bench.penstock,
            "LIMIT": os.path.join(BUILT, "limit"),
            "PORT": port,
            "ORIGIN": bench.origin_port,
            "FOLDER": folder,
            **dict(peer.settings),
        }
        if peer.template:
            words["CONFIG"] = write_config(peer, folder, words)
        argv = [fill(word, words) for word in peer.argv]
        argv[0] = find(argv[0])
        cpus = bench.cpus["all" if peer.spread else "proxy"]
        self.program = Program(argv, cpus, f"{folder}/stderr")
        try:
            if peer.relays:
                self.program.await_ready()
            else:
                self.program.await_port(port)
        except BaseException:
            self.program.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.end()

    @property
    def pid(self):
        return self.program.pid

    def way(self, tunnel):
        """The options of load that lead through it."""
        if self.peer.relays:
            return ["-d", f"127.0.0.1:{self.port}"]
        return ["-x", f"127.0.0.1:{self.port}"] + (["-T"] if tunnel else [])
