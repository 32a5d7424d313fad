"""Who clients are: where they come from and go in, and what they say of themselves."""

import ipaddress

import people

LISTENERS = ["plain", "sourced", "changing"]  # see setups.py
CHEAP, DEAR = "$5$rounds=1000$saltsalt$", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"
PASSWORDS = {name: f"{name}'s" for name in ("anna", "bob", "mallory", "yves", "dora", "carol")}
OTHER = "another"  # dora's in some setups
SOURCES = {"bob": "127.8.0.0/16", "sourced": "127.7.0.0/16", "changing": "127.9.0.0/16"}
NATURAL = ["127.0.0.1/32", "::1/128"]

# Where they come from says how they are treated: 127.0.N.0/24.
KINDS = {"asked": 1, "rude": 2, "cut": 3, "exempt": 4, "half": 5}


def network(kind):
    return f"127.0.{KINDS[kind]}.0/24"


def hashed():
    """The users of every setup, dora with either of her passwords."""
    users = {n: people.crypt(p, DEAR if n == "yves" else CHEAP) for n, p in PASSWORDS.items()}
    return users, {**users, "dora": people.crypt(OTHER, CHEAP)}


class Visitor:
    """A connection: those of one kind are treated alike."""

    def __init__(self, rng, pick):
        self.kind = pick(rng, asked=8, rude=1, cut=2, exempt=2, half=1)
        self.address = f"127.0.{KINDS[self.kind]}.{rng.randint(1, 8)}"
        self.listener = rng.choice(LISTENERS)

    def __repr__(self):
        return f"{self.kind} {self.address} at {self.listener}"


class Login:
    """What one request says of who sends it, and what may come of that."""

    def __init__(self, rng, pick, visitor):
        what = pick(rng, right=16, none=0.5, malformed=0.3, twice=0.2, scheme=0.2)
        name = pick(rng, anna=8, bob=3, mallory=0.5, carol=2, yves=1)
        if visitor.kind == "rude":  # counts against the others of its address
            what = pick(rng, right=3, none=1, malformed=1, wrong=3)
            name = pick(rng, anna=3, bob=1, yves=0.3, dora=3, nobody=1)
        elif visitor.kind in ("exempt", "half"):
            what = pick(rng, right=3, none=3)
        self.what = what
        self.name = name
        self.user = name if what in ("right", "wrong") else None
        self.fields = self._fields(rng)
        self.outcomes = self._outcomes(visitor)  # "ok": it may go on
        self.users = self._users(visitor)  # who it may be then
        self.leaves = self._leaves(visitor)

    def _fields(self, rng):
        if self.what == "none":
            return []
        if self.what == "malformed":
            return [("Proxy-Authorization", rng.choice(["Basic !!", "Basic", "Basic YW5uYQ=="]))]
        if self.what == "scheme":
            return [("Proxy-Authorization", 'Digest username="anna"')]
        password = "wrong" if self.what == "wrong" else PASSWORDS.get(self.name, "none's")
        if self.name == "dora" and rng.random() < 0.5 and self.what == "right":
            password = OTHER
        return [people.say(self.name, password)] * (2 if self.what == "twice" else 1)

    def _outcomes(self, visitor):
        if visitor.kind == "exempt":
            return {"ok"}
        if visitor.kind == "half":
            return {"ok"} if self.what == "right" else {"ok", "auth_required"}
        if self.what in ("none", "scheme"):
            return {"auth_required"}
        if self.what in ("malformed", "twice"):
            return {"auth_failed"}
        limited = {"auth_limited"} if visitor.kind == "rude" else set()
        if self.what == "wrong" or self.name == "nobody":
            return {"auth_failed"} | limited
        return {"ok"} | limited | ({"auth_failed"} if self.name == "dora" else set())

    def _users(self, visitor):
        if visitor.kind == "exempt":
            return {"-"}
        if visitor.kind == "half":
            return {"-", self.user or "-"}
        return {self.user}

    def _leaves(self, visitor):
        """The networks that sites may see it come from."""
        here = {"sourced": [SOURCES["sourced"]], "changing": [SOURCES["changing"], *NATURAL]}
        nets = []
        for user in self.users:
            if user in SOURCES:
                nets.append(SOURCES[user])
            else:
                nets += here.get(visitor.listener, NATURAL)
        return [ipaddress.ip_network(n) for n in nets]

    def may_leave(self, address):
        return any(ipaddress.ip_address(address) in n for n in self.leaves)

    def __repr__(self):
        return f"{self.what}:{self.name}"
