"""program -- something the bench has started: pinned to CPUs, awaited, and ended by its pid."""

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import time

START_SECONDS = 30
END_SECONDS = 10
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failure(Exception):
    """What was to be measured did not work; the text says why."""


class Program:
    """A running program.  Ended at the end of `with`; also when the bench itself is killed."""

    def __init__(self, argv, cpus, log):
        def prepare():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, cpus)

        self.name = os.path.basename(argv[0])
        self.log = log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=prepare,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def complaint(self):
        """The line of its stderr that is likely to say why it failed."""
        with open(self.log, errors="replace") as f:
            lines = [line.strip() for line in f if line.strip()]
        serious = [line for line in lines if re.search("alert|fatal|emerg|error", line, re.I)]
        return (serious + lines + ["it said nothing"])[0]

    def check(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended with {self.process.returncode}: {self.complaint()}")

    def await_port(self, port):
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            self.check()
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.01)
        raise Failure(f"{self.name} does not listen after {START_SECONDS} s")

    def await_ready(self, seconds=START_SECONDS):
        """Until it says "ready"."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise Failure(f"{self.name} is not ready after {seconds} s")
        if self.process.stdout.readline().strip() != b"ready":
            self.process.wait(END_SECONDS)
            raise Failure(self.complaint())

    def finish(self, seconds):
        """Close its stdin and wait for its end.  What it printed, and whether it was content."""
        try:
            output = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            raise Failure(f"not done after {seconds} s") from None
        return output, self.process.returncode == 0

    def end(self):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(sign)
            try:
                self.process.wait(END_SECONDS if sign == signal.SIGTERM else None)
                break
            except subprocess.TimeoutExpired:
                continue
        # What it left behind of the session that was made for it.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
