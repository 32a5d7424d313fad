"""works -- what the proxies are given to do, and what it costs them: one class for each kind."""

import json
import os
import re
import time

import machine
from peers import BUILT, HERE, PEERS, Running
from program import Failure, Program

GIB = 1 << 30
REQUEST_SECONDS = 0.6  # one measurement of requests takes about so long
REQUESTS_LEAST, REQUESTS_MOST = 500, 200_000
RUN_SECONDS = 120  # what takes longer has failed
STILL_SECONDS = 0.2  # between looks at memory, which has settled when some of them are the same
STILL_LOOKS = 3
DEAR_SECONDS = 2  # of CPU for a GiB: a quarter of it will do
IDLE = 2000
SLOW = 1000
CROWD = 10_000
SLOWLORIS = 2000


def run_load(bench, way, options):
    """Run load to its end.  Returns what it found."""
    argv = [os.path.join(BUILT, "load"), *way, *map(str, options)]
    with Program(argv, bench.cpus["load"], f"{bench.folder}/load.stderr") as load:
        output, content = load.finish(RUN_SECONDS)
        if not content:
            raise Failure(re.sub("^load: (request [0-9]+: )?", "", load.complaint()))
    return json.loads(output)


def hold(bench, way, options):
    """Connections that are held until the end of `with`."""
    argv = [os.path.join(BUILT, "load"), *way, *map(str, options)]
    load = Program(argv, bench.cpus["load"], f"{bench.folder}/hold-{time.monotonic_ns()}.stderr")
    try:
        load.await_ready(RUN_SECONDS)
    except BaseException:
        load.end()
        raise
    return load


def settled_kib(pid):
    """Resident memory, once it stands still."""
    give_up = time.monotonic() + RUN_SECONDS
    looks = []
    while len(looks) < STILL_LOOKS or len(set(looks[-STILL_LOOKS:])) > 1:
        if time.monotonic() > give_up:
            raise Failure("its memory never stands still")
        time.sleep(STILL_SECONDS)
        looks.append(machine.rss_kib(pid))
    return looks[-1]


class Work:
    """
    Something that every peer does.  `rows` names what it yields: (name, unit, what it is).
    prepare() is called once for a running peer, and measure() in every round.
    """

    anew = False  # a round needs a fresh process
    sides = None  # instead of the peers: those that are compared with each other

    def __init__(self, name, what, unit, tunnel=False):
        self.name, self.tunnel = name, tunnel
        self.rows = [(name, unit, what)]

    def suits(self, peer):
        return peer.tunnels or peer.relays or not self.tunnel

    def prepare(self, bench, running):
        """What comes before measuring; what it returns is handed to measure()."""


class Requests(Work):
    """Small requests: CPU time of one."""

    def __init__(self, name, what, clients, options=(), tunnel=False, latency=False):
        super().__init__(name, f"{what}: CPU", "us", tunnel)
        self.clients, self.options = clients, list(options)
        if latency:
            self.rows += [
                (f"{name}-p50", "us", f"{what}: half of the answers came within"),
                (f"{name}-p99", "us", f"{what}: 99 of 100 answers came within"),
            ]

    def load(self, bench, running, requests):
        options = ["-c", self.clients, "-n", requests, *self.options, bench.url("bytes", 1024)]
        return run_load(bench, running.way(self.tunnel), options)

    def prepare(self, bench, running):
        """Warm up, and find how many requests make a measurement."""
        self.load(bench, running, REQUESTS_LEAST)
        rate = self.load(bench, running, 2 * REQUESTS_LEAST)["rate"]
        return int(min(max(rate * REQUEST_SECONDS, REQUESTS_LEAST), REQUESTS_MOST))

    def measure(self, bench, running, requests):
        self.load(bench, running, REQUESTS_LEAST)
        before = machine.cpu_ns(running.pid)
        found = self.load(bench, running, requests)
        cpu_us = (machine.cpu_ns(running.pid) - before) / 1000 / requests
        return [cpu_us, found["p50_us"], found["p99_us"]][: len(self.rows)]


class Transfer(Work):
    """One GiB in all, in bodies of equal size: CPU time of a GiB."""

    def __init__(self, name, what, kind, at_once=1, tunnel=False, chunked=False):
        super().__init__(name, f"{what}: CPU", "s/GiB", tunnel)
        self.kind, self.at_once, self.chunked = kind, at_once, chunked

    def load(self, bench, running, size):
        body = size // self.at_once
        options = ["-c", self.at_once, "-n", self.at_once]
        if self.kind == "upload":
            options += ["-u", body, *(["-U"] if self.chunked else []), bench.url("upload")]
        else:
            options += [bench.url(self.kind, body)]
        return run_load(bench, running.way(self.tunnel), options)

    def cpu_seconds(self, bench, running, size):
        before = machine.cpu_ns(running.pid)
        self.load(bench, running, size)
        return (machine.cpu_ns(running.pid) - before) / 1e9

    def prepare(self, bench, running):
        """Warm up, and find how much is to be moved."""
        self.load(bench, running, GIB // 16)
        if self.cpu_seconds(bench, running, GIB // 16) * 16 < DEAR_SECONDS:
            return GIB
        bench.note(f"What takes over {DEAR_SECONDS} s of CPU for a GiB moves a quarter of one.")
        return GIB // 4

    def measure(self, bench, running, size):
        self.load(bench, running, GIB // 16)
        return [self.cpu_seconds(bench, running, size) * GIB / size]


class Held(Work):
    """Connections that are held: resident memory for each."""

    anew = True

    def __init__(self, name, what, count, size, tunnel=False, slow=False):
        super().__init__(name, what, "KiB", tunnel)
        self.count, self.size, self.slow = count, size, slow

    def suits(self, peer):
        return super().suits(peer) and (peer.keeps_clients or self.tunnel or self.slow)

    def measure(self, bench, running, _):
        way = running.way(self.tunnel)
        run_load(bench, way, [bench.url("bytes", 1024)])
        before = settled_kib(running.pid)
        options = ["-i", self.count, *(["-s"] if self.slow else []), bench.url("bytes", self.size)]
        with hold(bench, way, options) as load:
            grown = settled_kib(running.pid) - before
            running.program.check()
            content = load.finish(RUN_SECONDS)[1]
            if not content:
                raise Failure("it did not keep them: " + load.complaint())
        return [grown / self.count]


class Rest(Work):
    """Resident memory after the start and one GET."""

    anew = True

    def measure(self, bench, running, _):
        run_load(bench, running.way(False), [bench.url("bytes", 1024)])
        return [settled_kib(running.pid) / 1024]


class Comparison(Work):
    """Two processes of penstock that differ in one thing, measured in turns: a ratio."""

    repeats = 5  # in every round

    def __init__(self, name, what, sides):
        super().__init__(name, what, "ratio")
        self.sides = sides

    def one(self, bench, running):
        raise NotImplementedError

    def rounds(self, bench, runnings):
        """For each round the medians of both sides, the one with the difference first."""
        for _ in range(bench.rounds):
            found = ([], [])
            for turn in range(self.repeats):
                for i in (0, 1) if turn % 2 == 0 else (1, 0):
                    found[i].append(self.one(bench, runnings[i]))
            yield [sorted(values)[len(values) // 2] for values in found]


class Log(Comparison):
    """CPU time of a request with the access log on, against off."""

    def __init__(self, name):
        what = "get with an access log: CPU, against none"
        super().__init__(name, what, ("penstock-log", "penstock"))
        self.requests = Requests(name, "", 64)
        self.count = None

    def one(self, bench, running):
        self.count = self.count or self.requests.prepare(bench, running)
        return self.requests.measure(bench, running, self.count)[0]


class Workers(Comparison):
    """CPU time of a request with two workers, against one: what doubling the CPUs costs."""

    def __init__(self, name, what, **options):
        super().__init__(name, f"{what}, 2 workers: CPU, against 1", ("penstock-spread-2", "penstock-spread"))
        self.tunnel = options.get("tunnel", False)
        self.requests = Requests(name, "", 64, **options)
        self.count = None

    def one(self, bench, running):
        self.count = self.count or self.requests.prepare(bench, running)
        return self.requests.measure(bench, running, self.count)[0]


class Crowd(Comparison):
    """Latency of a request while many others are idle, against alone."""

    def __init__(self, name, what="get by 16 clients, in a crowd: p99"):
        super().__init__(name, f"{what}, against alone", ("penstock", "penstock"))
        self.requests = Requests(name, "", 16, latency=True)
        self.count = None

    def one(self, bench, running):
        self.count = self.count or self.requests.prepare(bench, running)
        return self.requests.measure(bench, running, self.count)[2]

    def size(self, bench, running):
        """How many tunnels, and as many clients, the limit of open files has room for."""
        tried, spare = 200, 2000  # of which the proxy keeps 1,024 for those who are in
        folder = f"/proc/{running.pid}/fd"
        before = len(os.listdir(folder))
        with hold(bench, running.way(True), ["-i", tried, bench.url("bytes", 1024)]):
            each = (len(os.listdir(folder)) - before) / tried + 1
        count = int(min(CROWD, (bench.open_files - spare) / each)) // 100 * 100
        if count < CROWD:
            bench.note(
                f"{self.name}: {count:,} idle tunnels and {count:,} idle clients, not {CROWD:,} each: "
                f"for these the limit of open files, {bench.open_files:,}, has no room."
            )
        return count

    def rounds(self, bench, runnings):
        options = ["-i", self.size(bench, runnings[0]), bench.url("bytes", 1024)]
        with hold(bench, runnings[0].way(True), options) as tunnels:
            with hold(bench, runnings[0].way(False), options) as clients:
                yield from super().rounds(bench, runnings)
                for load in (tunnels, clients):
                    if not load.finish(RUN_SECONDS)[1]:
                        raise Failure("the crowd was not kept: " + load.complaint())


class Slowloris(Crowd):
    """Latency of a request while many others send and read a byte a second, against alone."""

    def __init__(self, name):
        super().__init__(name, f"get by 16 clients, beside {SLOWLORIS:,} that trickle: p99")

    def rounds(self, bench, runnings):
        origin = f"127.0.0.1:{bench.origin_port}"
        argv = [os.path.join(HERE, "trickle"), str(runnings[0].port), origin, str(SLOWLORIS)]
        with Program(argv, bench.cpus["load"], f"{bench.folder}/trickle.stderr") as trickle:
            trickle.await_ready(RUN_SECONDS)
            yield from Comparison.rounds(self, bench, runnings)
            trickle.check()


WORKS = {
    work.name: work
    for work in (
        Requests("get", "GET of 1 KiB, 64 clients", 64),
        Requests("single", "the same, one client", 1, latency=True),
        Requests("fresh", "the same on new connections, 16 at once", 16, ["-f"]),
        Requests("tunnel-get", "GET of 1 KiB in standing tunnels, 64 clients", 64, tunnel=True),
        Requests("tunnel-fresh", "the same in new tunnels, 16 at once", 16, ["-f"], tunnel=True),
        Transfer("download", "download of known length", "bytes"),
        Transfer("download-8", "the same, 8 at once", "bytes", 8),
        Transfer("download-64", "the same, 64 at once", "bytes", 64),
        Transfer("download-chunked", "chunked download", "chunked"),
        Transfer("download-close", "download until close", "close"),
        Transfer("tunnel-down", "download through a tunnel", "bytes", tunnel=True),
        Transfer("tunnel-up", "upload through a tunnel", "upload", tunnel=True),
        Transfer("upload", "upload of known length", "upload"),
        Transfer("upload-chunked", "chunked upload", "upload", chunked=True),
        Held("idle-clients", "memory of an idle client", IDLE, 1024),
        Held("idle-tunnels", "memory of an idle tunnel", IDLE, 1024, tunnel=True),
        Rest("rest", "memory at rest", "MiB"),
        Held("slow-readers", "memory of a slow reader of a large download", SLOW, GIB, slow=True),
        Crowd("crowd"),
        Slowloris("slowloris"),
        Log("log"),
        Workers("workers", "get"),
        Workers("workers-tunnels", "tunnels set up", options=["-f"], tunnel=True),
    )
}

ROWS = [row for work in WORKS.values() for row in work.rows]


class Measuring:
    """All rounds of a work: results by row and peer, and why some have none."""

    def __init__(self, bench, work):
        self.bench, self.work = bench, work
        self.values = {row[0]: {} for row in work.rows}
        self.failures = {}

    def run(self):
        if self.work.sides:
            self.run_sides()
        else:
            self.run_peers()
        return self

    def run_peers(self):
        names = [name for name in self.bench.peers if self.work.suits(PEERS[name])]
        standing = {}
        try:
            for turn in range(self.bench.rounds):
                for name in names[turn % len(names):] + names[: turn % len(names)]:
                    if name not in self.failures:
                        self.attempt(name, lambda: self.run_peer(name, standing))
        finally:
            for running, _ in standing.values():
                running.program.end()

    def attempt(self, name, run):
        try:
            run()
        except Failure as failure:
            self.failures[name] = str(failure)
            self.bench.say(f"{self.work.name}: {name} failed: {failure}")

    def start(self, name):
        return Running(PEERS[name], self.bench, self.bench.free_port())

    def run_peer(self, name, standing):
        if self.work.anew:
            with self.start(name) as running:
                self.keep(name, self.work.measure(self.bench, running, None))
            return
        if name not in standing:
            standing[name] = self.start(name), None
            standing[name] = standing[name][0], self.work.prepare(self.bench, standing[name][0])
        running, prepared = standing[name]
        try:
            values = self.work.measure(self.bench, running, prepared)
        finally:
            running.program.check()
        self.keep(name, values)

    def keep(self, name, values):
        for row, value in zip(self.work.rows, values):
            self.values[row[0]].setdefault(name, []).append(value)

    def run_sides(self):
        def run():
            first, second = self.work.sides
            with self.start(first) as one, self.start(second) as other:
                for with_it, without in self.work.rounds(self.bench, (one, other)):
                    self.keep("penstock", [with_it / without])
                    self.bench.details.setdefault(self.work.name, []).append([with_it, without])

        self.attempt("penstock", run)
