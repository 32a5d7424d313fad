"""The other end of all exchanges: an origin that does what their shapes say, and looks closely."""

import asyncio
import socket

import sites
from ends import End, Ended, Left, Wrong, Body, fields_of, framed, read_chunked, read_exact, tunnel
from shapes import payload


def silent(port):
    """Sockets because of which nothing comes back from these addresses: their queues are full."""
    socks = []
    for address in sites.SILENT:
        socks.append(socket.create_server((address, port), backlog=0, reuse_port=True))
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex((address, port))
            socks.append(sock)
    return socks


def listen(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.create_server((address, port), family=family, backlog=4096, reuse_port=True)
    sock.setblocking(False)
    return sock


class Origin:
    """Answers whatever comes, as the shape of it says.

    It listens at `port` on one address, at `six` also on ::1, and at `tunnels` on all of 127.0.0.0/8:
    there the address is the number of the shape.
    """

    def __init__(self, world):
        self.world = world
        self.socks = [listen("127.0.0.1", 0), listen("127.0.0.1", 0), listen("0.0.0.0", 0)]
        self.port, self.six, self.tunnels = (s.getsockname()[1] for s in self.socks)
        self.socks.append(listen("::1", self.six))
        self.silence = [s for p in (self.port, self.six, self.tunnels) for s in silent(p)]
        self.tasks = set()

    async def serve(self):
        await asyncio.gather(*[self.accept(sock) for sock in self.socks])

    async def accept(self, listening):
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listening)
            task = asyncio.ensure_future(self.connection(sock))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def connection(self, sock):
        address, port = sock.getsockname()[:2]
        end = End(sock)
        try:
            if port == self.tunnels:
                n = [int(part) for part in address.split(".")]
                await self.tunnel(end, self.world.shape(n[1] << 16 | n[2] << 8 | n[3]))
                return
            while await self.exchange(end):
                pass
        except (Left, Ended):
            pass
        except Wrong as error:
            self.world.wrong(error)
        finally:
            end.close()

    def check_source(self, end, shape):
        """Where it comes from depends on who sent it, and where it came in."""
        try:
            peer = end.sock.getpeername()[0]
        except OSError:
            return  # it has gone
        if "ok" not in shape.may or not shape.login.may_leave(peer):
            raise Wrong(f"exchange {shape.number}: comes from {peer}")

    async def tunnel(self, end, shape):
        if not shape:
            return
        self.check_source(end, shape)
        end.begin(shape.origin_abort, shape.origin_reads)
        got = await tunnel(end, shape, "down", shape.origin_sends)
        if shape.is_clean and got != shape.up_size:
            raise Wrong(f"exchange {shape.number}: {got} of {shape.up_size} bytes in a tunnel")

    async def read_body(self, end, shape, fields):
        body = Body(shape.number, "up", shape.up_size)
        if "transfer-encoding" in fields:
            await read_chunked(end, body.add)
        elif "content-length" in fields:
            await read_exact(end, int(fields["content-length"]), body.add)
        body.done()

    async def exchange(self, end):
        end.begin(None)
        head = await end.until(b"\r\n\r\n")
        fields = fields_of(head)
        shape = self.world.shape(int(head.split(b" ", 2)[1].strip(b"/")))
        if not shape:
            return False
        if "proxy-authorization" in fields:
            raise Wrong(f"exchange {shape.number}: its password came, too")
        self.check_source(end, shape)
        end.begin(shape.origin_abort, shape.origin_reads)
        if shape.kind == "upgrade":
            await end.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: churn\r\n\r\n"
            )
            await self.tunnel(end, shape)
            return False
        while shape.silent:  # until the end comes
            await end.fill()
            end.data.clear()
        if shape.expect:
            await end.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        for _ in range(shape.interim):
            await end.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        if not shape.early:
            await self.read_body(end, shape, fields)
        await self.respond(end, shape)
        if shape.early:
            await self.read_body(end, shape, fields)
        return shape.origin_keeps and shape.down_framing != "close"

    async def respond(self, end, shape):
        lines = [f"HTTP/1.1 {shape.status} Churn", f"X-Churn: {shape.number}"]
        if shape.down_framing == "length":
            lines.append(f"Content-Length: {shape.down_size}")
        elif shape.down_framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif shape.down_framing == "close":
            lines.append("Connection: close")
        data = payload(shape.number, "down", shape.down_size)
        out = ("\r\n".join(lines) + "\r\n\r\n").encode()
        out += framed(data, shape.down_framing, shape.chunk, shape.trailers)
        await end.send(out, shape.origin_sends)
