"""Requests in origin-form are for the proxy itself, and never leave it."""

import pytest


def test_own_page(proxy, client):
    c = client(proxy())
    answer = c.ask("GET", "/", [("Host", "proxy"), ("Accept", "text/html")])
    assert answer.status == 200
    assert "penstock" in answer.text
    assert answer.get("Content-Type").startswith("text/html")
    head = c.ask("HEAD", "/", [("Host", "proxy"), ("Accept", "text/html")])
    assert (head.status, head.get("Content-Length")) == (200, str(len(answer.body)))
    assert c.ask("GET", "/", [("Host", "proxy")]).get("Content-Type").startswith("text/plain")


@pytest.mark.parametrize(
    "method,target,status",
    [
        ("GET", "/nothing", 404),
        ("GET", "//127.0.0.1/", 404),
        ("GET", "/http://127.0.0.1/", 404),
        ("HEAD", "/nothing", 404),
        ("DELETE", "/", 405),
        ("TRACE", "/", 405),
        ("BREW", "/", 405),
        ("get", "/", 405),
    ],
)
def test_origin_form_is_for_the_proxy_itself(proxy, client, origin, method, target, status):
    o = origin()
    c = client(proxy())
    answer = c.ask(method, target, [("Host", o.authority)])
    assert answer.status == status
    if status == 405:
        assert answer.head.tokens("Allow") == ["get", "head"]
    assert c.get(o.url()).status == 200
    assert len(o.accepted()) == 1


def test_post_to_the_proxy_itself_is_refused(proxy, client, origin):
    o = origin()
    c = client(proxy())
    answer = c.ask("POST", "/", [("Host", o.authority)], b"x=1")
    assert answer.status == 405
    o.assert_untouched()


def test_options_asterisk_is_for_the_proxy_itself(proxy, client, origin):
    o = origin()
    c = client(proxy())
    assert c.ask("OPTIONS", "*", [("Host", o.authority)]).status in (200, 204)
    assert c.get(o.url()).status == 200
    assert len(o.accepted()) == 1
