"""What an exchange of the churn is like: everything that is random about it, out of one number."""

import random

import sites
import visitors

# Payload is cut out of this, at a place that depends on the exchange: a byte that is lost, doubled
# or another exchange's shows.
_PERIOD = 1048573
_BLOCK = random.Random(1).randbytes(_PERIOD)


def payload(number, way, size):
    """The bytes of an exchange, way "up" or "down"."""
    start = (number * 7919 + (500009 if way == "up" else 0)) % _PERIOD
    piece = _BLOCK[start:] + _BLOCK[:start]
    return (piece * (size // _PERIOD + 1))[:size]


def pick(rng, **weights):
    """One of the names, at random by weight."""
    return rng.choices(list(weights), list(weights.values()))[0]


def body_size(rng):
    kind = pick(rng, none=2, tiny=4, small=4, medium=3, large=2, huge=0.4)
    low, high = {
        "none": (0, 0),
        "tiny": (1, 100),
        "small": (100, 16 << 10),
        "medium": (16 << 10, 128 << 10),
        "large": (128 << 10, 1 << 20),
        "huge": (1 << 20, 4 << 20),
    }[kind]
    return rng.randint(low, high)


class Pace:
    """How a party sends or reads: in pieces of so many bytes, with a rest behind some of them."""

    def __init__(self, rng):
        kind = pick(rng, whole=6, pieces=4, crumbs=1, slow=1)
        self.size = {
            "whole": 1 << 20,
            "pieces": rng.randint(1000, 70000),
            "crumbs": rng.randint(1, 300),
            "slow": rng.randint(1, 100000),
        }[kind]
        self.rests = {"whole": 0, "pieces": 2, "crumbs": 3, "slow": 10}[kind]
        self.rest = rng.uniform(0, 0.05)

    def stay(self, rng, size):
        self.size, self.rests, self.rest = size // 10 + 1, 10, rng.uniform(0.02, 0.3)


class Abort:
    """A party leaves when so many bytes of the exchange went its way; `soon`: behind its head."""

    def __init__(self, rng, most, soon=False):
        self.counts = rng.choice(["sent", "received"])
        self.at = rng.randint(0, most) if rng.random() < 0.7 else rng.randint(0, min(most, 500))
        self.how = pick(rng, close=3, reset=3, half=2)
        self.rest = 0
        self.soon = soon
        if soon:
            self.counts, self.at, self.how = "sent", 1 << 40, pick(rng, close=2, reset=1)
            self.rest = rng.choice([0, rng.uniform(0, 0.02), rng.uniform(0, 0.4)])

    def __repr__(self):
        if self.soon:
            return f"{self.how} {self.rest:.3f} s behind the head"
        return f"{self.how} after {self.at} {self.counts}"


# Words of the access log that do not depend on what anybody does behind the head.
JUDGEMENTS = (
    "ok",
    "auth_required",
    "auth_failed",
    "auth_limited",
    "client_denied",
    "port_denied",
    "rule_denied",
    "blocklist",
    "address_denied",
)


class Shape:
    """One request with its response, or one tunnel."""

    def __init__(self, number, rng, alone, visitor):
        self.number = number
        self.visitor = visitor
        self.login = visitors.Login(rng, pick, visitor)
        self.kind = pick(rng, http=20, home=0.5, bad=0.5, refused=0.5, denied=0.5, nowhere=0.3)
        if alone and rng.random() < (0.6 if visitor.kind == "cut" else 0.25):
            self.kind = rng.choice(["connect", "upgrade"])
        self.name = self._name(rng) if rng.random() < 0.35 else None  # None: by its address
        self.six = rng.random() < 0.5  # where somebody listens on ::1, too
        self.version = pick(rng, **{"HTTP/1.1": 9, "HTTP/1.0": 1})
        self.method = pick(rng, GET=5, POST=3, HEAD=1, PUT=1, DELETE=0.5)
        self.up_framing = "none"
        if self.method in ("POST", "PUT"):
            self.up_framing = pick(rng, length=1, chunked=1 if self.version == "HTTP/1.1" else 0)
        self.up_size = body_size(rng) if self.up_framing != "none" or self.is_tunnel else 0
        self.expect = self.up_framing != "none" and self.version == "HTTP/1.1" and rng.random() < 0.2
        self.status = pick(rng, **{"200": 12, "204": 1, "304": 1, "404": 1, "503": 1})
        self.down_framing = pick(rng, length=4, chunked=4, close=1)
        self.down_size = body_size(rng)
        if self.method == "HEAD" or self.status in ("204", "304"):
            self.down_framing, self.down_size = "none", 0
        self.chunk = rng.choice([1, 100, 5000, 70000, 1 << 22])
        self.chunk = max(self.chunk, max(self.up_size, self.down_size) // 2000)
        self.trailers = rng.random() < 0.2
        self.interim = rng.choice([0, 0, 0, 0, 1, 3]) if self.version == "HTTP/1.1" else 0
        self.early = self.up_framing != "none" and not self.expect and rng.random() < 0.2
        self.origin_keeps = rng.random() < 0.8
        self.silent = rng.random() < 0.004  # the origin never answers
        self.stuck = self.kind == "http" and self.up_size > 0 and rng.random() < 0.01  # the client stops in the body
        self.blind = self.down_size > 1 << 20 and rng.random() < 0.2  # the client does not read
        self.urgent = self.is_tunnel and rng.random() < 0.2
        self.client_sends, self.client_reads = Pace(rng), Pace(rng)
        self.origin_sends, self.origin_reads = Pace(rng), Pace(rng)
        if self.kind == "connect" and rng.random() < 0.3:
            # It stands for long enough to be there at a reload.
            self.client_sends.stay(rng, self.up_size)
            self.origin_sends.stay(rng, self.down_size)
        self.small_buffers = rng.random() < 0.2
        most = self.up_size + self.down_size + 300
        aborts = pick(rng, none=10, client=4, origin=4, both=2)
        soon = rng.random() < 0.3
        self.client_abort = Abort(rng, most, soon) if aborts in ("client", "both") else None
        self.origin_abort = Abort(rng, most) if aborts in ("origin", "both") else None

        self.may = self._may()  # how it may be judged: by words of the access log, or "ok"

    def _name(self, rng):
        """None where it goes nowhere by a name."""
        if self.kind not in ("http", "connect", "upgrade"):
            return None
        zone = pick(rng, **{zone: weight for zone, (weight, _) in sites.ZONES.items()})
        label = f"n{self.number}" if rng.random() < 0.7 else f"s{rng.randint(0, 9)}"
        if self.kind == "connect":
            label = f"c{self.number}"
        return f"{label}.{zone}.test"

    @property
    def zone(self):
        return sites.zone_of(self.name) if self.name else None

    def _may_by_rules(self):
        if self.kind in ("home", "bad"):
            return {"ok"}
        if self.login.users == {"mallory"}:
            return {"rule_denied"}
        may = {"address_denied"} if self.kind == "denied" else {"ok"}
        if self.name:
            may = set(sites.ZONES[self.zone][1])
        if self.kind == "connect" and self.visitor.kind == "cut":
            may |= {"rule_denied"}
        if "mallory" in self.login.users:
            may |= {"rule_denied"}
        return may

    def _may(self):
        may = set(self.login.outcomes)
        if self.is_tunnel and self.visitor.kind == "half":
            may.add("auth_required")  # by a reload that checks tunnels again
        return may - {"ok"} | self._may_by_rules() if "ok" in may else may

    @property
    def is_tunnel(self):
        return self.kind in ("connect", "upgrade")

    @property
    def is_steady(self):
        """Neither party leaves, or makes the other wait."""
        return not (
            self.client_abort or self.origin_abort or self.silent or self.stuck or self.blind
        )

    @property
    def is_clean(self):
        """Nobody does anything that could keep it from succeeding."""
        return (
            self.is_steady
            and self.kind in ("http", "home", "connect", "upgrade")
            and self.may == {"ok"}
            and self.zone not in sites.NOWHERE
        )

    @property
    def is_refused(self):
        """It is surely denied, and answered."""
        return self.is_steady and "ok" not in self.may and self.up_framing == "none" and self.kind != "bad"

    def judged(self, word):
        """Whether it may have been judged so; of other words nothing is known."""
        if self.kind == "bad":
            return word not in JUDGEMENTS
        word = word.split(":")[0]
        if word in JUDGEMENTS:
            return word in self.may
        return not (self.is_steady and "ok" not in self.may)

    @property
    def closes(self):
        """The client's connection may end behind it."""
        return (
            self.early
            or self.version == "HTTP/1.0"
            or not self.is_clean
            or (self.kind == "home" and self.up_framing != "none")
        )

    def __repr__(self):
        return "shape " + " ".join(
            f"{k}={vars(v) if isinstance(v, Pace) else v}" for k, v in vars(self).items() if v
        )


class Plan:
    """What one client does with its connection."""

    def __init__(self, seed, number, most=4):
        rng = random.Random(f"{seed}/{number}")
        count = 1 if rng.random() < 0.5 else rng.randint(2, most)
        self.visitor = visitors.Visitor(rng, pick)
        self.shapes = [Shape(number + i, rng, count == 1, self.visitor) for i in range(count)]
        # Behind a response of HTTP/1.0 the connection closes: what comes then resets it.
        self.pipelined = (
            count > 1
            and rng.random() < 0.3
            and all(shape.version == "HTTP/1.1" for shape in self.shapes)
        )
