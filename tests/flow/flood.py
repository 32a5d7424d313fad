"""flood -- pushing at a socket as long as it takes, and seeing it end without reading."""

import select

from peers import TIMEOUT


def push(sock, until=None):
    """Send as much as goes, until nothing moves for a moment; how much went."""
    block, sent = memoryview(bytes(1 << 18)), 0
    sock.setblocking(False)
    while select.select([], [sock], [], 0.3)[1] and (until is None or sent < until):
        try:
            sent += sock.send(block)
        except BlockingIOError:
            pass
    return sent


def send_on(sock, block):
    """Send until that is put an end to."""
    try:
        while True:
            sock.sendall(block)
    except OSError:
        pass


def wait_hangup(sock, seconds=TIMEOUT):
    """Wait, without reading, until the peer has closed or reset."""
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    assert poller.poll(seconds * 1000), f"still open after {seconds} s"
