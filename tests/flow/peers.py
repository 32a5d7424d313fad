"""The two ends that a proxy stands between: scripted clients and origins on raw sockets.

What a socket received is kept whole (`received`), because it decides what was really said.
Every wait has a deadline and fails the test when it passes; nothing sleeps.
"""

import socket
import struct
import threading
import time

TIMEOUT = 10  # seconds a test waits for something that has to happen
PATIENCE = 40  # seconds an origin waits for the proxy: longer than any test does


class Closed(ConnectionError):
    """The peer closed or reset the connection while more was expected of it."""

    def __init__(self, rest, reset):
        super().__init__(f"{'reset' if reset else 'closed'} after {rest!r}")
        self.rest = rest
        self.reset = reset


class Head:
    """A message head as it came.  Field values are str with one char per byte (latin-1)."""

    def __init__(self, raw):
        assert raw.endswith(b"\r\n\r\n"), raw
        self.raw = raw
        self.line, *lines = raw[:-4].decode("latin-1").split("\r\n")
        self.fields = []
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon and name.strip() == name and name, f"no field line: {line!r}"
            self.fields.append((name, value.strip(" \t")))

    def __repr__(self):
        return f"<Head {self.raw!r}>"

    @property
    def status(self):
        version, code = self.line.split(" ")[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0") and len(code) == 3, self.line
        return int(code)

    @property
    def reason(self):
        return self.line.split(" ", 2)[2]

    @property
    def method(self):
        return self.line.split(" ")[0]

    @property
    def target(self):
        return self.line.split(" ")[1]

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        assert len(values) <= 1, f"several {name}: {self.raw!r}"
        return values[0] if values else default

    def tokens(self, name):
        """The members of a list field, lower case."""
        return [t.strip().lower() for v in self.all(name) for t in v.split(",") if t.strip()]

    def names(self):
        return [n for n, _ in self.fields]

    def without(self, *names):
        """The fields but these, in their order."""
        gone = {n.lower() for n in names}
        return [(n, v) for n, v in self.fields if n.lower() not in gone]


class Message:
    """A head with its body, and for responses the interim heads that came before."""

    def __init__(self, head, body, interim=(), trailers=b""):
        self.head = head
        self.body = body
        self.interim = list(interim)
        self.trailers = trailers

    def __repr__(self):
        return f"<Message {self.head.raw!r} {self.body[:200]!r}>"

    @property
    def status(self):
        return self.head.status

    @property
    def text(self):
        return self.body.decode("utf-8")

    def get(self, name, default=None):
        return self.head.get(name, default)


class Wire:
    """One end of a TCP connection."""

    def __init__(self, sock, timeout):
        self.sock = sock
        self.timeout = timeout
        self.received = bytearray()  # everything, from the first byte on
        self.pos = 0  # how much of it was taken by the recv functions
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)

    @property
    def rest(self):
        """What came and was not taken yet."""
        return bytes(self.received[self.pos :])

    def send(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def send_bytewise(self, data):
        """Each byte in a write of its own.  A peer that stops listening midway is fine."""
        try:
            for i in range(len(data)):
                self.sock.sendall(data[i : i + 1])
        except ConnectionError:
            pass

    def fill(self, size=1 << 16):
        """Wait for more bytes and keep them.  Raises Closed at the end, TimeoutError."""
        try:
            more = self.sock.recv(size)
        except ConnectionError:
            raise Closed(self.rest, reset=True) from None
        if not more:
            raise Closed(self.rest, reset=False)
        self.received += more

    def _until(self, ready):
        """Fill until ready() gives something that is not None, and return that."""
        deadline = time.monotonic() + self.timeout
        while (found := ready()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.timeout} s passed, what came is {self.rest[:2000]!r}")
            self.sock.settimeout(left)
            try:
                self.fill()
            except TimeoutError:
                continue
        return found

    def take(self, size):
        taken = bytes(self.received[self.pos : self.pos + size])
        self.pos += size
        return taken

    def recv_some(self):
        """What is there, at least one byte."""
        return self.take(self._until(lambda: len(self.received) - self.pos or None))

    def recv_exact(self, size):
        self._until(lambda: True if len(self.received) - self.pos >= size else None)
        return self.take(size)

    def recv_until(self, mark):
        def ready():
            at = self.received.find(mark, self.pos)
            return at + len(mark) - self.pos if at >= 0 else None

        return self.take(self._until(ready))

    def recv_head(self):
        return Head(self.recv_until(b"\r\n\r\n"))

    def recv_all(self):
        """Everything up to a proper end of the stream; a reset is an error."""
        try:
            self._until(lambda: None)
        except Closed as end:
            if end.reset:
                raise
        return self.take(len(self.received) - self.pos)

    def recv_chunk(self):
        """The payload of one chunk, empty for the last."""
        line = self.recv_until(b"\r\n")[:-2]
        assert line and all(
            c in b"0123456789abcdefABCDEF" for c in line
        ), f"bad chunk size {line!r}"
        size = int(line, 16)
        if size == 0:
            return b""
        chunk = self.recv_exact(size + 2)
        assert chunk.endswith(b"\r\n"), "chunk without its end"
        return chunk[:-2]

    def recv_chunked(self):
        """A chunked body: payload and trailer section (without its empty line)."""
        body, trailers = [], b""
        while chunk := self.recv_chunk():
            body.append(chunk)
        while (line := self.recv_until(b"\r\n")) != b"\r\n":
            trailers += line
        return b"".join(body), trailers

    def recv_request(self):
        head = self.recv_head()
        if "chunked" in head.tokens("Transfer-Encoding"):
            body, trailers = self.recv_chunked()
            return Message(head, body, trailers=trailers)
        return Message(head, self.recv_exact(int(head.get("Content-Length", "0"))))

    def recv_response(self, method="GET"):
        interim = []
        while (head := self.recv_head()).status < 200 and head.status != 101:
            interim.append(head)
        if method == "HEAD" or head.status in (101, 204, 304):
            return Message(head, b"", interim)
        if "chunked" in head.tokens("Transfer-Encoding"):
            body, trailers = self.recv_chunked()
            return Message(head, body, interim, trailers)
        length = head.get("Content-Length")
        body = self.recv_all() if length is None else self.recv_exact(int(length))
        return Message(head, body, interim)

    def expect_closed(self, reset=None):
        """The peer ends the connection and says nothing more.  reset: None means either way."""
        assert self.rest == b"", f"unexpected {self.rest!r}"
        try:
            self._until(lambda: len(self.received) - self.pos or None)
        except Closed as end:
            assert reset is None or end.reset == reset, f"the connection was {end}"
            return
        raise AssertionError(f"instead of the end came {self.rest!r}")

    def expect_open(self):
        """Nothing has come, not even the end, so far."""
        self.sock.setblocking(False)
        try:
            more = self.sock.recv(1 << 16, socket.MSG_PEEK)
        except BlockingIOError:
            return
        finally:
            self.sock.settimeout(self.timeout)
        raise AssertionError(f"closed, or said {more!r}")

    def end(self):
        """Half-close: nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Client(Wire):
    """A client that talks to the proxy (or to any address), from an address of this machine."""

    def __init__(self, address, timeout=TIMEOUT, source=None):
        at = (source, 0) if source else None
        super().__init__(socket.create_connection(address, timeout, at), timeout)

    def request(self, method, target, fields=(), body=b"", version="HTTP/1.1"):
        """Send a request.  Host is made from the target unless there is one in fields (or 1.0)."""
        self.send(request(method, target, fields, body, version))

    def ask(self, method, target, fields=(), body=b"", version="HTTP/1.1"):
        self.request(method, target, fields, body, version)
        return self.recv_response(method)

    def get(self, target, fields=(), version="HTTP/1.1"):
        return self.ask("GET", target, fields, version=version)

    def connect_to(self, authority):
        """CONNECT; returns the answer's head (and the page of a refusal is taken)."""
        self.request("CONNECT", authority)
        head = self.recv_head()
        if head.status != 200:
            self.recv_exact(int(head.get("Content-Length", "0")))
        return head


def request(method, target, fields=(), body=b"", version="HTTP/1.1"):
    fields = list(fields)
    if version == "HTTP/1.1" and not any(n.lower() == "host" for n, _ in fields):
        authority = target.split("//", 1)[-1]
        for mark in "/?":
            authority = authority.split(mark)[0]
        fields.insert(0, ("Host", authority.rsplit("@")[-1] or "proxy"))
    framed = any(n.lower() in ("content-length", "transfer-encoding") for n, _ in fields)
    if body and not framed:
        fields.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} {version}"] + [f"{n}: {v}" for n, v in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def response(body=b"", status="200 OK", fields=(), length=True):
    """The bytes of a response; length False: without Content-Length."""
    fields = list(fields) + ([("Content-Length", str(len(body)))] if length else [])
    lines = [f"HTTP/1.1 {status}"] + [f"{n}: {v}" for n, v in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(*pieces, trailers=b""):
    """The bytes of a chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailers + b"\r\n"


class Connection(Wire):
    """A connection that an origin accepted.  `requests` holds those taken with next_request."""

    def __init__(self, sock, peer, index):
        super().__init__(sock, PATIENCE)
        self.peer = peer
        self.index = index  # 0 for the first connection that the origin accepted
        self.requests = []
        self.finished = threading.Event()  # the handler has returned
        self.error = None  # what the handler raised, unless the proxy ended the connection
        self.ended = None  # the Closed that ended the handler

    def next_request(self):
        message = self.recv_request()
        self.requests.append(message)
        return message

    def wait_finished(self, timeout=TIMEOUT):
        assert self.finished.wait(timeout), f"the origin's connection {self.index} is still open"
        return self


class Origin:
    """A server whose behaviour is a function that gets each Connection, in a thread of its own.

    The function may raise: a Closed or reset is how connections end, and the rest fails the test.
    """

    def __init__(self, handler, host="127.0.0.1", port=0, backlog=128):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.handler = handler
        self.sock = socket.create_server((host, port), family=family, backlog=backlog)
        self.host = host
        self.port = self.sock.getsockname()[1]
        self.authority = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.connections = []
        self._passed = set()  # our own connections, see assert_untouched
        self._accepted = set()
        self._news = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path="/"):
        return f"http://{self.authority}{path}"

    def _accept(self):
        while True:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                return
            with self._news:
                self._accepted.add(peer[1])
                if peer[1] in self._passed:
                    sock.close()
                else:
                    c = Connection(sock, peer, len(self.connections))
                    self.connections.append(c)
                    threading.Thread(target=self._serve, args=(c,), daemon=True).start()
                self._news.notify_all()

    def _serve(self, c):
        try:
            self.handler(c)
        except Closed as end:
            c.ended = end
        except ConnectionError:
            c.ended = Closed(b"", reset=True)
        except Exception as error:
            c.error = error
        finally:
            c.close()
            c.finished.set()

    def connection(self, index=0, timeout=TIMEOUT):
        """Wait for the connection with this index."""
        with self._news:
            got = self._news.wait_for(lambda: len(self.connections) > index, timeout)
        assert got, f"{len(self.connections)} connections came to the origin, not {index + 1}"
        return self.connections[index]

    def accepted(self):
        """The connections so far.  One of our own is the barrier: first come, first seen."""
        probe = socket.socket(self.sock.family)
        probe.bind((self.host, 0))
        with self._news:
            self._passed.add(probe.getsockname()[1])
        probe.settimeout(TIMEOUT)
        probe.connect((self.host, self.port))
        mine = probe.getsockname()[1]
        with self._news:
            assert self._news.wait_for(lambda: mine in self._accepted, TIMEOUT)
            self._accepted.discard(mine)
            self._passed.discard(mine)
        probe.close()
        return list(self.connections)

    def assert_untouched(self):
        seen = [bytes(c.received) for c in self.accepted()]
        assert seen == [], f"the origin should have seen nothing, but saw {seen!r}"

    def stop(self):
        for act in (lambda: self.sock.shutdown(socket.SHUT_RDWR), self.sock.close):
            try:
                act()
            except OSError:
                pass
        for c in self.connections:
            try:
                c.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for c in self.connections:
            c.finished.wait(TIMEOUT)

    def check(self):
        for c in self.connections:
            closed_by_us = isinstance(c.error, OSError) and not isinstance(c.error, TimeoutError)
            if c.error is not None and not closed_by_us:
                raise AssertionError(f"the origin's connection {c.index} failed") from c.error


def serve(answer):
    """A handler for Origin: answers every request with answer(message), bytes; None closes.

    answer may be bytes itself, for the same response each time.
    """

    def handler(c):
        while True:
            message = c.next_request()
            out = answer if isinstance(answer, bytes) else answer(message)
            if out is None:
                return
            c.send(out)

    return handler


def hello(message):
    """The usual answer: "hello" and a line feed."""
    body = b"" if message.head.method == "HEAD" else b"hello\n"
    return response(body, fields=[("Content-Length", "6")], length=False)


def drop(c):
    """A handler for Origin that closes at once."""
    c.close()
