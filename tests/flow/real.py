"""real -- the servers and programs that people put behind and in front of a proxy.

Each class starts one real program under a directory of the test, waits for the event that it
serves, and ends it.  Sockets are bound here and inherited where the program can do that, so
that no port is guessed.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import websocket
import websockets

NAME = "origin.test"
HOSTS = f"127.0.0.1 {NAME}\n"  # for the name server


def program(name):
    """A program's path; the sbin folders are not on everyone's PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert path, f"{name} is not installed"
    return path


def end(process, signum=signal.SIGTERM, seconds=10):
    """Stop a program that a test started, whatever state it is in."""
    if process.poll() is None:
        process.send_signal(signum)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def listening(address="127.0.0.1", backlog=1024):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind((address, 0))
    sock.listen(backlog)
    return sock


class Authority:
    """A certificate authority of our own, made by openssl, and a certificate that it signed."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.ca = folder / "ca.pem"
        self.key = folder / "server.key"
        self.certificate = folder / "server.pem"
        ca_key = folder / "ca.key"
        request = folder / "server.csr"
        names = folder / "names"
        names.write_text(
            f"subjectAltName=DNS:{NAME},DNS:*.{NAME},DNS:localhost,IP:127.0.0.1\n"
            "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
        )
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._run(
            "req",
            "-x509",
            *curve,
            "-keyout",
            ca_key,
            "-out",
            self.ca,
            "-days",
            "2",
            "-subj",
            "/CN=flow test authority",
            "-addext",
            "keyUsage=keyCertSign,cRLSign",
        )
        self._run("req", *curve, "-keyout", self.key, "-out", request, "-subj", f"/CN={NAME}")
        self._run(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            self.ca,
            "-CAkey",
            ca_key,
            "-set_serial",
            "1",
            "-days",
            "2",
            "-extfile",
            names,
            "-out",
            self.certificate,
        )

    @staticmethod
    def _run(*arguments):
        subprocess.run([program("openssl"), *map(str, arguments)], check=True, capture_output=True)


NGINX = """
daemon off; user root; worker_processes 1; pid {folder}/nginx.pid;
error_log {folder}/error.log info;
load_module {modules}/ngx_http_dav_ext_module.so;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/tmp/body; proxy_temp_path {folder}/tmp/proxy;
    fastcgi_temp_path {folder}/tmp/fastcgi; uwsgi_temp_path {folder}/tmp/uwsgi;
    scgi_temp_path {folder}/tmp/scgi;
    client_max_body_size 0; default_type application/octet-stream; server_tokens off;
    types {{ text/html html; text/plain txt; text/css css; text/javascript js; image/png png; }}
    gzip on; gzip_types text/plain; gzip_min_length 1;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl http2;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        server_name origin.test; root {root}; absolute_redirect off;
        location /dav/ {{ dav_methods PUT DELETE MKCOL COPY MOVE;
            dav_ext_methods PROPFIND OPTIONS; create_full_put_path on; }}
        location /download/ {{ add_header Content-Disposition attachment; }}
        location = /old {{ return 302 /index.html; }}
        location /git/ {{
            fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
            fastcgi_param GIT_PROJECT_ROOT {root}; fastcgi_param GIT_HTTP_EXPORT_ALL "";
            fastcgi_param PATH_INFO $uri; fastcgi_param REMOTE_USER tester;
            fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
            fastcgi_param GIT_PROTOCOL $http_git_protocol;
            fastcgi_pass unix:{fcgi}; }}
    }}
}}
"""


class Nginx:
    """nginx with files, WebDAV and git's http-backend, over http and https."""

    def __init__(self, folder, authority):
        self.folder, self.root = folder, folder / "root"
        for name in ("root/dav", "root/download", "root/git", "tmp"):
            (folder / name).mkdir(parents=True)
        (self.root / "index.html").write_text("<!doctype html><title>home</title><p>at home\n")
        plain, tls = listening(), listening()
        self.http, self.https = plain.getsockname()[1], tls.getsockname()[1]
        # The path of a UNIX socket is short: it may not fit below a test's own folder.
        self._fcgi = tempfile.TemporaryDirectory(prefix="fcgi-")
        fcgi = socket.socket(socket.AF_UNIX)
        fcgi.bind(self._fcgi.name + "/socket")
        fcgi.listen(64)
        self.backend = subprocess.Popen(
            [program("fcgiwrap")], stdin=fcgi, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        fcgi.close()
        conf = folder / "nginx.conf"
        conf.write_text(
            NGINX.format(
                folder=folder,
                root=self.root,
                http=self.http,
                https=self.https,
                fcgi=self._fcgi.name + "/socket",
                certificate=authority.certificate,
                key=authority.key,
                modules="/usr/lib/nginx/modules",
            )
        )
        # As at an upgrade of the binary: nginx takes over sockets that already listen.
        inherited = (plain.fileno(), tls.fileno())
        self.process = subprocess.Popen(
            [program("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(conf)],
            env=dict(os.environ, NGINX="".join(f"{fd};" for fd in inherited)),
            pass_fds=inherited,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        plain.close()
        tls.close()
        # Connections wait in the backlog until nginx serves; if it died the sockets are gone.
        with socket.create_connection(("127.0.0.1", self.http), 10) as probe:
            probe.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
            answer = probe.recv(64)
        assert b" 200 " in answer, (folder / "error.log").read_text()

    def url(self, path, scheme="http", host=NAME):
        return f"{scheme}://{host}:{self.https if scheme == 'https' else self.http}{path}"

    def log(self):
        return (self.folder / "access.log").read_text()

    def repository(self, name):
        """A bare repository that can be cloned and pushed to as /git/NAME."""
        path = self.root / "git" / name
        git("init", "-q", "--bare", "-b", "main", str(path))
        git("-C", str(path), "config", "http.receivepack", "true")
        return path

    def stop(self):
        end(self.process)
        end(self.backend)
        self._fcgi.cleanup()


def environment(home, **more):
    """An environment in which nobody's settings, no other proxy and no other CA play a part."""
    foreign = re.compile("proxy|^GIT_|SSL|_CA_|_CA$|CABUNDLE|CERTS|^NODE_", re.I)
    env = {k: v for k, v in os.environ.items() if not foreign.search(k)}
    env.update(HOME=str(home), LC_ALL="C.UTF-8", GIT_CONFIG_NOSYSTEM="1", GIT_TERMINAL_PROMPT="0")
    env.update(
        GIT_AUTHOR_NAME="A",
        GIT_AUTHOR_EMAIL="a@example.test",
        GIT_COMMITTER_NAME="A",
        GIT_COMMITTER_EMAIL="a@example.test",
    )
    env.update(more)
    return env


def git(*arguments, home="/nonexistent", **options):
    return subprocess.run(
        [program("git"), "-c", "safe.directory=*", *arguments],
        env=environment(home),
        check=True,
        capture_output=True,
        text=True,
        timeout=50,
        **options,
    )


class EchoSockets:
    """A WebSocket server that greets, then echoes what it gets; runs in a thread of its own."""

    def __init__(self):
        self.port, self.headers = None, []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self, sock, path="/"):
        self.headers.append(dict(sock.request_headers))
        await sock.send("hello")
        async for message in sock:
            await sock.send(message)

    async def _main(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with websockets.serve(self._serve, "127.0.0.1", 0, max_size=None) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


def accept_key(key):
    """What a server answers to Sec-WebSocket-Key (RFC 6455 4.2.2)."""
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest)


class Chromium:
    """A headless Chromium, told what to do over its DevTools socket."""

    FLAGS = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--disable-default-apps --disable-extensions --disable-dev-shm-usage --mute-audio "
        "--ignore-certificate-errors --proxy-bypass-list=<-loopback> "
        "--remote-debugging-port=0 --remote-allow-origins=* --window-size=800,600"
    ).split()

    def __init__(self, folder, port):
        folder.mkdir()
        env = environment(folder, XDG_CONFIG_HOME=str(folder), XDG_CACHE_HOME=str(folder))
        self.process = subprocess.Popen(
            [
                program("chromium"),
                *self.FLAGS,
                f"--proxy-server=http://127.0.0.1:{port}",
                f"--user-data-dir={folder / 'profile'}",
                "about:blank",
            ],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        # It logs on to stderr: the pipe is read until the address is there, and then drained.
        for line in self.process.stderr:
            if "DevTools listening on " in line:
                break
        else:
            raise AssertionError("chromium does not start")
        threading.Thread(target=self._drain, daemon=True).start()
        self._next, self._events, self.session = 0, [], None
        self._sock = websocket.create_connection(
            line.split("DevTools listening on ")[1].strip(), timeout=40, suppress_origin=True
        )
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime"):
            self.call(domain + ".enable")

    def _drain(self):
        try:
            for _ in self.process.stderr:
                pass
        except ValueError:
            pass  # closed under us by stop()

    def send(self, method, browser=False, **parameters):
        """Tell it without waiting for the answer; the number of what was said."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": parameters}
        if self.session and not browser:
            message["sessionId"] = self.session
        self._sock.send(json.dumps(message))
        return self._next

    def call(self, method, browser=False, **parameters):
        number = self.send(method, browser, **parameters)
        while True:
            answer = json.loads(self._sock.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._events.append(answer)

    def wait_any(self, *methods):
        """The first event of one of these names, from now or before."""
        while True:
            for index, event in enumerate(self._events):
                if event.get("method") in methods:
                    return self._events.pop(index)
            self._events.append(json.loads(self._sock.recv()))

    def wait(self, method, accept=lambda parameters: True):
        """The parameters of the first event of this name, from now or before, that is accepted."""
        seen = 0
        while True:
            for index in range(seen, len(self._events)):
                event = self._events[index]
                if event.get("method") == method and accept(event["params"]):
                    del self._events[index]
                    return event["params"]
            seen = len(self._events)
            self._events.append(json.loads(self._sock.recv()))

    def forget(self):
        """Events so far are of no interest."""
        self._events.clear()

    def go(self, url):
        self.forget()
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        self.wait("Page.loadEventFired")

    def evaluate(self, expression):
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def stop(self):
        self._sock.close()
        # The wrapper has children: the whole session that was started here ends.
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
