"""A real browser with the proxy in its settings.  Pictures stay in build/screenshots."""

import pathlib

import pytest

import daemon
import real

PICTURES = pathlib.Path(daemon.ROOT) / "build" / "screenshots"

PAGE = """<!doctype html><title>a page</title><link rel=stylesheet href=/style.css>
<h1>penstock</h1><p id=out>nothing yet</p><script src=/script.js></script>
"""
SCRIPT = "document.getElementById('out').textContent = 'the script has run';"
STYLE = "body { font: 24px sans-serif; background: #def } h1 { color: #036 }"


@pytest.fixture
def site(tmp_path):
    """A small site on nginx, over http and https."""
    server = real.Nginx(tmp_path / "nginx", real.Authority(tmp_path / "ca"))
    (server.root / "page.html").write_text(PAGE)
    (server.root / "script.js").write_text(SCRIPT)
    (server.root / "style.css").write_text(STYLE)
    (server.root / "download" / "stones.bin").write_bytes(bytes(range(256)) * 40_000)
    yield server
    server.stop()


@pytest.fixture
def way(proxy, names):
    return proxy(resolver={"servers": [names(real.HOSTS).address]})


@pytest.fixture
def browser(tmp_path, way):
    started = real.Chromium(tmp_path / "browser", way.port)
    yield started
    started.stop()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page(browser, site, way, scheme):
    browser.go(site.url("/page.html", scheme))
    assert browser.evaluate("document.title") == "a page"
    assert browser.evaluate("document.getElementById('out').textContent") == "the script has run"
    assert browser.evaluate("getComputedStyle(document.body).fontSize") == "24px"
    browser.screenshot(PICTURES / f"{scheme}.png")
    browser.stop()
    port = site.https if scheme == "https" else site.http
    method = "CONNECT" if scheme == "https" else "GET"
    lines = daemon.poll(
        lambda: [x for x in way.access(1) if f"{real.NAME}:{port}" in x.request], "its log line")
    assert lines[0].request.startswith(method)


def test_many_pictures_at_once(browser, site):
    """A page with two hundred parts over the six connections that a browser opens."""
    pictures = site.root / "pictures"
    pictures.mkdir()
    for i in range(200):
        (pictures / f"{i}.txt").write_text(str(i) * 1000)
    browser.go(site.url("/page.html"))
    total = browser.evaluate("""Promise.all([...Array(200).keys()].map(
        i => fetch('/pictures/' + i + '.txt').then(r => r.text()))).then(
        texts => texts.every((t, i) => t === String(i).repeat(1000)) ? texts.length : -1)""")
    assert total == 200


def test_an_upload_from_a_page(browser, site):
    browser.go(site.url("/page.html"))
    status = browser.evaluate("""fetch('/dav/from-the-browser', {method: 'PUT',
        body: new Uint8Array(3000000).fill(7)}).then(r => r.status)""")
    assert status == 201
    assert (site.root / "dav/from-the-browser").read_bytes() == b"\7" * 3_000_000


def test_server_sent_events(browser, origin):
    """Each event is in the page before the next one is said."""

    def handler(c):
        request = c.recv_request()
        if request.head.target != "/events":
            c.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n"
                   "Connection: close\r\n\r\n<title>events</title")
            return
        c.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i in range(3):
            c.send(b"data: %d\n\n" % i)
        c.recv_all()

    browser.go(origin(handler).url("/"))
    got = browser.evaluate("""new Promise((done, failed) => {
        const seen = [], source = new EventSource('/events');
        source.onmessage = e => { seen.push(e.data); if (seen.length == 3) {
            source.close(); done(seen.join()); } };
        source.onerror = () => failed('failed'); })""")
    assert got == "0,1,2"


def test_a_websocket(browser, site, way):
    server = real.EchoSockets()
    try:
        browser.go(site.url("/page.html"))
        got = browser.evaluate(f"""new Promise((done, failed) => {{
            const seen = [], sock = new WebSocket('ws://{real.NAME}:{server.port}/');
            sock.onmessage = e => {{ seen.push(e.data);
                if (seen.length == 1) sock.send('from the page');
                else {{ document.getElementById('out').textContent = seen.join();
                    sock.close(); done(seen.join()); }} }};
            sock.onerror = () => failed('failed'); }})""")
        assert got == "hello,from the page"
        browser.screenshot(PICTURES / "websocket.png")
    finally:
        server.stop()


def test_a_download(browser, site, tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    browser.call("Browser.setDownloadBehavior", browser=True, behavior="allow",
                 downloadPath=str(folder), eventsEnabled=True)
    browser.go(site.url("/page.html"))
    browser.evaluate("location.href = '/download/stones.bin'")
    browser.wait("Browser.downloadProgress", lambda p: p["state"] == "completed")
    assert (folder / "stones.bin").read_bytes() == bytes(range(256)) * 40_000


def test_the_page_of_a_failure(browser, site, refusing_port):
    """What a person sees who mistyped an address, or whose site is down."""
    for name, url in (("no-name", "http://missing.test/"),
                      ("refused", f"http://127.0.0.1:{refusing_port}/"),
                      ("not-allowed", "http://169.254.169.254/latest/")):
        browser.go(url)
        text = browser.evaluate("document.body.innerText")
        assert url.split("/")[2].split(":")[0] in text
        browser.screenshot(PICTURES / f"{name}.png")


def test_the_page_about_the_proxy(browser, way):
    browser.go(way.url + "/")
    assert "penstock" in browser.evaluate("document.body.innerText").lower()
    browser.screenshot(PICTURES / "about.png")
