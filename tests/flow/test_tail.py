"""The tail of a response reaches a client that goes on sending: connections are closed in stages."""

import signal
import socket
import threading
import time

import pytest

import daemon
from flood import send_on, wait_hangup
from peers import TIMEOUT, Closed, Wire, chunked, request, response, serve

NARROW = 4096  # a receive buffer; what does not fit stays with the proxy
BODY = bytes(range(256)) * 800  # more than such a client's buffer, less than the proxy's
GIB = 1 << 30


@pytest.fixture
def narrow(stage):
    """narrow(proxy): a client whose kernel takes little at a time."""

    def start(proxy):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        sock.settimeout(TIMEOUT)
        sock.connect(proxy.address)
        stage.clients.append(Wire(sock, TIMEOUT))
        return stage.clients[-1]

    return start


def send_what_goes(client, data):
    """A reset is found by whoever reads, with what it has cost."""
    try:
        client.send(data)
    except ConnectionError:
        pass


def refuses(address):
    try:
        socket.create_connection(address, TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass
    return False


def close_fields(version):
    return [("Connection", "close")] if version == "HTTP/1.1" else []


# ---- the next request comes when the connection is being closed -------------------------------


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_who_asked_for_the_end_and_sends_more(proxy, origin, narrow, version, framing):
    """Old clients end a body with an empty line too many, others ask on regardless."""
    answer = {
        "length": response(BODY),
        "chunked": response(fields=[("Transfer-Encoding", "chunked")], length=False)
        + chunked(BODY),
        "close": response(BODY, length=False),
    }[framing]

    def handler(c):
        c.next_request()
        c.send(answer)

    url = origin(handler).url()
    p = proxy()
    c = narrow(p)
    ask = request("GET", url, close_fields(version), version=version)
    c.send(ask)
    assert p.access(1)[0].end == "ok"  # all of it is in the proxy's kernel now
    send_what_goes(c, ask)
    assert c.recv_response().body == BODY
    c.expect_closed(reset=False)


def test_a_drain_ends_the_connection_of_who_asks_on(proxy, origin, narrow):
    asked, go = threading.Event(), threading.Event()

    def handler(c):
        c.next_request()
        asked.set()
        assert go.wait(TIMEOUT)
        c.send(response(BODY))

    url = origin(handler).url()
    p = proxy()
    c = narrow(p)
    c.send(request("GET", url))
    assert asked.wait(TIMEOUT)
    p.signal(signal.SIGTERM)
    daemon.poll(lambda: refuses(p.address), "the end of listening")
    go.set()
    assert p.access(1)[0].end == "ok"
    send_what_goes(c, request("GET", url))
    answer = c.recv_response()
    assert (answer.body, answer.get("Connection")) == (BODY, "close")
    c.expect_closed(reset=False)
    c.close()
    p.wait_exit()


@pytest.mark.parametrize("why", ["idle", "drain"])
def test_who_still_reads_is_not_idle(proxy, origin, narrow, why):
    url = origin(serve(response(BODY))).url()
    p = proxy(timeouts={"idle": 1})
    c = narrow(p)
    c.send(request("GET", url))
    assert p.access(1)[0].end == "ok"
    if why == "drain":
        p.signal(signal.SIGTERM)
        daemon.poll(lambda: refuses(p.address), "the end of listening")
    time.sleep(1.5)  # the pace is what is tested
    send_what_goes(c, request("GET", url))
    assert c.recv_response().body == BODY
    c.expect_closed(reset=False)


# ---- the rest of an upload that was refused ---------------------------------------------------


def test_who_reads_late_gets_a_long_refusal(proxy, origin, narrow):
    """Longer than timeouts.linger passes, but the response moves on."""

    def handler(c):
        c.recv_head()
        c.send(response(BODY, "413 Content Too Large"))
        c.recv_all()

    p = proxy(timeouts={"linger": 1})
    c = narrow(p)
    c.send(request("PUT", origin(handler).url(), [("Content-Length", str(GIB))]))
    uploader = threading.Thread(target=send_on, args=(c.sock, bytes(65536)))
    uploader.start()
    head = c.recv_head()
    assert (head.status, head.get("Connection")) == (413, "close")
    got = b""
    for _ in range(8):  # the pace is what is tested
        time.sleep(0.4)
        got += c.recv_exact(2048)
    assert got + c.recv_all() == BODY
    uploader.join(TIMEOUT)
    assert not uploader.is_alive(), "the upload was not stopped"


def test_who_has_sent_all_reads_last(proxy, origin, narrow):
    """All that was too much comes, and its end, before the client reads."""

    def handler(c):
        c.recv_head()
        c.send(response(BODY, "413 Content Too Large"))
        c.recv_all()

    p = proxy()
    c = narrow(p)
    c.send(request("PUT", origin(handler).url(), [("Content-Length", str(GIB))]))
    c.send(bytes(18 << 20))
    c.end()
    assert c.recv_response().body == BODY
    c.expect_closed(reset=False)


@pytest.mark.parametrize("method", ["POST", "CONNECT"])
def test_who_is_over_the_limit_is_told_so(proxy, client, method):
    """However much of the request is still coming."""
    p = proxy(limits={"clients": 1})
    first = client(p)
    first.get("/")
    second = client(p)
    rest = bytes(1 << 20)
    second.send(request(method, "a.test:443", [("Content-Length", str(len(rest)))]))
    assert second.recv_response().status == 503
    second.send(rest)  # a reset would end that
    second.expect_closed(reset=False)


# ---- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bound",
    [
        {"timeouts": {"linger": 1, "body": 2}},
        {"timeouts": {"linger": 1, "body_grace": 2}, "limits": {"body_rate_min": 1000}},
    ],
)
def test_who_does_not_read_is_left_in_the_end(proxy, origin, narrow, bound):
    """What the kernel holds for him does not become less, so he gets a reset."""
    url = origin(serve(response(BODY, fields=[("Connection", "close")]))).url()
    p = proxy(**bound)
    before = p.descriptors("socket")
    c = narrow(p)
    c.send(request("GET", url, [("Connection", "close")]))
    assert p.access(1)[0].end == "ok"
    wait_hangup(c.sock)
    daemon.poll(lambda: p.descriptors("socket") <= before, "the connection to be left")
    with pytest.raises(Closed) as end:
        c.recv_response()
        c.expect_closed(reset=False)
    assert end.value.reset


def test_who_never_closes_is_left_after_a_while(proxy, origin, client):
    url = origin().url()
    p = proxy(timeouts={"linger": 1})
    before = p.descriptors("socket")
    c = client(p)
    assert c.get(url, [("Connection", "close")]).status == 200
    c.expect_closed(reset=False)
    daemon.poll(lambda: p.descriptors("socket") <= before + 1, "the connection to be left")


def test_a_drain_does_not_wait_for_who_never_closes(proxy, origin, client):
    url = origin().url()
    p = proxy(timeouts={"linger": 1, "drain": 3600})
    c = client(p)
    assert c.get(url, [("Connection", "close")]).status == 200
    p.signal(signal.SIGTERM)
    p.wait_exit()


def test_few_of_those_over_the_limit_are_waited_for(proxy, client):
    """They are not counted among limits.clients, so another number bounds them."""
    p = proxy(limits={"clients": 1}, timeouts={"linger": 3600}, workers=1)
    first = client(p)
    first.get("/")
    before = p.descriptors("socket")
    for _ in range(100):
        other = client(p)
        other.send(request("GET", "/"))
        assert other.recv_response().status == 503
    assert p.descriptors("socket") - before <= 64
