"""An end of an exchange that does what its shape says, and looks closely; and the client."""

import asyncio
import socket
import struct

from shapes import payload


IP_BIND_ADDRESS_NO_PORT = 24
PIECES = 2000  # that anything is sent in, at most
TURNS = 3  # of the loop, for a task to be told of what another callback met


class Ended(Exception):
    """The peer has ended the connection."""

    def __init__(self, reset):
        super().__init__("reset" if reset else "closed")
        self.reset = reset


class Left(Exception):
    """We have, as the shape wanted it."""


class Wrong(Exception):
    """Something that must not be."""


class End:
    """A socket that counts, and leaves when it is time to."""

    def __init__(self, sock, small=False):
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.data = bytearray()
        self.begin(None)
        self.half = self.was_reset = False
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def begin(self, abort, reads=None):
        """The next exchange: counts begin anew."""
        self.abort = abort
        self.reads = reads
        self.counts = {"sent": 0, "received": 0}
        self.rested = 0

    def room(self, way):
        """How many bytes may go that way before we leave."""
        if self.abort and self.abort.counts == way:
            return self.abort.at - self.counts[way]
        return 1 << 40

    async def leave_soon(self):
        """If that is what it wants to do behind its head."""
        if self.abort and self.abort.soon:
            await asyncio.sleep(self.abort.rest)
            self.leave()

    def leave(self):
        how, self.abort = self.abort.how, None
        if how == "half":
            self.shut()
            return
        if how == "reset":
            self.reset()
        raise Left(how)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def shut(self):
        self.half = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    async def send(self, data, pace=None, urgent=None):
        view, rests = memoryview(data), pace.rests if pace else 0
        size = max(pace.size, len(data) // PIECES) if pace else 1 << 20
        while view and not self.half:
            room = self.room("sent")
            if room <= 0:
                self.leave()
                continue
            piece = view[: min(size, room, 1 << 18)]
            if pace and len(view) > 1 << 17:
                piece = view[: min(max(size, 20000), room, 1 << 18)]
            try:
                await self.loop.sock_sendall(self.sock, piece)
                await asyncio.sleep(0)  # what can be sent at once is not waited for: others had no turn
                if urgent is not None and self.counts["sent"] >= urgent:
                    urgent = None
                    self.sock.send(b"!", socket.MSG_OOB)
            except BlockingIOError:
                pass
            except ConnectionError as error:
                self.was_reset = True  # which is told once: a reader will see a clean end
                raise Ended(True) from error
            self.counts["sent"] += len(piece)
            view = view[len(piece) :]
            if rests > 0:
                rests -= 1
                await asyncio.sleep(pace.rest)
        if self.room("sent") <= 0:
            self.leave()

    async def fill(self):
        room = self.room("received")
        if room <= 0:
            self.leave()
            room = 1 << 40
        most = 1 << 18
        if self.reads and self.rested < self.reads.rests:
            self.rested += 1
            most = max(self.reads.size, 1)
            await asyncio.sleep(self.reads.rest)
        try:
            more = await self.loop.sock_recv(self.sock, min(most, room))
        except ConnectionError as error:
            raise Ended(True) from error
        if not more:
            for _ in range(TURNS):  # a reset is told once, and it may be our sender who was told
                await asyncio.sleep(0)
            raise Ended(self.was_reset)
        self.counts["received"] += len(more)
        self.data += more

    def take(self, size):
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    async def until(self, mark):
        while (at := self.data.find(mark)) < 0:
            if len(self.data) > 1 << 20:
                raise Wrong(f"no {mark!r} in {bytes(self.data[:200])!r}")
            await self.fill()
        return self.take(at + len(mark))

    def close(self):
        self.sock.close()


class Body:
    """Payload as it comes, compared with what it has to be."""

    def __init__(self, number, way, size):
        self.expected = payload(number, way, size)
        self.got = 0
        self.complete = False
        self.what = f"exchange {number}, {way}"

    def add(self, data):
        if data != self.expected[self.got : self.got + len(data)]:
            raise Wrong(f"{self.what}: {len(data)} bytes at {self.got} of {len(self.expected)} are wrong")
        self.got += len(data)

    @property
    def whole(self):
        return self.got == len(self.expected)

    def done(self):
        """Its framing says that this is the end."""
        if not self.whole:
            raise Wrong(f"{self.what}: looks complete with {self.got} of {len(self.expected)} bytes")
        self.complete = True


def fields_of(head):
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return {name.strip().lower(): value.strip() for name, _, value in (l.partition(":") for l in lines)}


async def read_exact(end, size, add):
    while size > 0:
        if not end.data:
            await end.fill()
        piece = end.take(min(size, len(end.data)))
        size -= len(piece)
        add(piece)


async def read_chunked(end, add):
    while True:
        size = int((await end.until(b"\r\n"))[:-2].split(b";")[0], 16)
        if size == 0:
            break
        await read_exact(end, size, add)
        if await end.until(b"\r\n") != b"\r\n":
            raise Wrong("no end of line behind a chunk")
    while await end.until(b"\r\n") != b"\r\n":
        pass


async def read_to_end(end, add):
    while True:
        if end.data:
            add(end.take(len(end.data)))
        try:
            await end.fill()
        except Ended as ended:
            if ended.reset:
                raise
            return


def framed(data, framing, chunk, trailers=False):
    if framing != "chunked":
        return data
    out = bytearray()
    for at in range(0, len(data), chunk):
        piece = data[at : at + chunk]
        out += b"%x\r\n%s\r\n" % (len(piece), piece)
    return bytes(out + b"0\r\n" + (b"X-Trailer: t\r\n" if trailers else b"") + b"\r\n")


async def tunnel(end, shape, way, sends, prefix=b""):
    """Send all, read all, both at the same time.  Returns how much came, None: not to its end."""
    other = "down" if way == "up" else "up"
    sizes = {"up": shape.up_size, "down": shape.down_size}
    out = payload(shape.number, way, sizes[way])
    urgent = sizes[way] // 2 if shape.urgent else None
    expected = payload(shape.number, other, sizes[other])
    got = bytearray(prefix)

    async def write():
        try:
            await end.send(out, sends, urgent)
            end.shut()
        except Ended:
            pass

    async def read():
        got.extend(end.take(len(end.data)))
        while True:
            await end.fill()
            got.extend(end.take(len(end.data)))

    writing = asyncio.ensure_future(write())
    reading = asyncio.ensure_future(read())
    ended = None
    try:
        done, _ = await asyncio.wait([writing, reading], return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            error = task.exception()
            if isinstance(error, Ended):
                ended = error
            elif error:
                raise error
        if not writing.done():
            await writing
    finally:
        for task in (writing, reading):
            task.cancel()
        await asyncio.gather(writing, reading, return_exceptions=True)
        came = bytes(got)
        if shape.urgent and came != expected[: len(came)]:
            # The urgent byte may come in the line of the others, or not at all.
            at = next(i for i, (a, b) in enumerate(zip(came, expected + b"!")) if a != b)
            came = came[:at] + came[at + 1 :]
        if came != expected[: len(came)]:
            raise Wrong(f"exchange {shape.number}, tunnel {other}: wrong bytes")
    if ended and not ended.reset and shape.is_steady and len(came) != len(expected):
        raise Wrong(f"exchange {shape.number}, tunnel {other}: looks complete with {len(came)} bytes")
    if ended and ended.reset:
        return f"{len(came)}, then {ended!r} {ended.__cause__!r},"
    return len(came)


# ---- the client ---------------------------------------------------------------------------------


def word_of(status, text):
    """That of the access log, which is the last of the proxy's own page."""
    if status == 200 or not text:
        return None
    return bytes(text).split()[-1].decode("ascii")


class Client:
    """One connection to the proxy, and what its plan does there."""

    def __init__(self, plan, world):
        self.plan = plan
        self.world = world
        self.answered = [asyncio.Event() for _ in plan.shapes]
        self.outcomes = {}  # number: (status, word), when the answer came as a whole

    def authority(self, shape):
        origin = self.world.origin
        if shape.kind == "connect":
            n = shape.number & 0xFFFFFF
            host = shape.name or f"127.{n >> 16}.{n >> 8 & 255}.{n & 255}"
            return f"{host}:{origin.tunnels}"
        return {
            "refused": f"127.0.0.1:{self.world.refusing}",
            "denied": "240.0.0.1",
            "nowhere": "n0.gone.test",
        }.get(shape.kind, f"{shape.name or '127.0.0.1'}:{origin.six if shape.six else origin.port}")

    def head(self, shape):
        authority = self.authority(shape)
        login = [f"{name}: {value}" for name, value in shape.login.fields]
        if shape.kind == "connect":
            lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *login]
            return ("\r\n".join(lines) + "\r\n\r\n").encode()
        target = f"http://{authority}/{shape.number}"
        if shape.kind == "home":
            target = f"/{shape.number}"
        lines = [f"{shape.method} {target} {shape.version}", f"Host: {authority}", *login]
        if shape.kind == "bad":
            lines += ["Content-Length: 5", "Content-Length: 6"]
        elif shape.kind == "upgrade":
            lines[0] = f"GET {target} HTTP/1.1"
            lines += ["Connection: Upgrade", "Upgrade: churn"]
        elif shape.up_framing == "length":
            lines.append(f"Content-Length: {shape.up_size}")
        elif shape.up_framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        if shape.expect:
            lines.append("Expect: 100-continue")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def write(self, end):
        for i, shape in enumerate(self.plan.shapes):
            if i > 0 and not self.plan.pipelined:
                await self.answered[i - 1].wait()
            if not self.plan.pipelined:
                end.begin(shape.client_abort, shape.client_reads)
            out = self.head(shape)
            if shape.client_abort and shape.client_abort.soon and not self.plan.pipelined:
                await end.send(out)
                await end.leave_soon()
            if not shape.is_tunnel and shape.kind != "bad" and shape.up_framing != "none":
                body = framed(
                    payload(shape.number, "up", shape.up_size), shape.up_framing, shape.chunk
                )
                out += body[: len(body) // 2] if shape.stuck else body
            await end.send(out, shape.client_sends)
            if shape.stuck:  # what came behind it would be the rest of its body
                await self.answered[i].wait()
                return

    async def read_response(self, end, shape):
        """Returns whether the connection goes on."""
        while True:
            head = await end.until(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status >= 200 or status == 101:
                break
        fields = fields_of(head)
        own = "x-churn" not in fields  # the proxy's own
        if not own and fields["x-churn"] != str(shape.number):
            raise Wrong(f"exchange {shape.number}: got the answer to {fields['x-churn']}")
        if shape.is_tunnel and status in (101, 200):
            return await self.run_tunnel(end, shape)
        if not own:
            self.world.answered.add(shape.number)
        body = Body(shape.number, "down", shape.down_size)
        text = bytearray()
        add = text.extend if own else body.add
        # Of a body that ends with the connection its origin alone knows whether it is whole.
        cut = shape.down_framing == "close" and shape.origin_abort
        if shape.blind and not own:
            await asyncio.sleep(self.world.patience)
        if shape.method == "HEAD" or status in (204, 304):
            pass
        elif fields.get("transfer-encoding") == "chunked":
            await read_chunked(end, add)
        elif "content-length" in fields:
            await read_exact(end, int(fields["content-length"]), add)
        else:
            await read_to_end(end, add)
            fields["connection"] = "close"
        if not own and not cut:
            body.done()
        if shape.is_clean and shape.kind == "http" and own:
            raise Wrong(f"exchange {shape.number}: the proxy said {status} behind {end.counts}, {head!r}")
        self.settle(shape, status, word_of(status, text) if own else "ok")
        return fields.get("connection", "keep-alive") != "close"

    async def run_tunnel(self, end, shape):
        got = await tunnel(end, shape, "up", shape.client_sends)
        if shape.is_clean and got != shape.down_size:
            raise Wrong(f"exchange {shape.number}: {got} of {shape.down_size} bytes in a tunnel")
        self.settle(shape, 101 if shape.kind == "upgrade" else 200, "ok")
        return False

    def settle(self, shape, status, word):
        """Where all of its answer came; word None: it was the proxy's, and had no text."""
        if word and not shape.judged(word):
            raise Wrong(f"exchange {shape.number}: {status} {word}, not {shape.may}")
        self.outcomes[shape.number] = (status, word)

    async def read(self, end):
        for i, shape in enumerate(self.plan.shapes):
            goes_on = await self.read_response(end, shape)
            self.answered[i].set()
            if not goes_on:
                return

    async def run(self):
        shapes = self.plan.shapes
        sock = socket.socket()
        sock.setblocking(False)
        end = End(sock, shapes[0].small_buffers)
        end.begin(shapes[0].client_abort, shapes[0].client_reads)
        ended = None
        tasks = []
        try:
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((self.plan.visitor.address, 0))
            await end.loop.sock_connect(sock, self.world.places[self.plan.visitor.listener])
            tasks = [asyncio.ensure_future(self.read(end))]
            tasks.append(asyncio.ensure_future(self.write(end)))
            if shapes[0].is_tunnel:
                await tasks[1]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # A writer that is told that nobody listens may still have an answer to read.
            if not tasks[0].done() and not isinstance(tasks[1].exception(), Left):
                await asyncio.wait(tasks[:1])
            for task in tasks:
                if task.done() and task.exception():
                    raise task.exception()
        except (Left, Ended) as error:
            ended = error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            end.close()
        self.judge(ended)

    def judge(self, ended):
        """Those before which nothing went wrong must have succeeded."""
        # Requests that come behind a response that had to be cut reset what is on its way.
        if self.plan.pipelined and not all(shape.is_clean for shape in self.plan.shapes):
            return
        for shape in self.plan.shapes:
            done = shape.number in self.outcomes
            if not done and (shape.is_clean or shape.is_refused):
                raise Wrong(f"exchange {shape.number}: not answered, {ended}")
            if not done or shape.closes or self.plan.pipelined:
                return
