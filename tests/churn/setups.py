"""What the proxy is told to do: what always holds, and what one reload after the other changes."""

import os
import random

import visitors

FILLERS, NAMES = 3, 20000  # of a blocklist: reading it takes as long as some exchanges
CACHE = 300  # names: it is full soon, and memory has to stay as it is from then on
ANY_TIME = "mon-sun 00:00-24:00"

# In order; "flip" and "cut" stand in some setups only.
RULES = {
    "mallory": {"user": "mallory", "action": "deny", "say": "Not you."},
    "cut": {"client": visitors.network("cut"), "scheme": "tunnel", "action": "deny"},
    "quiet": {"host": ".quiet.test", "log": "off"},
    "slow": {"host": ".slow.test", "bandwidth": 20_000_000},
    "staff": {"group": ["staff"], "bandwidth": 100_000_000},
    "bob": {"user": ["bob"], "source": visitors.SOURCES["bob"]},
    "never": {"host": [".never.test"], "method": ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT"], "action": "deny"},
    "hours": {"host": ".hours.test", "time": [ANY_TIME], "zone": "Europe/Berlin", "action": "deny"},
    "flip": {"host": ".flip.test", "action": "deny", "say": "Not now."},
    "filed": {"host": None, "action": "deny"},
    "lifted": {"host": ".lifted.ads.test", "action": "allow"},
    "inner": {"address": "127.66.0.0/16", "action": "deny", "say": "Not there."},
}


class Resolving:
    """How names are looked up.  Those under way are asked for anew: not at every reload."""

    def __init__(self, rng, often):
        self.family = rng.choice(["any", "ipv4", "prefer-ipv4", "prefer-ipv6"])
        self.keys = {"lookups": 64 if often(0.3) else 256, "cache": 0 if often(0.3) else CACHE}


class Setup:
    """Numbers are drawn in order, so that the seed says which setup is the n-th."""

    def __init__(self, rng, usual=False):
        def often(share):
            return not usual and rng.random() < share

        self.broken = rng.choice(["syntax", "list", "users"]) if often(0.08) else None
        self.auth = {
            "keep": 0 if often(0.4) else 300,
            "delay": 1 if often(0.3) else 0,
            "failures": rng.choice([5, 1000]) if often(0.5) else 0,
            "exempt": [visitors.network("exempt")],
        }
        if often(0.5):
            self.auth["exempt"].append(visitors.network("half"))
        self.without = set() if often(0.4) else {"flip"}
        self.without |= set() if often(0.5) else {"cut"}
        self.source = often(0.5)
        self.guest = rng.randint(1, 200) if often(0.4) else None  # a place that comes and goes
        self.recheck = not often(0.25)
        self.blocks = often(0.5)
        self.files = often(0.5)
        self.other_dora = often(0.5)
        self.filler = rng.randrange(FILLERS) if often(1) else 0
        self.limits = {"pool_idle": 1}
        if often(0.5):
            self.limits.update(in_flight=16384, pool=8)
        self.resolving = Resolving(rng, often) if often(0.1) else None  # None: as before
        self.name = "other" if often(0.5) else "penstock"


def replace(path, text):
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.replace(path + ".new", path)


class Setups:
    """The configurations of one run, and their files."""

    def __init__(self, seed, folder, base, merge):
        self.rng = random.Random(f"{seed}/setups")
        self.base, self.merge = base, merge
        self.paths = {
            name: os.path.join(folder, name)
            for name in ("users", "groups", "social.txt", "ads.txt", "block.txt")
        }
        self.users = visitors.hashed()
        filler = random.Random(1)
        self.fillers = [
            "".join(f"x{filler.randrange(1 << 40):x}.example\n" for _ in range(NAMES))
            for _ in range(FILLERS)
        ]
        replace(self.paths["groups"], "staff: anna yves\nothers: bob\n")
        self.written = {}
        self.usual = Setup(self.rng, usual=True)
        self.resolving = Resolving(self.rng, lambda share: False)

    def next(self):
        return Setup(self.rng)

    def _write(self, name, text):
        """Files that stay the same are not touched: the proxy knows them."""
        if self.written.get(name) != text:
            replace(self.paths[name], text)
            self.written[name] = text

    def _write_files(self, setup):
        users = self.users[setup.other_dora]
        self._write("users", "".join(f"{n}:{h}\n" for n, h in users.items()))
        self._write("social.txt", "# hosts\n" + ("0.0.0.0 filed.test\n" if setup.files else ""))
        self._write(
            "ads.txt", "||ads.test^\n@@||good.ads.test^\n" + self.fillers[setup.filler]
        )
        self._write("block.txt", "block.test\n" if setup.blocks else "# nobody\n")

    def _listen(self, setup):
        places = [
            {"name": "plain"},
            {"name": "sourced", "source": visitors.SOURCES["sourced"]},
            {"name": "changing", **({"source": visitors.SOURCES["changing"]} if setup.source else {})},
        ]
        if setup.guest:
            places.append({"name": "guest", "address": f"127.0.66.{setup.guest}"})
        return [{"address": "127.0.0.1", "port": 0, **place} for place in places]

    def _rules(self, setup):
        rules = [dict(rule) for name, rule in RULES.items() if name not in setup.without]
        for rule in rules:
            if "host" in rule and rule["host"] is None:
                rule["host"] = "@" + self.paths["social.txt"]
        return rules

    def config(self, setup):
        """Writes its files, too."""
        self._write_files(setup)
        self.resolving = setup.resolving or self.resolving
        lists = [self.paths["ads.txt"], self.paths["block.txt"]]
        users = self.paths["users"]
        if setup.broken == "list":
            lists.append("/nowhere/list.txt")
        elif setup.broken == "users":
            users = "/nowhere/users"
        return self.merge(
            self.base,
            {
                "name": setup.name,
                "family": self.resolving.family if setup.broken != "syntax" else "neither",
                "listen": self._listen(setup),
                "access": {
                    "recheck_tunnels": "on" if setup.recheck else "off",
                    "blocklists": lists,
                    "rules": self._rules(setup),
                },
                "auth": {**setup.auth, "users": users, "groups": self.paths["groups"]},
                "limits": setup.limits,
                "resolver": self.resolving.keys,
            },
        )
