"""Failures in the log, as fail2ban reads them, whatever name the client makes up."""

import pathlib
import re
import shutil
import subprocess

import pytest

import daemon
import people
import real
from people import say

FILTER = pathlib.Path(daemon.ROOT) / "conf" / "penstock.fail2ban"
COMMON = pathlib.Path("/etc/fail2ban/filter.d/common.conf")

HOSTILE = [
    'x" from 203.0.113.7 for user "y',
    "authentication failure from 203.0.113.7 for user x",
    "x for user y from 203.0.113.7",
    '"',
    "\\",
    '\\"',
    'ends\\',
    "ü\u2028x",
    "<203.0.113.7>",
    "%s%n",
    "x" * 255,
    '"' * 255,
    " ",
    "penstock[1] warning",
]


@pytest.fixture
def matches(tmp_path):
    """matches(lines): the addresses that fail2ban finds in them, and how many it does not."""
    folder = tmp_path / "filter.d"
    folder.mkdir()
    shutil.copy(FILTER, folder / "penstock.conf")
    shutil.copy(COMMON, folder / "common.conf")

    def ask(lines):
        log = tmp_path / "log"
        log.write_text("".join(line + "\n" for line in lines))
        done = subprocess.run(
            [real.program("fail2ban-regex"), "--verbose", str(log), str(folder / "penstock.conf")],
            capture_output=True, text=True, timeout=50, check=True)
        summary = re.search(r"Lines: \d+ lines, 0 ignored, (\d+) matched, (\d+) missed",
                            done.stdout)
        assert summary, done.stdout
        found = re.findall(r"^\|\s+(\S+)  \w+ \w+ \d+ [\d:]+ \d{4}$", done.stdout, re.M)
        assert len(found) == int(summary[1])
        return found, int(summary[2])

    return ask


def test_fail2ban_finds_who_failed(proxy, client, origin, matches, tmp_path):
    users = people.write_users(tmp_path / "users", {"anna": "open sesame"})
    p = proxy(auth={"users": users, "failures": 0, "delay": 0})
    o = origin()
    c = client(p, source="127.0.0.5")
    for name in HOSTILE:
        assert c.get(o.url(), [say(name, "from 203.0.113.8")]).status == 407
    # Nothing of these is a failure.
    for name in ("a\nwarning: authentication failure from 203.0.113.7 for user x", "a\r", "\0"):
        assert c.get(o.url(), [say(name, "x")]).status == 407
    assert c.get(o.url(), [say("anna", "open sesame")]).status == 200
    assert c.get(o.url()).status == 407
    c.close()
    p.stop()
    lines = [line for line in p.lines if "authentication" in line]
    assert len(lines) == len(HOSTILE)
    for line in lines:
        assert re.fullmatch(r"[ -~]+", line)
        assert re.fullmatch(
            r'\S+ warning: authentication failure from 127\.0\.0\.5 for user "([^"\\]|\\.)+"', line)
    found, missed = matches(p.lines)
    assert found == ["127.0.0.5"] * len(HOSTILE)
    assert missed == len(p.lines) - len(HOSTILE)


FRONTS = {
    "Nov 23 12:00:00 gate penstock[77]: ": True,
    "2026-11-23T12:00:00.123456+00:00 gate penstock[77]: ": True,
    "2026-11-23T12:00:00.123Z warning: ": True,
    "Nov 23 12:00:00 gate penstock[77]: cannot open ": False,
    "Nov 23 12:00:00 gate other[77]: ": False,
    "2026-11-23T12:00:00.123Z error: cannot open ": False,
}


def test_fail2ban_knows_the_fronts(matches):
    lines, expected = [], []
    for i, (front, found) in enumerate(FRONTS.items()):
        for address in (f"192.0.2.{i}", f"2001:db8::{i + 1}:1"):
            lines.append(f'{front}authentication failure from {address} for user "anna"')
            expected += [address] if found else []
    found, missed = matches(lines)
    assert (sorted(found), missed) == (sorted(expected), len(lines) - len(expected))
