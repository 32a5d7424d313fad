"""The names that clients ask for: where they lead, how slowly that is told, and what may come of it.

A name is LABEL.ZONE.test, and its zone says how it is treated.  All that is random about it comes
out of the name itself.
"""

import asyncio
import random
import struct

import nameserver
from nameserver import A, AAAA, NXDOMAIN, SERVFAIL

GOOD = "127.0.0.1"
SILENT = ["127.255.255.250", "127.255.255.251"]  # nothing ever comes back
INNER = "127.66.0.1"  # that a rule denies
SPECIAL = ["10.1.1.1", "240.0.0.1", "169.254.1.1"]  # denied by default
LATE = 0.4

# How likely a zone is, and how its names may end: setups.py has the rules.
ZONES = {
    "open": (10, {"ok"}),
    "quiet": (2, {"ok"}),  # in the access log only when it is denied
    "slow": (1, {"ok"}),  # shares a bandwidth
    "never": (0.5, {"rule_denied"}),
    "hours": (0.5, {"rule_denied"}),
    "flip": (1.5, {"ok", "rule_denied"}),  # in some setups
    "filed": (1.5, {"ok", "rule_denied"}),  # by a file that changes
    "ads": (0.5, {"blocklist"}),
    "good.ads": (0.5, {"ok"}),
    "lifted.ads": (0.5, {"ok"}),
    "block": (1.5, {"ok", "blocklist"}),
    "inner": (0.5, {"rule_denied"}),
    "special": (0.5, {"address_denied"}),
    "gone": (0.3, {"ok"}),
    "dead": (0.2, {"ok"}),
    "mute": (0.05, {"ok"}),
    "mute-four": (0.2, {"ok"}),
}
NOWHERE = ("gone", "dead", "mute", "mute-four", "inner", "special")  # not surely anywhere


def zone_of(name):
    return name.split(".", 1)[1].rsplit(".test", 1)[0]


class Site:
    """What the name server says of a name."""

    def __init__(self, seed, name):
        rng = random.Random(f"{seed}/{name}")
        self.zone = zone_of(name)
        number = int(name.split(".")[0][1:])
        good = GOOD if name[0] != "c" else f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self.addresses = {A: self._four(rng, good), AAAA: ["::1"] if rng.random() < 0.5 else []}
        self.delays = {A: 0, AAAA: 0}
        if rng.random() < 0.5:
            self.delays[rng.choice([A, AAAA])] = rng.uniform(0, LATE)
        if rng.random() < 0.05:
            self.delays[AAAA] = None  # it never comes
        self.rcodes = {A: 0, AAAA: SERVFAIL if rng.random() < 0.05 else 0}
        self.ttl = rng.choice([0, 1, 60])
        self.truncated = rng.random() < 0.05
        self._fail()

    def _four(self, rng, good):
        if self.zone == "inner":
            return [INNER]
        if self.zone == "special":
            return [rng.choice(SPECIAL)]
        others = []
        if rng.random() < 0.4:
            # At the port of tunnels somebody listens everywhere, for whom the address says who it is.
            most = [*SILENT, *SPECIAL, INNER, *(["127.0.0.9"] if good == GOOD else [])]
            others = rng.sample(most, rng.randint(1, 3))
            if self.zone == "lifted.ads" and INNER in others:
                others.remove(INNER)
        addresses = [good, *others]
        rng.shuffle(addresses)
        return addresses

    def _fail(self):
        if self.zone in ("inner", "special"):
            self.addresses[AAAA] = []
        elif self.zone in ("gone", "dead"):
            self.addresses = {A: [], AAAA: []}
            rcode = NXDOMAIN if self.zone == "gone" else SERVFAIL
            self.rcodes = {A: rcode, AAAA: rcode}
        elif self.zone == "mute":
            self.delays = {A: None, AAAA: None}
        elif self.zone == "mute-four":
            self.addresses[AAAA] = ["::1"]
            self.delays = {A: None, AAAA: 0}


class Server(asyncio.DatagramProtocol):
    """Answers in the event loop, each name as it is."""

    def __init__(self, seed):
        self.seed = seed
        self.tcp = self.udp = self.address = None

    async def start(self):
        loop = asyncio.get_running_loop()
        while True:
            self.tcp = await asyncio.start_server(self.call, "127.0.0.1", 0)
            place = self.tcp.sockets[0].getsockname()
            try:
                self.udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=place)
                break
            except OSError:
                self.tcp.close()
        self.address = f"127.0.0.1:{place[1]}"

    def stop(self):
        self.tcp.close()
        self.udp.close()

    def answer(self, raw, send, tcp=False):
        query = nameserver.Query(None, raw)
        site = Site(self.seed, query.name.lower())
        delay = site.delays[query.kind]
        if delay is None:
            return
        records = [
            nameserver.address(query.name, ip, site.ttl) for ip in site.addresses[query.kind]
        ]
        truncated = site.truncated and not tcp
        message = query.message(
            [] if truncated else records, rcode=site.rcodes[query.kind], truncated=truncated
        )
        if delay > 0:
            asyncio.get_running_loop().call_later(delay, send, message)
        else:
            send(message)

    def datagram_received(self, data, addr):
        self.answer(data, lambda message: self.udp.sendto(message, addr))

    async def call(self, reader, writer):
        def send(message):
            if not writer.is_closing():
                writer.write(struct.pack(">H", len(message)) + message)

        try:
            while True:
                size = struct.unpack(">H", await reader.readexactly(2))[0]
                self.answer(await reader.readexactly(size), send, True)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
