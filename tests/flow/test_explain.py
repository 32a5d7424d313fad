"""--explain says what the daemon does: random rules, and random requests to both."""

import os
import random
import re

import daemon
import people

# Nobody listens at these ports: who is let through is told that the connection was refused.
PORTS = [25, 81, 443, 587, 8443]
USERS = {"anna": "a", "bert": "b", "carl": "c"}
GROUPS = {"staff": ["anna", "bert"], "guests": ["carl"]}
CLIENTS = [f"127.0.0.{i}" for i in range(2, 6)]
METHODS = ["GET", "HEAD", "OPTIONS", "CONNECT"]
# Where names lead; of 127.0/16 nothing is open without a rule.
ADDRESSES = ["127.0.0.1", "127.0.0.7", "127.1.0.1", "127.1.2.3", "127.2.0.1"]
NAMES = ["a.test", "b.a.test", "c.b.a.test", "d.test", "ads.test", "good.ads.test", "x.ads.test"]
SPELLINGS = {
    "127.0.0.1": ["127.1", "0x7f000001", "[::ffff:127.0.0.1]", "127.0.0.1."],
    "127.1.0.1": ["127.65537", "0177.1.0.1", "[::ffff:7f01:1]"],
    "127.2.0.1": ["127.2.1", "[0:0:0:0:0:FFFF:127.2.0.1]"],
}
REASONS = {
    "port_denied": "are denied unless",
    "blocklist": "is on the list ads",
    "address_denied": "is special (loopback)",
}


def some(rng, values, most=2):
    return rng.sample(values, rng.randint(1, most))


def condition(rng, name):
    return {
        "client": lambda: some(rng, CLIENTS + ["127.0.0.2/31", "::ffff:127.0.0.4/127"]),
        "user": lambda: some(rng, list(USERS)),
        "group": lambda: some(rng, list(GROUPS), 1),
        "host": lambda: some(rng, NAMES + [f".{n}" for n in NAMES] + ADDRESSES),
        "address": lambda: some(
            rng, ADDRESSES + ["127.1.0.0/16", "127.2.0.0/15", "loopback", "private", "special"]
        ),
        "port": lambda: some(rng, [str(p) for p in PORTS] + ["1-100", "400-600"]),
        "method": lambda: some(rng, METHODS),
        "scheme": lambda: rng.choice(["http", "tunnel"]),
    }[name]()


def make_rules(rng, count):
    kinds = ["client", "user", "group", "host", "address", "port", "method", "scheme"]
    rules = []
    for number in range(1, count + 1):
        rule = {name: condition(rng, name) for name in some(rng, kinds, 3)}
        action = rng.choice(["allow", "deny", None])
        if action is None:
            rule["log"] = "on"
        else:
            rule["action"] = action
        if action == "deny":
            rule["say"] = f"Rule {number} says no."
        rules.append(rule)
    return rules


def make_host(rng):
    if rng.random() < 0.7:
        name = rng.choice(NAMES)
        return rng.choice([name, name.upper(), f"{name}."])
    return rng.choice(rng.choice(list(SPELLINGS.values())) + ADDRESSES)


def what_the_daemon_says(c, method, host, port, user):
    fields = [people.say(user, USERS[user])] if user else []
    authority = f"{host}:{port}"
    answer = c.ask(method, authority if method == "CONNECT" else f"http://{authority}/", fields)
    assert answer.status in (200, 403, 407, 502), answer
    return answer


def explain(p, client, method, host, port, user, leads):
    authority = f"{host}:{port}"
    words = [client] + ([user] if user else []) + [method]
    words.append(authority if method == "CONNECT" else f"http://{authority}/")
    options = [text for ip in leads for text in ("--address", ip)]
    done = daemon.run("-c", p.config_path, "--explain", " ".join(words), *options)
    assert done.returncode in (0, 1) and done.stderr == "", done
    return done


def test_explain_agrees_with_the_daemon(proxy, client, names, tmp_path):
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    count = int(os.environ.get("QUESTIONS", 150))
    rng = random.Random(seed)
    print("SEED", seed)
    leads = {name: some(rng, ADDRESSES, 3) for name in NAMES}
    server = names("".join(f"{ip} {n}\n" for n, ips in leads.items() for ip in ips))
    (tmp_path / "ads.txt").write_text("ads.test\n@@good.ads.test\n")
    (tmp_path / "groups").write_text("".join(f"{g}: {' '.join(m)}\n" for g, m in GROUPS.items()))
    p = proxy(
        resolver={"servers": [server.address]},
        auth={
            "users": people.write_users(tmp_path / "users", USERS),
            "groups": str(tmp_path / "groups"),
            "exempt": ["127.0.0.5"],
            "delay": 0,
        },
        access={
            "allow_addresses": ["127.1.0.0/16"],
            "connect_ports": ["1-100", "443"],
            "blocklists": [str(tmp_path / "ads.txt")],
            "rules": make_rules(rng, 30),
        },
    )
    clients = {ip: client(p, source=ip) for ip in CLIENTS}
    for _ in range(count):
        source, method, host, port = (
            rng.choice(CLIENTS), rng.choice(METHODS), make_host(rng), rng.choice(PORTS))
        user = rng.choice([None, *USERS])
        answer = what_the_daemon_says(clients[source], method, host, port, user)
        to = leads.get(host.lower().rstrip("."), [])
        said = explain(p, source, method, host, port, user, to)
        question = f"{source} {user} {method} {host}:{port} -> {to}: {answer} but {said.stdout}"
        assert (answer.status in (403, 407)) == (said.returncode == 1), question
        if answer.status == 403 and method != "HEAD":
            end = re.search(r": (\w+)\n$", answer.text)[1]
            why = re.search(r"Rule \d+ says no", answer.text) if end == "rule_denied" else None
            # Of several addresses any may be the first.
            assert (why[0] if why else REASONS[end]) in said.stdout, question
