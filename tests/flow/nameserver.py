"""A name server that says what a test wants it to: over UDP and TCP, right, wrong or not at all."""

import socket
import struct
import threading

from peers import TIMEOUT

A, NS, CNAME, SOA, AAAA = 1, 2, 5, 6, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def encode(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


def record(name, kind, data, ttl=60):
    return encode(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def address(name, ip, ttl=60):
    """An A or AAAA record."""
    if ":" in ip:
        return record(name, AAAA, socket.inet_pton(socket.AF_INET6, ip), ttl)
    return record(name, A, socket.inet_pton(socket.AF_INET, ip), ttl)


class Query:
    """One question, and how to answer it.  `kind` is A or AAAA."""

    def __init__(self, server, raw, tcp=None, peer=None):
        self.server, self.raw, self.tcp, self.peer = server, raw, tcp, peer
        self.id = raw[:2]
        end = raw.index(b"\0", 12) + 5
        self.question = raw[12:end]
        self.kind = struct.unpack(">H", raw[end - 4 : end - 2])[0]
        labels, at = [], 12
        while raw[at]:
            labels.append(raw[at + 1 : at + 1 + raw[at]].decode())
            at += raw[at] + 1
        self.name = ".".join(labels)

    def message(self, records=(), rcode=NOERROR, truncated=False, authority=(), question=None):
        flags = 0x8180 | rcode | (0x200 if truncated else 0)
        counts = struct.pack(">HHHHH", flags, 1, len(records), len(authority), 0)
        body = b"".join(records) + b"".join(authority)
        return self.id + counts + (question or self.question) + body

    def send(self, message):
        if self.tcp:
            self.tcp.sendall(struct.pack(">H", len(message)) + message)
        else:
            self.server.udp.sendto(message, self.peer)

    def answer(self, records=(), **how):
        self.send(self.message(records, **how))

    def addresses(self, *ips, ttl=60):
        """With those of the ips that are of the family asked for."""
        wanted = [ip for ip in ips if (":" in ip) == (self.kind == AAAA)]
        self.answer([address(self.name, ip, ttl) for ip in wanted])


class Scripted:
    """script(query) is called for each question, one after the other."""

    def __init__(self, script):
        self.script = script
        self.seen = []  # (name, kind, over TCP)
        self.errors = []
        self._news = threading.Condition()
        for _ in range(50):
            self.udp = socket.socket(type=socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.tcp = socket.socket()
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.tcp.bind(self.udp.getsockname())
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen()
        self.address = f"127.0.0.1:{self.udp.getsockname()[1]}"
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _run(self, query):
        with self._news:
            self.seen.append((query.name, query.kind, query.tcp is not None))
            self._news.notify_all()
        try:
            self.script(query)
        except OSError:
            pass  # the proxy has gone
        except Exception as error:
            self.errors.append(error)

    def _serve_udp(self):
        while True:
            try:
                raw, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if raw:
                self._run(Query(self, raw, peer=peer))

    def _serve_tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_call, args=(sock,), daemon=True).start()

    def _serve_call(self, sock):
        with sock, sock.makefile("rb") as incoming:
            try:
                while len(size := incoming.read(2)) == 2:
                    raw = incoming.read(struct.unpack(">H", size)[0])
                    self._run(Query(self, raw, tcp=sock))
            except OSError:
                pass

    def asked(self, name, count=1, tcp=None):
        """Wait until the name was asked for so often."""

        def enough():
            return sum(n == name and tcp in (None, t) for n, _, t in self.seen) >= count

        with self._news:
            assert self._news.wait_for(enough, TIMEOUT), f"{count} times {name}, but: {self.seen}"

    def count(self, name):
        return sum(n == name for n, _, _ in self.seen)

    def kill(self):
        for sock in (self.udp, self.tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # wakes its thread all the same
            sock.close()

    def check(self):
        if self.errors:
            raise AssertionError(f"the name server's script failed: {self.errors[0]!r}")
