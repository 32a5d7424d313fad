"""What is looked at when all is over: the access log and the totals."""

import re

import daemon

GAUGES = ["clients", "exchanges", "tunnels", "origins", "origins_idle"]
DENIED = ("client_denied", "port_denied", "address_denied", "rule_denied")
LOUD = (*DENIED, "blocklist", "auth_required", "auth_failed", "auth_limited")  # always in the log


def number_of(line):
    """Of the exchange; None where it does not say."""
    found = re.search(r"/(\d+) HTTP|CONNECT c(\d+)\.", line.request)
    if found:
        return int(found[1] or found[2])
    found = re.search(r"CONNECT 127\.(\d+)\.(\d+)\.(\d+):", line.request)
    return int(found[1]) << 16 | int(found[2]) << 8 | int(found[3]) if found else None


class Audit:
    """wrong(text) is told of what does not agree."""

    def __init__(self, proxy, shape, outcomes, wrong):
        self.proxy, self.shape, self.outcomes, self.wrong = proxy, shape, outcomes, wrong
        self.counts = {}  # word: lines
        self.cut = 0  # tunnels, by a reload
        self.lines = {}  # number: lines

    def total(self, name):
        found = re.findall(rf"penstock_{name} (\d+)$", self.proxy.stderr, re.M)
        return int(found[-1]) if found else None

    def read(self, oldest_ms, echo):
        with open(self.proxy.access_path, encoding="ascii") as log:
            for text in log:
                line = daemon.AccessLine(text.rstrip("\n"))
                if echo:
                    print(line.text)
                if int(line.duration) > oldest_ms:
                    self.wrong(f"lasted longer than its timers: {line.text}")
                word = line.end.split(":")[0]
                self.counts[word] = self.counts.get(word, 0) + 1
                self.cut += word in ("rule_denied", "blocklist", "auth_required") and line.status in ("200", "101")
                number = number_of(line)
                shape = self.shape(number) if number is not None else None
                if shape:
                    self.lines.setdefault(shape.number, []).append(line)
                    self.check_line(shape, line)
        print("ends:", ", ".join(f"{n} {e}" for e, n in sorted(self.counts.items(), key=lambda i: -i[1])))
        print(f"tunnels cut by reloads: {self.cut}")

    def check_line(self, shape, line):
        """What it says of who it was, how it was judged, and, where all went well, how much it was."""
        wrong = []
        if line.client != shape.visitor.address:
            wrong.append(f"comes from {shape.visitor.address}")
        if line.user != "-" and line.user not in shape.login.users:
            wrong.append(f"is {shape.login.users}")
        if line.destination != "-" and line.user not in shape.login.users:
            wrong.append(f"is {shape.login.users}, but nobody")
        if not shape.judged(line.end) and line.end != "client_gone":
            wrong.append(f"is {shape.may}")
        loud = line.end.split(":")[0] in LOUD
        if shape.zone == "quiet" and not loud and (line.destination != "-" or line.end == "ok"):
            wrong.append("is not to be logged")
        if shape.kind == "http" and line.end == "ok":
            cut = shape.down_framing == "close" and shape.origin_abort
            if line.status == shape.status and not cut and int(line.down) != shape.down_size:
                wrong.append(f"has {shape.down_size} bytes")
            if not shape.early and int(line.up) != shape.up_size:
                wrong.append(f"has {shape.up_size} bytes up")
        for text in wrong:
            self.wrong(f"exchange {shape.number}: {text}, not {line.text}")

    def explain(self, wrongs):
        """What the log has of those that went wrong."""
        for number in sorted({int(n) for w in wrongs for n in re.findall(r"exchange (\d+)", w)}):
            for line in self.lines.get(number, []):
                print(f"  logged: {line.text}")

    def check_outcomes(self):
        """There is a line for each answer that came, and it says the same."""
        for number, (status, word) in self.outcomes.items():
            shape, lines = self.shape(number), self.lines.get(number, [])
            logged = shape.zone != "quiet" or word in LOUD
            if shape.kind == "bad" or (not lines and not logged):
                continue
            if len(lines) != 1:
                self.wrong(f"exchange {number}: {status} {word}, and {len(lines)} lines: {lines}")
                continue
            same = lines[0].status == str(status)
            if word not in (None, "ok"):
                same &= lines[0].end.split(":")[0] == word
            elif word and shape.is_clean and not shape.early:
                same &= lines[0].end == "ok"
            if not same:
                self.wrong(f"exchange {number}: {status} {word}, but {lines[0].text}")

    def check_totals(self):
        for gauge in GAUGES:
            if self.total(gauge) != 0:
                self.wrong(f"penstock_{gauge} is {self.total(gauge)} at the end")
        denied = sum(self.counts.get(word, 0) for word in DENIED)
        if self.total("acl_denied_total") != denied:
            self.wrong(f"{self.total('acl_denied_total')} denied, but {denied} in the log")
        listed = self.counts.get("blocklist", 0)
        if self.total("blocklist_denied_total") != listed:
            self.wrong(f"{self.total('blocklist_denied_total')} on lists, but {listed} in the log")
        failures = self.proxy.stderr.count("authentication failure from")
        if self.total("auth_failures_total") != failures:
            self.wrong(f"{self.total('auth_failures_total')} failures, but {failures} said")
