"""penstock --passwd: a line for the file of users."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios

import pytest

import daemon
import people

EX_USAGE, EX_DATAERR, EX_NOINPUT = 64, 65, 66


def make(name, given):
    return subprocess.run([daemon.BINARY, "--passwd", name], input=given, capture_output=True,
                          timeout=20, check=False)


@pytest.mark.parametrize(
    "given,password",
    [
        ("p@ss:w/rd\n", "p@ss:w/rd"),
        ("no line feed", "no line feed"),
        ("  blanks  \nsecond line\n", "  blanks  "),
        ("ß\n", "ß"),
        ("x" * 511 + "\n", "x" * 511),
    ],
)
def test_a_line(given, password):
    done = make("anna", given.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    line = done.stdout.decode()
    assert re.fullmatch(r"anna:\$y\$[./0-9A-Za-z]+\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{43}\n", line)
    hashed = line[5:-1]
    assert people.crypt(password, hashed) == hashed
    assert make("anna", given.encode()).stdout != done.stdout  # another salt


@pytest.mark.parametrize(
    "name,given,status",
    [
        ("anna", b"", EX_DATAERR),
        ("anna", b"\n", EX_DATAERR),
        ("anna", b"a\0b\n", EX_DATAERR),
        ("anna", b"a\tb\n", EX_DATAERR),
        ("anna", b"secret\r\n", EX_DATAERR),
        ("anna", b"x" * 512 + b"\n", EX_DATAERR),
        ("anna", b"x" * 100_000, EX_DATAERR),
        ("an:na", b"secret\n", EX_USAGE),
        ("", b"secret\n", EX_USAGE),
        ("#anna", b"secret\n", EX_USAGE),
        ("an\nna", b"secret\n", EX_USAGE),
        (" anna", b"secret\n", EX_USAGE),
        ("x" * 256, b"secret\n", EX_USAGE),
    ],
)
def test_what_cannot_be(name, given, status):
    done = make(name, given)
    assert (done.returncode, done.stdout) == (status, b"")
    assert done.stderr.startswith(b"penstock: ")
    assert b"secret" not in done.stderr


def test_a_name_is_needed():
    assert daemon.run("--passwd").returncode == EX_USAGE


def test_the_line_is_good(proxy, client, origin, tmp_path):
    for name, password in (("anna", "open sesame"), ("bert", "p@ss:w/rd")):
        with open(tmp_path / "users", "ab") as f:
            f.write(make(name, password.encode()).stdout)
    o = origin()
    c = client(proxy(auth={"users": str(tmp_path / "users"), "delay": 0}))
    assert c.get(o.url(), [people.say("anna", "open sesame")]).status == 200
    assert c.get(o.url(), [people.say("bert", "p@ss:w/rd")]).status == 200
    assert c.get(o.url(), [people.say("bert", "open sesame")]).status == 407


def at_terminal():
    """In the child: the terminal is its own, and the signals of its keys are not ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """The program on a terminal of its own; its standard output goes elsewhere."""

    def __init__(self, tmp_path):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.out = open(tmp_path / "out", "w+b")
        self.process = subprocess.Popen(
            [daemon.BINARY, "--passwd", "anna"], stdin=slave, stderr=slave, stdout=self.out,
            start_new_session=True,
            preexec_fn=at_terminal)
        self.seen = b""

    def wait(self, text):
        while text not in self.seen:
            assert select.select([self.master], [], [], 20)[0], self.seen
            self.seen += os.read(self.master, 1000)

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def type(self, text):
        daemon.poll(lambda: not self.echoes(), "the echo to be off")
        os.write(self.master, text)

    def end(self):
        status = self.process.wait(20)
        self.out.seek(0)
        written = self.out.read()
        os.set_blocking(self.master, False)
        try:
            self.seen += os.read(self.master, 10000)
        except BlockingIOError:
            pass
        assert self.echoes()
        for fd in (self.master, self.slave):
            os.close(fd)
        self.out.close()
        return status, written


def test_at_a_terminal(tmp_path):
    t = Terminal(tmp_path)
    t.wait(b"Password: ")
    t.type(b"open sesame\n")
    t.wait(b"Again: ")
    t.type(b"open sesame\n")
    status, written = t.end()
    assert status == 0
    hashed = written.decode().strip().split(":", 1)[1]
    assert people.crypt("open sesame", hashed) == hashed
    assert b"sesame" not in t.seen


def test_a_mistake_at_a_terminal(tmp_path):
    t = Terminal(tmp_path)
    t.wait(b"Password: ")
    t.type(b"open sesame\n")
    t.wait(b"Again: ")
    t.type(b"open barley\n")
    assert t.end() == (EX_NOINPUT, b"")
    assert b"differ" in t.seen


@pytest.mark.parametrize("typed,number", [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)])
def test_a_signal_leaves_the_terminal_as_it_was(tmp_path, typed, number):
    t = Terminal(tmp_path)
    t.wait(b"Password: ")
    t.type(b"open" + typed)
    assert t.end() == (-number, b"")


def test_a_termination_leaves_the_terminal_as_it_was(tmp_path):
    t = Terminal(tmp_path)
    t.wait(b"Password: ")
    daemon.poll(lambda: not t.echoes(), "the echo to be off")
    t.process.terminate()
    assert t.end() == (-signal.SIGTERM, b"")


def test_who_was_stopped_is_asked_again(tmp_path):
    """As nobody could wake it up again, the system lets it go on at once."""
    t = Terminal(tmp_path)
    t.wait(b"Password: ")
    daemon.poll(lambda: not t.echoes(), "the echo to be off")
    t.process.send_signal(signal.SIGTSTP)
    t.wait(b"Password: Password: ")
    t.type(b"open sesame\n")
    t.wait(b"Again: ")
    t.type(b"open sesame\n")
    status, written = t.end()
    assert (status, written[:5]) == (0, b"anna:")
    assert b"sesame" not in t.seen
