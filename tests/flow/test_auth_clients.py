"""Programs that people use, with a user's name and password in the proxy's URL."""

import os

import pytest
import requests

import daemon
import people
import real
from test_clients import make_repository, sum_of
from test_clients import authority, nginx, run  # noqa: F401  (fixtures)

NAME, PASSWORD = "anna", "p@ss:w/rd %ü"
QUOTED = "p%40ss%3Aw%2Frd%20%25%C3%BC"


@pytest.fixture
def way(proxy, names, tmp_path):
    """A proxy that knows origin.test, and anna."""
    users = people.write_users(tmp_path / "users", {NAME: PASSWORD, "bert": "p@ss:w/rd"})
    return proxy(resolver={"servers": [names(real.HOSTS).address]},
                 auth={"users": users, "delay": 0, "failures": 0})


@pytest.fixture
def url(way):
    return f"http://{NAME}:{QUOTED}@127.0.0.1:{way.port}"


@pytest.fixture
def wrong(way):
    return f"http://{NAME}:wrong@127.0.0.1:{way.port}"


def assert_users(p, *requests, name=NAME):
    """Who made the requests that were let in; each of these has to be among them."""

    def those():
        lines = [x for x in p.access(1) if x.status not in ("407", "-")]
        return lines if all(any(r in x.request for x in lines) for r in requests) else None

    lines = daemon.poll(those, f"{requests} in the access log")
    assert {x.user for x in lines} == {name}
    people.assert_unsaid(p, PASSWORD, QUOTED, f"{NAME}:{PASSWORD}")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("how", ["url", "option", "any"])
def test_curl(run, nginx, authority, way, url, wrong, scheme, how):  # noqa: F811
    plain = ["-x", way.url, "-U", f"{NAME}:{PASSWORD}"]
    options = {"url": ["-x", url], "option": plain, "any": [*plain, "--proxy-anyauth"]}[how]
    base = ["-sS", "--fail", "--max-time", "40", "--cacert", authority.ca]
    for _ in range(2):
        assert b"at home" in run("curl", *base, *options, nginx.url("/index.html", scheme))
    method = "CONNECT" if scheme == "https" else "GET"
    assert_users(way, method)
    for proxy in (wrong, way.url):
        run("curl", *base, "-x", proxy, nginx.url("/index.html", scheme), status=22)


def test_curl_uploads(run, nginx, authority, way, url, tmp_path):  # noqa: F811
    (tmp_path / "sent").write_bytes(os.urandom(3 << 20))
    for options in ([], ["--proxy-anyauth"]):
        run("curl", "-sS", "--fail", "-x", url, *options, "-T", tmp_path / "sent",
            nginx.url("/dav/stored"))
        assert sum_of(nginx.root / "dav/stored") == sum_of(tmp_path / "sent")
        (nginx.root / "dav/stored").unlink()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wget(run, nginx, authority, way, url, wrong, tmp_path, scheme):  # noqa: F811
    def fetch(proxy, status=0):
        run("wget", "-q", "-t", "1", f"--ca-certificate={authority.ca}", "-O", tmp_path / "got",
            nginx.url("/index.html", scheme), status=status,
            env={"http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""})

    fetch(url)
    assert "at home" in (tmp_path / "got").read_text()
    assert_users(way, "CONNECT" if scheme == "https" else "GET")
    for proxy in (wrong, way.url):
        with pytest.raises(AssertionError, match="wget ended with [1-8]"):
            fetch(proxy)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_git(run, nginx, authority, way, url, wrong, tmp_path, scheme):  # noqa: F811
    path = nginx.repository("stones.git")

    def git(proxy, *arguments, cwd=tmp_path):
        return run("git", *arguments, cwd=cwd, env={
            "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.proxy", "GIT_CONFIG_VALUE_0": proxy,
            "GIT_CONFIG_KEY_1": "http.sslCAInfo", "GIT_CONFIG_VALUE_1": str(authority.ca)})

    remote = nginx.url("/git/stones.git", scheme)
    git(url, "clone", "-q", remote, "first")
    (tmp_path / "first/large").write_bytes(os.urandom(3 << 20))  # pushed in chunks
    for arguments in (("add", "."), ("commit", "-qm", "x"), ("push", "-q", "origin", "HEAD:main")):
        git(url, *arguments, cwd=tmp_path / "first")
    git(url, "clone", "-q", remote, "second")
    assert sum_of(tmp_path / "second/large") == sum_of(tmp_path / "first/large")
    assert path.exists()
    assert_users(way, "CONNECT" if scheme == "https" else "git-receive-pack")
    with pytest.raises(AssertionError, match="407"):
        git(wrong, "clone", "-q", remote, "third")


def test_apt(run, nginx, way, url, tmp_path):  # noqa: F811
    make_repository(nginx.root / "debian")
    for folder in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d",
                   "etc/preferences.d", "etc/trusted.gpg.d", "etc/sources.list.d"):
        (tmp_path / "apt" / folder).mkdir(parents=True)
    (tmp_path / "apt/status").touch()
    (tmp_path / "apt/etc/sources.list").write_text(
        f"deb [trusted=yes] {nginx.url('/debian/')} ./\n")
    conf = tmp_path / "apt/conf"

    def apt(proxy, *arguments, status=0):
        conf.write_text(
            f'Dir::State "{tmp_path}/apt"; Dir::State::lists "{tmp_path}/apt/lists";\n'
            f'Dir::State::status "{tmp_path}/apt/status"; Dir::Cache "{tmp_path}/apt/cache";\n'
            f'Dir::Etc "{tmp_path}/apt/etc"; Dir::Log "{tmp_path}/apt";\n'
            f'Acquire::http::Proxy "{proxy}"; APT::Sandbox::User "root"; Acquire::Retries "0";\n'
            'APT::Update::Error-Mode "any"; Acquire::Languages "none";\n')
        run("apt-get", *arguments, env={"APT_CONFIG": str(conf)}, status=status)

    apt(way.url, "update", status=100)
    apt(url, "update")
    apt(url, "download", "stone")
    assert sum_of(tmp_path / "stone_1.0_all.deb") == sum_of(
        nginx.root / "debian/stone_1.0_all.deb")
    assert_users(way, "stone_1.0")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests(nginx, authority, way, wrong, scheme):  # noqa: F811
    """It writes what is beyond ASCII in Latin-1, whatever the proxy says: a password without."""
    target = nginx.url("/index.html", scheme)
    url = f"http://bert:p%40ss%3Aw%2Frd@127.0.0.1:{way.port}"
    with requests.Session() as s:
        s.trust_env = False
        s.verify = str(authority.ca)
        s.proxies = {"http": url, "https": url}
        for _ in range(3):
            assert "at home" in s.get(target, timeout=20).text
    assert_users(way, "CONNECT" if scheme == "https" else "GET", name="bert")
    for proxy in (wrong, way.url):
        if scheme == "http":
            got = requests.get(target, proxies={"http": proxy}, timeout=20)
            assert got.status_code == 407
            assert "user name" in got.text
        else:
            with pytest.raises(requests.exceptions.ProxyError, match="407"):
                requests.get(target, proxies={"https": proxy}, verify=str(authority.ca), timeout=20)


# ---- a browser ----------------------------------------------------------------------------------


class Person:
    """Who sits before the browser: asked for a password, he says what he was told to."""

    def __init__(self, browser, passwords):
        self.browser, self.passwords, self.asked = browser, list(passwords), []
        browser.call("Fetch.enable", handleAuthRequests=True, patterns=[{"urlPattern": "*"}])

    def go(self, url):
        """Open a page; what stops a request on its way is answered until it is there."""
        b = self.browser
        b.forget()
        b.send("Page.navigate", url=url)
        while True:
            event = b.wait_any("Fetch.requestPaused", "Fetch.authRequired", "Page.loadEventFired")
            parameters = event["params"]
            if event["method"] == "Page.loadEventFired":
                return
            if event["method"] == "Fetch.requestPaused":
                b.send("Fetch.continueRequest", requestId=parameters["requestId"])
                continue
            self.asked.append(parameters["authChallenge"])
            answer = {"response": "CancelAuth"}
            if self.passwords:
                answer = {"response": "ProvideCredentials", "username": NAME,
                          "password": self.passwords.pop(0)}
            b.send("Fetch.continueWithAuth", requestId=parameters["requestId"],
                   authChallengeResponse=answer)


@pytest.fixture
def browser(tmp_path, way):
    started = real.Chromium(tmp_path / "browser", way.port)
    yield started
    started.stop()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_browser_asks_for_the_password(browser, nginx, way, scheme):  # noqa: F811
    person = Person(browser, ["wrong", PASSWORD])
    page = nginx.root / "page.html"
    page.write_text("<!doctype html><title>a page</title><script src=/script.js></script>")
    (nginx.root / "script.js").write_text("document.title += ' with a script'")
    person.go(nginx.url("/page.html", scheme))
    assert browser.evaluate("document.title") == "a page with a script"
    assert len(person.asked) == 2
    for challenge in person.asked:
        assert challenge["source"] == "Proxy"
        assert (challenge["scheme"].lower(), challenge["realm"]) == ("basic", "penstock")
        assert challenge["origin"] == f"http://127.0.0.1:{way.port}"
    person.go(nginx.url("/page.html", scheme) + "?again")
    assert len(person.asked) == 2  # it remembers
    browser.stop()
    method = "CONNECT" if scheme == "https" else "GET"
    line = daemon.poll(
        lambda: [x for x in way.access(1)
                 if x.status == "200" and x.request.startswith(f"{method} ") and
                 real.NAME in x.request], "its log line")[0]
    assert line.user == NAME
    people.assert_unsaid(way, PASSWORD, f"{NAME}:{PASSWORD}")


def test_a_browser_shows_why(browser, nginx):  # noqa: F811
    person = Person(browser, [])
    person.go(nginx.url("/index.html"))
    assert "for its users only" in browser.evaluate("document.body.innerText")
    assert len(person.asked) == 1
