"""Real programs in front of the proxy, real servers behind it."""

import hashlib
import json
import os
import signal
import subprocess
import threading

import pytest
import requests
import websocket

import daemon
import real
from peers import chunked, response, serve

LARGE = (8 if daemon.sanitized() else 200) << 20


@pytest.fixture
def authority(tmp_path):
    return real.Authority(tmp_path / "ca")


@pytest.fixture
def nginx(tmp_path, authority):
    server = real.Nginx(tmp_path / "nginx", authority)
    yield server
    server.stop()


@pytest.fixture
def way(proxy, names):
    """A proxy that knows origin.test."""
    return proxy(resolver={"servers": [names(real.HOSTS).address]})


@pytest.fixture
def run(tmp_path):
    """run(program, arguments...): its standard output; it has to succeed."""

    def start(name, *arguments, env=None, status=0, cwd=tmp_path):
        process = subprocess.Popen(
            [real.program(name), *map(str, arguments)], env=real.environment(tmp_path, **env or {}),
            cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, errors = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # git has children
            errors = process.communicate()[1]
            raise AssertionError(f"{name} does not end: {errors}") from None
        assert process.returncode == status, f"{name} ended with {process.returncode}: {errors}"
        return out

    return start


def put_file(folder, name, size=LARGE):
    """A file with contents that do not repeat; its SHA-256."""
    block = hashlib.sha512(name.encode()).digest() * 16384
    digest = hashlib.sha256()
    with open(folder / name, "wb") as f:
        for i in range(size // len(block)):
            piece = i.to_bytes(8, "big") + block[8:]
            f.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def sum_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# ---- curl -------------------------------------------------------------------------------------


@pytest.fixture
def curl(run, way, authority):
    def start(*arguments, **options):
        return run("curl", "-sS", "--fail", "--max-time", "40", "--cacert", authority.ca,
                   "-x", way.url, *arguments, **options)

    return start


@pytest.mark.parametrize("options", [[], ["--http1.0"], ["--proxytunnel"], ["--compressed"],
                                     ["-H", "Expect: 100-continue"]])
def test_curl_gets_a_page(curl, nginx, options):
    assert b"at home" in curl(*options, nginx.url("/index.html"))


@pytest.mark.parametrize("options", [[], ["--http1.1"], ["--http2"]])
def test_curl_gets_a_page_over_tls(curl, nginx, options):
    version = curl(*options, nginx.url("/index.html", "https"), "-o", os.devnull,
                   "-w", "%{http_version} %{http_connect} %{ssl_verify_result}")
    assert version.decode().split()[1:] == ["200", "0"]


def test_curl_reuses_its_connection(curl, nginx, way):
    out = curl(*[nginx.url("/index.html")] * 5, "-w", "%{num_connects} ")
    counts = [int(part) for part in out.decode().replace("at home\n", " ").split() if part.isdigit()]
    assert sum(counts) == 1
    assert len(way.access(5)) == 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_downloads_a_large_file(curl, nginx, tmp_path, scheme):
    expected = put_file(nginx.root, "large")
    curl(nginx.url("/large", scheme), "-o", tmp_path / "got")
    assert sum_of(tmp_path / "got") == expected


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("framing", ["length", "chunked", "expect", "1.0"])
def test_curl_uploads_a_large_file(curl, nginx, tmp_path, framing, scheme):
    expected = put_file(tmp_path, "large")
    options = {"length": ["-H", "Expect:"], "chunked": ["-H", "Transfer-Encoding: chunked"],
               "expect": ["-H", "Expect: 100-continue"], "1.0": ["--http1.0"]}[framing]
    curl(*options, "-T", tmp_path / "large", nginx.url("/dav/stored", scheme))
    assert sum_of(nginx.root / "dav" / "stored") == expected


def test_curl_continues_a_download(curl, nginx, tmp_path):
    expected = put_file(nginx.root, "large", 4 << 20)
    whole = (nginx.root / "large").read_bytes()
    (tmp_path / "got").write_bytes(whole[:1_000_001])
    curl("-C", "-", nginx.url("/large"), "-o", tmp_path / "got")
    assert sum_of(tmp_path / "got") == expected
    parts = curl("-r", "0-9,100-109", nginx.url("/large"))
    assert whole[:10] in parts and whole[100:110] in parts


def test_curl_follows_a_redirect_and_sees_the_head(curl, nginx):
    assert b"at home" in curl("-L", nginx.url("/old"))
    assert b"HTTP/1.1 200" in curl("-I", nginx.url("/index.html"))


def test_curl_speaks_webdav(curl, nginx):
    curl("-X", "MKCOL", nginx.url("/dav/folder/"))
    curl("-X", "PUT", "-d", "text", nginx.url("/dav/folder/a%20b"))
    listing = curl("-X", "PROPFIND", "-H", "Depth: 1", nginx.url("/dav/folder/"))
    assert b"a%20b" in listing
    curl("-X", "MOVE", "-H", f"Destination: {nginx.url('/dav/folder/c')}",
         nginx.url("/dav/folder/a%20b"))
    assert (nginx.root / "dav/folder/c").read_bytes() == b"text"
    curl("-X", "DELETE", nginx.url("/dav/folder/c"))
    assert not (nginx.root / "dav/folder/c").exists()


def test_curl_in_parallel(curl, nginx, tmp_path):
    expected = put_file(nginx.root, "part", 2 << 20)
    wanted = []
    for i in range(40):
        wanted += ["-o", tmp_path / f"got{i}", nginx.url("/part", "https" if i % 2 else "http")]
    curl("-Z", "--parallel-max", "20", *wanted)
    assert {sum_of(tmp_path / f"got{i}") for i in range(40)} == {expected}


def test_curl_is_told_why(run, way, names):
    out = run("curl", "-sS", "-x", way.url, "-H", "Accept: text/html", "http://missing.test/")
    assert b"missing.test" in out
    assert b"<html" in out.lower()


def test_curl_sees_a_truncation(run, way, origin):
    def handler(c):
        c.next_request()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    for options in ([], ["--http1.0"]):
        with pytest.raises(AssertionError, match="ended with (18|56)"):
            run("curl", "-sS", *options, "-x", way.url, origin(handler).url())


# ---- wget, git, apt ---------------------------------------------------------------------------


@pytest.fixture
def proxied(way):
    """The environment that most programs look at."""
    return {"http_proxy": way.url, "https_proxy": way.url, "no_proxy": ""}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wget(run, nginx, proxied, authority, tmp_path, scheme, way):
    expected = put_file(nginx.root, "large", 8 << 20)
    (nginx.root / "page.html").write_text('<a href="/large">x</a> <a href="/index.html">y</a>')
    run("wget", "-q", "-r", "-nH", f"--ca-certificate={authority.ca}", "-P", tmp_path / "got",
        nginx.url("/page.html", scheme), env=proxied)
    assert sum_of(tmp_path / "got" / "large") == expected
    assert (tmp_path / "got" / "index.html").exists()
    assert way.access(1)[0].request.startswith("CONNECT" if scheme == "https" else "GET")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_git_clones_and_pushes(run, nginx, way, authority, tmp_path, scheme):
    nginx.repository("stones.git")
    settings = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.proxy",
                "GIT_CONFIG_VALUE_0": way.url, "GIT_CONFIG_KEY_1": "http.sslCAInfo",
                "GIT_CONFIG_VALUE_1": str(authority.ca)}
    url = nginx.url("/git/stones.git", scheme)

    def git(*arguments, cwd=tmp_path):
        return run("git", *arguments, env=settings, cwd=cwd)

    git("clone", "-q", url, "first")
    (tmp_path / "first" / "small").write_text("text\n")
    # Large enough for git to push it chunked (http.postBuffer is 1 MiB).
    (tmp_path / "first" / "large").write_bytes(os.urandom(5 << 20))
    for arguments in (("add", "."), ("commit", "-qm", "stones"), ("push", "-q", "origin", "HEAD:main")):
        git(*arguments, cwd=tmp_path / "first")
    git("clone", "-q", url, "second")
    assert sum_of(tmp_path / "second/large") == sum_of(tmp_path / "first/large")
    assert git("fsck", "--full", cwd=tmp_path / "second") is not None
    assert all(line.end == "ok" for line in way.access(3))


def make_repository(folder):
    """A flat repository with a package that has nothing in it but its name."""
    folder.mkdir()
    build = folder.parent / "stone"
    (build / "DEBIAN").mkdir(parents=True)
    (build / "DEBIAN/control").write_text(
        "Package: stone\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.test>\n"
        "Description: a stone\n")
    subprocess.run(["dpkg-deb", "-b", str(build), str(folder / "stone_1.0_all.deb")], check=True,
                   capture_output=True)
    package = (folder / "stone_1.0_all.deb").read_bytes()
    index = (build / "DEBIAN/control").read_text() + (
        f"Filename: ./stone_1.0_all.deb\nSize: {len(package)}\n"
        f"SHA256: {hashlib.sha256(package).hexdigest()}\n\n")
    (folder / "Packages").write_text(index)
    (folder / "Release").write_text(
        f"Origin: flow\nSuite: stable\nSHA256:\n {hashlib.sha256(index.encode()).hexdigest()} "
        f"{len(index)} Packages\n")


def test_apt_updates_and_downloads(run, nginx, way, tmp_path):
    make_repository(nginx.root / "debian")
    for folder in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d",
                   "etc/preferences.d", "etc/trusted.gpg.d", "etc/sources.list.d"):
        (tmp_path / "apt" / folder).mkdir(parents=True)
    (tmp_path / "apt/status").touch()
    (tmp_path / "apt/etc/sources.list").write_text(f"deb [trusted=yes] {nginx.url('/debian/')} ./\n")
    conf = tmp_path / "apt/conf"
    conf.write_text(
        f'Dir::State "{tmp_path}/apt"; Dir::State::lists "{tmp_path}/apt/lists";\n'
        f'Dir::State::status "{tmp_path}/apt/status"; Dir::Cache "{tmp_path}/apt/cache";\n'
        f'Dir::Etc "{tmp_path}/apt/etc"; Dir::Log "{tmp_path}/apt";\n'
        f'Acquire::http::Proxy "{way.url}"; APT::Sandbox::User "root"; Acquire::Retries "0";\n'
        'APT::Update::Error-Mode "any"; Acquire::Languages "none";\n')
    out = run("apt-get", "update", env={"APT_CONFIG": str(conf)})
    assert nginx.url("/debian").encode() in out
    # Again: now it asks whether anything has changed (If-Modified-Since, pipelined).
    run("apt-get", "update", env={"APT_CONFIG": str(conf)})
    run("apt-get", "download", "stone", env={"APT_CONFIG": str(conf)})
    assert sum_of(tmp_path / "stone_1.0_all.deb") == sum_of(
        nginx.root / "debian/stone_1.0_all.deb")
    daemon.poll(lambda: any("stone_1.0" in line.request for line in way.access(1)), "its log line")


# ---- libraries --------------------------------------------------------------------------------


@pytest.fixture
def session(way, authority):
    with requests.Session() as s:
        s.trust_env = False
        s.proxies = {"http": way.url, "https": way.url}
        s.verify = str(authority.ca)
        yield s


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests(session, nginx, scheme):
    assert "at home" in session.get(nginx.url("/index.html", scheme), timeout=20).text
    body = os.urandom(3 << 20)
    put = session.put(nginx.url("/dav/a", scheme), data=body, timeout=20)
    assert put.status_code == 201
    pieces = (body[i : i + 70_000] for i in range(0, len(body), 70_000))
    put = session.put(nginx.url("/dav/b", scheme), data=pieces, timeout=20)  # chunked
    assert put.status_code == 201
    for name in "ab":
        assert session.get(nginx.url("/dav/" + name, scheme), timeout=20).content == body
    assert session.head(nginx.url("/dav/a", scheme), timeout=20).headers["Content-Length"] == str(
        len(body))
    assert session.get(nginx.url("/nothing", scheme), timeout=20).status_code == 404


def test_requests_streams(session, origin):
    """Each line is there when it was said."""
    got = threading.Semaphore(0)

    def handler(c):
        c.next_request()
        c.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i in range(5):
            c.send(b"data: %d\n" % i)
            assert got.acquire(timeout=10)

    lines = []
    with session.get(origin(handler).url(), stream=True, timeout=20) as answer:
        for line in answer.iter_lines(chunk_size=1):
            lines.append(line)
            got.release()
    assert lines == [b"data: %d" % i for i in range(5)]


def test_requests_sees_a_truncation(session, origin):
    o = origin(lambda c: (c.next_request(), c.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(o.url(), timeout=20)


def test_requests_is_told_of_a_tunnel_that_fails(session, refusing_port):
    with pytest.raises(requests.exceptions.ProxyError, match="502"):
        session.get(f"https://127.0.0.1:{refusing_port}/", timeout=20)


NODE = """
const http = require('http'), https = require('https'), fs = require('fs');
const proxy = {host: '127.0.0.1', port: +process.env.PORT};
const plain = new URL(process.env.PLAIN), tls = new URL(process.env.TLS);
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
function read(response) {
    return new Promise((resolve, reject) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', piece => text += piece);
        response.on('end', () => resolve(text));
        response.on('error', reject);
    });
}
function ask(method, url, body) {
    return new Promise((resolve, reject) => {
        const request = http.request({...proxy, agent, method, path: url, headers: {Host: plain.host}},
            response => read(response).then(text => resolve([response.statusCode, text]), reject));
        request.on('error', reject);
        if (body) for (let i = 0; i < 100; i++) request.write(body);
        request.end();
    });
}
function askTunnelled() {
    return new Promise((resolve, reject) => {
        const connect = http.request({...proxy, method: 'CONNECT', path: tls.host});
        connect.on('error', reject);
        connect.on('connect', (response, socket) => {
            const request = https.get(tls.href, {socket, agent: false, ca: fs.readFileSync(process.env.CA),
                createConnection: () => require('tls').connect({socket, servername: tls.hostname,
                    ca: fs.readFileSync(process.env.CA)})},
                answer => read(answer).then(text => {
                    resolve([response.statusCode, answer.statusCode, text]); socket.destroy(); }, reject));
            request.on('error', reject);
        });
        connect.end();
    });
}
(async () => {
    const results = [];
    for (let i = 0; i < 3; i++) results.push(await ask('GET', plain.href));
    results.push(await ask('PUT', new URL('/dav/node', plain).href, 'x'.repeat(10000)));
    results.push(await askTunnelled());
    console.log(JSON.stringify(results));
    agent.destroy();
})();
"""


def test_node(run, nginx, way, authority):
    out = run("node", "-e", NODE, env={
        "PORT": str(way.port), "PLAIN": nginx.url("/index.html"), "CA": str(authority.ca),
        "TLS": nginx.url("/index.html", "https")})
    results = json.loads(out)
    assert [r[0] for r in results] == [200, 200, 200, 201, 200]
    assert all("at home" in r[-1] for r in results if r != results[3])
    assert (nginx.root / "dav/node").read_bytes() == b"x" * 1_000_000
    assert len(way.access(5)) == 5
    way.stop()
    way.wait_line("penstock_clients_total 2$")  # one kept, one that became a tunnel


def test_websocket_client(way):
    """This library tunnels ws: too, with CONNECT."""
    server = real.EchoSockets()
    try:
        sock = websocket.create_connection(
            f"ws://{real.NAME}:{server.port}/", timeout=10, http_proxy_host="127.0.0.1",
            http_proxy_port=way.port, proxy_type="http")
        assert sock.recv() == "hello"
        for size in (1, 1000, 1_000_000):
            sock.send("x" * size)
            assert sock.recv() == "x" * size
        sock.close()
        line = way.access(1)[0]
        assert line.request == f"CONNECT {real.NAME}:{server.port} HTTP/1.1"
    finally:
        server.stop()


def test_trailers_reach_curl(curl, origin):
    """gRPC-like answers end with trailers."""
    head = response(fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Status")], length=False)
    o = origin(serve(head + chunked(b"abc", trailers=b"X-Status: 0\r\n")))
    out = curl("-D", "-", o.url())
    assert b"abc" in out and b"X-Status: 0" in out
