"""What must not be reached is not reached, however its address is written.

All of it happens in a network of its own, in which every name that nobody knows leads to loopback,
and the networks that carry IPv4 addresses are routed to loopback too: whatever the proxy lets past,
it reaches.  Whether it did is for traps to say, which listen where nobody may come.
"""

import contextlib
import select
import signal
import socket
import struct
import threading

import pytest

from peers import TIMEOUT, hello, serve
from space import Space, is_possible

PUBLIC, PUBLIC_IPV6 = "93.184.215.14", "2606:2800:21f::14"
METADATA = "169.254.169.254"
CARRIERS = ["64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::ffff:0:0:0/96", "::/96"]
PORTS = [22, 80, 443, 8080]
BOTH = pytest.mark.parametrize("method", ["GET", "CONNECT"])


class Traps:
    """Sockets that listen on all addresses here.  Who connects stays in their queues."""

    def __init__(self):
        self.sockets = []
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for port in PORTS:
                trap = socket.socket(family)
                if family == socket.AF_INET6:
                    trap.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trap.bind((host, port))
                trap.listen()
                self.sockets.append(trap)

    def caught(self, beside=(), timeout=0.0):
        """Whether somebody came.  Waits until somebody has, or one of those beside can be read."""
        ready, _, _ = select.select([*self.sockets, *beside], [], [], timeout)
        came = [trap for trap in self.sockets if trap in ready]
        for trap in came:
            trap.accept()[0].close()
        return came != []

    def close(self):
        for trap in self.sockets:
            trap.close()


class Field:
    """The traps, and what asks a proxy to go there."""

    def __init__(self, client):
        self._client = client
        self.traps = Traps()

    def ask(self, p, method, target, host="public.test"):
        """The answer's head; None when a trap has caught the proxy."""
        c = self._client(p)
        c.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("utf-8"))
        reached = self.traps.caught([c.sock], TIMEOUT)
        head = None if reached else c.recv_head()
        c.close()
        return None if self.traps.caught() else head

    def assert_refused(self, p, method, targets):
        """Each by the proxy itself.  All that are not are named."""
        passed = {}
        for target in targets:
            head = self.ask(p, method, target)
            if head is None:
                passed[target] = "reached"
            elif not 400 <= head.status < 600 or not head.get("Proxy-Status"):
                passed[target] = head.line
        assert passed == {}


@pytest.fixture
def field(client, origin):
    if not is_possible():
        pytest.skip("makes network namespaces, which takes root")
    with contextlib.ExitStack() as stack:
        here, there = (stack.enter_context(contextlib.closing(Space())) for _ in range(2))
        here.join(there, "93.184.215.1/24", f"{PUBLIC}/24")
        here.add("2606:2800:21f::1/64", "cable")
        there.add(f"{PUBLIC_IPV6}/64", "cable")
        here.add(f"{METADATA}/32", "lo")
        for carrier in CARRIERS:
            here.ip(f"route add local {carrier} dev lo")
        with there:
            for host in (PUBLIC, PUBLIC_IPV6):
                for port in (80, 8080):
                    origin(serve(hello), host=host, port=port)
        stack.enter_context(here)
        made = Field(client)
        stack.callback(made.traps.close)
        yield made


@pytest.fixture
def known(names):
    """A name server by whose word every name is on loopback, but for a public one."""
    everything = [f"--address=/#/{a}" for a in ("127.0.0.1", "::1")]
    return names(f"{PUBLIC} public.test\n{PUBLIC_IPV6} public.test six.test\n", *everything)


@pytest.fixture
def wary(proxy, field, known):
    """A proxy with the defaults, but that CONNECT may go to all ports."""
    access = {"allow_addresses": None, "connect_ports": ["1-65535"]}
    return proxy(access=access, resolver={"servers": [known.address]})


# ---- hosts --------------------------------------------------------------------------------------

IPV4 = """
    127.0.0.1 127.0.0.1. 127.0.0.1.. .127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 127.1.
    2130706433 2130706433. 0x7f000001 0X7F000001 0x7f000001. 0x7f.0.0.1 0x7f.0x0.0x0.0x1 0x7f.1
    0x7F.0.1 0177.0.0.1 0177.0.0.01 0177.0x0.0.1 017700000001 017700000001. 00000177.0.0.1 0177.1
    000000000000000000000000000000000000000000000000000000000000177.0.0.1
    0x00000000000000000000000000000000000000000000000000007f000001 127.0.0.01 127.00.00.01
    127.000.000.001 0127.0.0.1 127.0x1 127.0.0x1 127.0.0.0x1 127.65537 127.16777214 0 0. 00 0x0 0x
    0X 0.0 0.0.0 0.0.0.0 0.0.0.0. 0.1 0.0.0.1 1 00000000000 0x00000000 169.254.169.254
    169.254.43518 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.0xfea9fe 0xa9.254.43518
    100.100.100.200 192.0.0.192 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255
    4294967295 4294967296 4294967297 6425673729 8589934593 0x17f000001 0x1000000007f000001
    18446744071644676097 0377777777777 040000000000 0200000000000000000000177.0.0.1
    340282366920938463463374607431768211457 127.0.0.257 127.0.0.256 383.0.0.1 127.256.0.1
    127.0.65537 127.16777217 127.0.0.1.1 127.0.0.1.0 1.127.0.0.1 0.127.0.0.1 127.0.0.08 127.0.0.0x
    127.0.0.0xg 0x7f.0.0.0x1g 127..1 127.0..1 127. +127.0.0.1 -127.0.0.1 127.-0.0.1 127,0,0,1
    127.0.0.1, 127.0.0.1;x 127.0.0.1&x 127.0.0.1$x 127.0.0.1_ _127.0.0.1 127.0.0.1- 127-0-0-1
    127.0.0.1.x 127.0.0.1.test 1.0.0.127.in-addr.arpa 127.0.0.1e0 1.27e2 127.0.0.1f 7f.0.0.1
    7f000001 0b1111111.0.0.1 0o177.0.0.1 127.0.0.1h [127.0.0.1] [127.1] [2130706433] [0x7f000001]
    {127.0.0.1} (127.0.0.1) <127.0.0.1> "127.0.0.1" 127.0.0.1%00 127.0.0.1%00.test 127.0.0.1%20
    127.0.0.1%0a 127.0.0.1%2f 127.0.0.1%2e 127%2e0%2e0%2e1 %31%32%37.0.0.1 127.0.0.%31 %3127.0.0.1
    127.0.0.1%23 127.0.0.1%3f 127.0.0.1%5c %00127.0.0.1 127。0。0。1 127．0．0．1 127｡0｡0｡1 127.0.0.1。
    127%E3%80%820%E3%80%820%E3%80%821 127․0․0․1 １２７.0.0.1 １２７．０．０．１ ①②⑦.⓪.⓪.① ⑫⑦.0.0.1 ⒈27.0.0.1
    ⑴⑵⑺.0.0.1 127.0.0.① 127.0.0.¹ ²¹³⁰⁷⁰⁶⁴³³ １２７.１ ０ｘ７ｆ０００００１ 𝟏𝟐𝟕.𝟎.𝟎.𝟏 𝟙𝟚𝟟.𝟘.𝟘.𝟙 ١٢٧.٠.٠.١
    127.0.0.l l27.0.0.1 I27.0.0.1 127.O.O.1 127.0.0.1\u00ad 1\u00ad27.0.0.1 127.0.0.1\u200b
    12\u200d7.0.0.1 \ufeff127.0.0.1 127.0.0.1\u202e xn--127-0-0-1- xn--27.0.0.1-ca xn--1-8ba.0.0.1
""".split()

IPV6 = """
    [::1] [::1]. [::1.] [0::1] [::0:1] [::0001] [0:0:0:0:0:0:0:1] [0:0::0:1] [::0.0.0.1]
    [0000:0000:0000:0000:0000:0000:0000:0001] [00000:0:0:0:0:0:0:1] [::00001] [:::1] [::1::]
    [1::1::1] [::] [0::0] [0:0:0:0:0:0:0:0] [::0.0.0.0] [::127.0.0.1] [::7f00:1] [::7F00:0001]
    [::169.254.169.254] [::ffff:127.0.0.1] [::FFFF:127.0.0.1] [::ffff:7f00:1] [::ffff:7F00:0001]
    [0:0:0:0:0:ffff:127.0.0.1] [0::0:ffff:7f00:0001] [::ffff:0.0.0.0] [::ffff:0:0]
    [::ffff:127.255.255.254] [::ffff:a9fe:a9fe] [::ffff:169.254.169.254] [::ffff:255.255.255.255]
    [::ffff:127.1] [::ffff:2130706433] [::ffff:0x7f.0.0.1] [::ffff:0177.0.0.1] [::ffff:127.0.0.01]
    [::ffff:127.0.0.1.] [::127.1] [::ffff:0:127.0.0.1] [::ffff:0:7f00:1]
    [::ffff:0:169.254.169.254] [::fffe:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1]
    [64:FF9B::7F00:1] [0064:ff9b:0::7f00:0001] [64:ff9b::0.0.0.0] [64:ff9b::169.254.169.254]
    [64:ff9b::a9fe:a9fe] [64:ff9b:1::7f00:1] [64:ff9b:1::127.0.0.1] [64:ff9b:1:7f00:0:100::]
    [64:ff9b:1:ffff::1] [2002:7f00:1::] [2002:7f00:1::1] [2002:7F00:0001::7f00:1]
    [2002:a9fe:a9fe::1] [2002:0:0::1] [2001::80ff:fffe] [2001:0:4136:e378:8000:63bf:80ff:fffe]
    [2001:0:7f00:1::5601:5601] [fe80::1] [fe80::1%lo] [fe80::1%25lo] [fe80::1%1] [fec0::1]
    [ff02::1] [ff01::1] [fd00:ec2::254] [100::1] [2001:db8::1] [5f00::1] [3fff::1] [::1%lo]
    [::1%25lo] [::1%1] [::1%251] [::1%] [::1%25] [::1%00] [::1]%00 [::1%2f]
    [::ffff:127.0.0.1%25lo] [::1%2e] [%3a%3a1] %5b::1%5d %5B::1%5D [::%31] [::1/128] [::1/] [::1;]
    [::1,::1] [::1@] [::1]x [::1]@ [[::1]] [::1 ::1] [::1]] [[::1] [] [ [:] [.] [x] [g::1] [::g]
    [::12345] [-::1] [+::1] [v1.::1] [v1.127.0.0.1] [vF.::1] [v6.::1] [IPv6:::1] [::１] [∷1]
    [::ffff:１２７.0.0.1] [::1\u00ad] ::1 ::ffff:127.0.0.1 0:0:0:0:0:0:0:1 ::1] [::1 {::1}
    ::1.ipv6-literal.net --1.ipv6-literal.net
""".split()

LOOK_ALIKES = [
    "ｌｏｃａｌｈｏｓｔ",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "🄻🄾🄲🄰🄻🄷🄾🅂🅃",
    "𝐥𝐨𝐜𝐚𝐥𝐡𝐨𝐬𝐭",
    "𝓵𝓸𝓬𝓪𝓵𝓱𝓸𝓼𝓽",
    "ℓocalhost",
    "ⅼocalhost",
    "lоcalhost",
    "lοcalhost",
    "locаlhost",
    "loсalhost",
    "localhoſt",
    "locаlһоst",
    "lòcalhost",
    "ıocalhost",
    "localhosṭ",
    "loc\u00adalhost",
    "localhost\u00ad",
    "loc\u200balhost",
    "loc\u200dalhost",
    "loc\u2060alhost",
    "\ufefflocalhost",
    "localhost。",
    "localhost．",
    "localhost｡localdomain",
    "foo。localhost",
    "tsohlacol\u202e",
]

NAMES = """
    localhost LOCALHOST LocalHost lOcAlHoSt localhost. LOCALHOST. localhost.. .localhost
    localhost... localhost.localdomain localhost.localdomain. localhost4 localhost6
    localhost6.localdomain6 ip6-localhost ip6-loopback foo.localhost a.b.c.localhost.
    FOO.LOCALHOST x.localhost.localdomain localhost.test localhost_ _localhost -localhost
    localhost- local-host loopback broadcasthost localhost%00 localhost%00.test localhost%2e
    localhost%20 %20localhost localhost%0a localhost%09 local%68ost %6c%6f%63%61%6c%68%6f%73%74
    %6C%4F%43%41%4Chost localhost%2F localhost%5c localhost%23 localhost,x localhost;x localhost&x
    localhost|x localhost'x localhost"x localhost!x localhost* *.localhost *localhost localhost+
    localhost~ localhost^ `localhost` ${localhost} localhost<x xn--localhost- xn--localhost-xn-
    xn--lcalhost-43b xn--localhost.localhost XN--LOCALHOST- 127.0.0.1.nip.io 7f000001.nip.io
    localtest.me lvh.me rebind.example metadata metadata.internal metadata.google.internal
    instance-data 169.254.169.254.xip.io
""".split()


def percent_encoded(text):
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8"))


def punycode(text):
    """As an A-label would be, whether IDNA knows such a name or not."""
    labels = text.lower().split(".")
    coded = [label.encode("punycode").decode("ascii").strip() for label in labels]
    return ".".join("xn--" + c if c != label + "-" else label for label, c in zip(labels, coded))


def of_hosts_file():
    with open("/etc/hosts", encoding="utf-8") as f:
        lines = [line.split("#")[0].split() for line in f]
    return [name for line in lines for name in line[1:] if line[0] in ("127.0.0.1", "::1")]


HOSTS = {
    "IPv4": IPV4,
    "IPv6": IPV6,
    "names": NAMES + of_hosts_file(),
    "look-alikes": LOOK_ALIKES + [f"foo.{name}" for name in LOOK_ALIKES],
    "look-alikes, percent-encoded": [percent_encoded(name) for name in LOOK_ALIKES],
    "look-alikes, punycode": [punycode(name) for name in LOOK_ALIKES],
}


@pytest.mark.parametrize("kind", HOSTS)
def test_hosts(wary, field, kind):
    hosts = HOSTS[kind]
    field.assert_refused(wary, "GET", [f"http://{host}/" for host in hosts])
    field.assert_refused(wary, "GET", [f"http://{host}:8080/x" for host in hosts])
    field.assert_refused(wary, "GET", [f"HTTP://user:word@{host}:22?x" for host in hosts])
    field.assert_refused(wary, "CONNECT", [f"{host}:443" for host in hosts])


# ---- what stands around the host ----------------------------------------------------------------

USER_INFO = """
    http://public.test@127.0.0.1/ http://public.test:80@127.0.0.1/
    http://public.test:80@127.0.0.1:22/ http://@127.0.0.1/ http://:@127.0.0.1/
    http://:x@127.0.0.1/ http://a:b:c@127.0.0.1/ http://public.test@public.test@127.0.0.1/
    http://public.test@127.0.0.1@public.test/ http://127.0.0.1@public.test@127.0.0.1/
    http://127.0.0.1@localhost/ http://public.test@[::1]/ http://[::1]@public.test/
    http://[public.test]@127.0.0.1/ http://public.test:80@[::1]:22/
    http://public.test%40127.0.0.1/ http://public.test%40@127.0.0.1/
    http://public.test%3a80@127.0.0.1/ http://public.test%2f@127.0.0.1/
    http://public.test%23@127.0.0.1/ http://public.test%5c@127.0.0.1/
    http://public.test;@127.0.0.1/ http://public.test&@127.0.0.1/ http://public.test,127.0.0.1/
    http://public.test&127.0.0.1/ http://public.test;127.0.0.1/ http://public.test+127.0.0.1/
    http://public.test'@127.0.0.1/ http://public.test"@127.0.0.1/ http://public.test<@127.0.0.1/
    http://127.0.0.1#@public.test/ http://127.0.0.1#public.test/ http://public.test#@127.0.0.1/
    http://127.0.0.1%23@127.0.0.1/ http://127.0.0.1?@public.test/ http://127.0.0.1/@public.test/
    http://127.0.0.1?public.test/ http://127.0.0.1;@127.0.0.1/
    http://127.0.0.1/?http://public.test/ http://127.0.0.1\\@public.test/
    http://public.test\\@127.0.0.1/ http://127.0.0.1\\.public.test/
    http://127.0.0.1\\/public.test/ http:\\\\127.0.0.1\\ http:/\\127.0.0.1/ http:\\/127.0.0.1/
    http://\\127.0.0.1/ http://127.0.0.1|public.test/ http://127.0.0.1`@public.test/
    http://пользователь@127.0.0.1/ http://user＠127.0.0.1/ http://public.test﹫127.0.0.1/
    http://127.0.0.1／public.test/ http://127.0.0.1⁄public.test/ http://127.0.0.1﹨@public.test/
    http://127.0.0.1？@public.test/ http://127.0.0.1＃@public.test/ http://127.0.0.1：80/
""".split()

SCHEMES = """
    http:127.0.0.1 http:/127.0.0.1/ http:///127.0.0.1/ http:////127.0.0.1/
    http://http://127.0.0.1/ http://http:@127.0.0.1/ http://http:80@127.0.0.1/
    http:http://127.0.0.1/ url:http://127.0.0.1/ view-source:http://127.0.0.1/
    jar:http://127.0.0.1!/ https://127.0.0.1/ HTTPS://127.0.0.1/ ftp://127.0.0.1/
    gopher://127.0.0.1:22/_x dict://127.0.0.1:22/x file:///etc/passwd file://127.0.0.1/etc/passwd
    ws://127.0.0.1/ wss://127.0.0.1/ unix:///var/run/docker.sock
    http+unix://%2fvar%2frun%2fdocker.sock/ http0://127.0.0.1/ httpx://127.0.0.1/
    0http://127.0.0.1/ //127.0.0.1/ ///127.0.0.1/ /http://127.0.0.1/ /\\127.0.0.1/
    \\\\127.0.0.1\\x 127.0.0.1 127.0.0.1/ 127.0.0.1:80 127.0.0.1:80/ localhost:80 [::1]:80
    @127.0.0.1:80 ?http://127.0.0.1/ ://127.0.0.1/ *://127.0.0.1/ http*://127.0.0.1/
    hTtP://127.0.0.1/ http%3a//127.0.0.1/ http:%2f%2f127.0.0.1/ http://%2f127.0.0.1/ http://./
    http://../ http://127.0.0.1/../ http://public.test:80:80@127.0.0.1/ ｈｔｔｐ://127.0.0.1/
    http：//127.0.0.1/ \ufeffhttp://127.0.0.1/ *
""".split()

BLANKS = [
    " http://127.0.0.1/",
    "http://127.0.0.1/ ",
    "http://127.0.0.1 /",
    "http:// 127.0.0.1/",
    "http ://127.0.0.1/",
    "http: //127.0.0.1/",
    "http://127.0.0.1:80 @public.test/",
    "http://public.test @127.0.0.1/",
    "\thttp://127.0.0.1/",
    "http://127.0.0.1/\t",
    "http://127.0.0.1\t/",
    "http://\t127.0.0.1/",
    "http:\t//127.0.0.1/",
    "http://local\thost/",
    "http://127.0\t.0.1/",
    "http://public.test\t@127.0.0.1/",
    "http://127.0.0.1\x0b/",
    "http://127.0.0.1\x0c/",
    "http://127.0.0.1\x00/",
    "http://127.0.0.1\x00.test/",
    "http://public.test\x00@127.0.0.1/",
    "http://127.0.0.1\x01/",
    "http://127.0.0.1\x7f/",
    "http://127.0.0.1\r/",
    "http://127.0.0.1\n/",
    "http://local\r\nhost/",
    "http://127.0.0.1\x85/",
    "http://127.0.0.1\u00a0/",
    "http://127.0.0.1\u2028/",
    "http://127.0.0.1\u3000/",
    "http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET http://127.0.0.1/",
]

PORTS_WRITTEN = """
    http://127.0.0.1: http://127.0.0.1:/ http://127.0.0.1:?x http://127.0.0.1:80
    http://127.0.0.1:080/ http://127.0.0.1:00080/ http://127.0.0.1:000080/ http://127.0.0.1:22/
    http://127.0.0.1:80:22/ http://127.0.0.1:22:80/ http://127.0.0.1::80/ http://127.0.0.1:80:/
    http://127.0.0.1:65616/ http://127.0.0.1:65558/ http://127.0.0.1:131152/
    http://127.0.0.1:4294967376/ http://127.0.0.1:0/ http://127.0.0.1:18446744073709551696/
    http://127.0.0.1:65535/ http://127.0.0.1:65536/ http://127.0.0.1:99999/ http://127.0.0.1:+80/
    http://127.0.0.1:-80/ http://127.0.0.1:-65456/ http://127.0.0.1:0x50/ http://127.0.0.1:0120/
    http://127.0.0.1:8e1/ http://127.0.0.1:80.0/ http://127.0.0.1:80,22/ http://127.0.0.1:80;22/
    http://127.0.0.1:80%20/ http://127.0.0.1:%38%30/ http://127.0.0.1%3a80/
    http://127.0.0.1%3A22:80/ http://127.0.0.1:８０/ http://127.0.0.1:⑧⓪/ http://127.0.0.1:http/
    http://127.0.0.1:ssh/ http://127.0.0.1:*/ http://127.0.0.1:80@public.test:22/
    http://public.test:80@127.0.0.1:22/ http://127.0.0.1:80a/ http://127.0.0.1:a80/
    http://[::1]80/ http://[::1]:/ http://[::1]:080/ http://[::1]:65616/ http://[::1]:22:80/
    http://[::1]::80/ http://[::1:80]/ http://[::1]:80]/ http://localhost:/ http://localhost:080/
    http://localhost:65558/ http://:80/ http://:127.0.0.1/ http://:@:80/
    http://public.test:80@:22/ http://:22@localhost/
""".split()

TUNNELS = """
    127.0.0.1 127.0.0.1: 127.0.0.1:22 127.0.0.1:443 127.0.0.1:022 127.0.0.1:00443 127.0.0.1:000443
    127.0.0.1:22:443 127.0.0.1:443:22 127.0.0.1::443 127.0.0.1:443: 127.0.0.1:0 127.0.0.1:65558
    127.0.0.1:65979 127.0.0.1:65536 127.0.0.1:+443 127.0.0.1:-443 127.0.0.1:0x1bb 127.0.0.1:443,22
    127.0.0.1:443;22 127.0.0.1:https 127.0.0.1:４４３ 127.0.0.1%3a443 127.0.0.1:443/ 127.0.0.1/:443
    127.0.0.1:443?x 127.0.0.1:443#x 127.0.0.1#:443 127.0.0.1\\:443 127.0.0.1:443\\ 127.0.0.1;:443
    public.test@127.0.0.1:443 public.test:443@127.0.0.1:22 127.0.0.1@public.test:443
    @127.0.0.1:443 public.test:443@127.0.0.1:443 public.test%40127.0.0.1:443 http://127.0.0.1:443
    http://127.0.0.1/ http://127.0.0.1:443/ https://127.0.0.1/ https://127.0.0.1:443
    //127.0.0.1:443 /127.0.0.1:443 / * *:443 :443 .:443 [::1] [::1]: [::1]443 [::1]:22 [::1]:443
    [::1]:0443 [::1]:65979 [::1:443 ::1:443 ::1]:443 [::1]]:443 [[::1]]:443 [::1]:443:22
    [::1]@public.test:443 public.test:443@[::1]:22 localhost localhost: localhost:443
    localhost.:443 localhost:0443 localhost:65979 LOCALHOST:22 localhost:443/../public.test:443
    public.test:443/@127.0.0.1:443 127.0.0.1:443/public.test:443 127.0.0.1:443\tx 127.0.0.1\t:443
    \t127.0.0.1:443 127.0.0.1:443\x00 127.0.0.1\x00:443
""".replace("\\t", "\t").replace("\\x00", "\x00").split()

TUNNELS += ["127.0.0.1 :443", "127.0.0.1: 443", " 127.0.0.1:443", "127.0.0.1:443 x", "127.0.0.1 443"]

SURROUNDINGS = {
    "user info": ("GET", USER_INFO),
    "schemes": ("GET", SCHEMES),
    "blanks": ("GET", BLANKS),
    "ports": ("GET", PORTS_WRITTEN),
    "ports of tunnels": ("CONNECT", TUNNELS),
}


@pytest.mark.parametrize("kind", SURROUNDINGS)
def test_surroundings(wary, field, kind):
    method, targets = SURROUNDINGS[kind]
    field.assert_refused(wary, method, targets)
    if method == "GET":
        field.assert_refused(wary, "CONNECT", targets)
        field.assert_refused(wary, "OPTIONS", [t for t in targets if t != "*"])


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "[::1]", METADATA, "127.1"])
def test_the_host_field_leads_nowhere(wary, field, client, version, host):
    """It is the target that says where a request goes, and an origin is told of that."""
    for target in ("http://public.test/", f"http://{PUBLIC}:8080/"):
        c = client(wary)
        c.send(f"GET {target} {version}\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        assert c.recv_response().body == b"hello\n"
    c = client(wary)
    c.send(f"CONNECT public.test:80 {version}\r\nHost: {host}\r\n\r\n")
    assert c.recv_head().status == 200
    assert not field.traps.caught()
    for target in ("/", "/x", "//127.0.0.1/", "*"):
        head = field.ask(wary, "OPTIONS" if target == "*" else "GET", target, host)
        assert head is not None


# ---- names --------------------------------------------------------------------------------------

DENIED = ["127.0.0.1", "127.0.0.2", METADATA, "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"]
DENIED += ["::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::80ff:fffe", "fe80::1"]
DENIED += ["::ffff:0:127.0.0.1"]


@BOTH
def test_names_of_denied_addresses(proxy, field, names, method):
    """By one name each, and by one that has them all."""
    hosts = [f"{address} name{i}.test all.test" for i, address in enumerate(DENIED)]
    server = names("\n".join(hosts) + "\n")
    p = proxy(access={"allow_addresses": None}, resolver={"servers": [server.address]})
    authorities = [f"name{i}.test:443" for i in range(len(DENIED))] + ["all.test:443"]
    targets = authorities if method == "CONNECT" else [f"http://{a}/" for a in authorities]
    field.assert_refused(p, method, targets)
    assert {line.end for line in p.access(len(targets))} == {"address_denied"}


@BOTH
def test_of_mixed_addresses_only_public_ones_are_dialled(proxy, field, names, method):
    """Also when the public one refuses."""
    hosts = "\n".join(f"{a} mixed.test" for a in [*DENIED[:7], PUBLIC, *DENIED[7:]])
    server = names(hosts + "\n")
    p = proxy(
        access={"allow_addresses": None, "connect_ports": ["1-65535"]},
        resolver={"servers": [server.address], "cache": 0},
    )
    for port, status in ((8080, 200), (22, 502)):
        authority = f"mixed.test:{port}"
        target = authority if method == "CONNECT" else f"http://{authority}/"
        for _ in range(5):
            head = field.ask(p, method, target)
            assert head and head.status == status
    assert {line.destination for line in p.access(10)} == {f"{PUBLIC}:8080", "-"}


class Rebinding:
    """A name server: names are public until it turns them, and on loopback from then on."""

    def __init__(self):
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.turned = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _answer(self, query):
        end = query.index(b"\0", 12) + 5
        (kind,) = struct.unpack("!H", query[end - 4 : end - 2])
        question = query[12:end]
        family, public, own = {
            1: (socket.AF_INET, PUBLIC, "127.0.0.1"),
            28: (socket.AF_INET6, PUBLIC_IPV6, "::1"),
        }[kind]
        data = socket.inet_pton(family, own if self.turned else public)
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
        return head + question + struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(data)) + data

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
                if not query:
                    return
                self.sock.sendto(self._answer(query), peer)
            except OSError:
                return

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.fixture
def rebinding(field):
    server = Rebinding()
    yield server
    with contextlib.suppress(OSError):
        server.close()


@BOTH
@pytest.mark.parametrize("first", [8080, 22], ids=["public serves", "public refuses"])
def test_rebinding_never_reaches_the_second_address(proxy, field, rebinding, method, first):
    """TTL 0: each request asks anew, and each answer is judged.  A kept connection is no way in."""
    p = proxy(
        access={"allow_addresses": None, "connect_ports": ["1-65535"]},
        resolver={"servers": [rebinding.address]},
    )
    authority = f"rebind.test:{first}"
    target = authority if method == "CONNECT" else f"http://{authority}/"
    assert field.ask(p, method, target).status == (200 if first == 8080 else 502)
    rebinding.turned = True
    # While the other family's answer is on its way, what was known before still holds.
    while (head := field.ask(p, method, target)) and head.status != 403:
        assert head.status == (200 if first == 8080 else 502)
    field.assert_refused(p, method, [target] * 4)
    assert [line.end for line in p.access(6)].count("address_denied") >= 4


# ---- a reload -----------------------------------------------------------------------------------


@BOTH
def test_a_reload_denies_at_once(proxy, field, known, client, method):
    """Names that are known and connections that are kept are judged by what holds now."""
    public = {"allow_addresses": ["127.0.0.0/8"], "connect_ports": ["1-65535"]}
    p = proxy(access=public, resolver={"servers": [known.address], "ttl_max": 3600})
    c = client(p)
    target = "anything.example:443" if method == "CONNECT" else "http://anything.example:443/"
    c.request(method, target, [("Host", "x")])
    assert field.traps.caught(timeout=TIMEOUT)
    p.write_config(access={"allow_addresses": []})
    p.signal(signal.SIGHUP)
    p.wait_line("read again")
    field.assert_refused(p, method, [target])


# ---- what is odd, and let through ---------------------------------------------------------------

LET_THROUGH = f"""
    http://public.test http://public.test/ http://PUBLIC.Test/ http://public.test./
    HTTP://public.test.:80/ hTTp://public.test:80/ http://public.test:/ http://public.test:080/
    http://public.test:00080/?x http://public.test?x http://public.test/#.replaced
    http://public.test//127.0.0.1/ http://six.test/ http://public.test/?http://127.0.0.1/
    http://public.test/@127.0.0.1/ http://public.test?@127.0.0.1 http://127.0.0.1@public.test/
    http://127.0.0.1:80@public.test/ http://localhost:22@public.test:80/ http://@public.test/
    http://:@public.test/ http://user:p%40ss@public.test/ http://{PUBLIC}/ http://{PUBLIC}./
    http://0x5db8d70e/ http://1572394766/ http://0135.0270.0327.016/ http://93.12113678/
    http://93.0xb8.55054/ http://[::ffff:{PUBLIC}]/ http://[::FFFF:5db8:d70e]/
    http://[{PUBLIC_IPV6}]/ http://[2606:2800:021F:0000:0::0014]:80/
    http://[2606:2800:21f:0:0:0:0.0.0.20]/
""".replace("#.replaced", "%23").split()


def test_odd_and_let_through(wary, field):
    refused = {}
    for target in LET_THROUGH:
        head = field.ask(wary, "GET", target)
        if head is None or head.status != 200:
            refused[target] = head and head.line
    assert refused == {}


def test_odd_tunnels_let_through(wary, field):
    refused = {}
    for url in LET_THROUGH:
        target = url[7:].split("/")[0].split("?")[0].split("@")[-1]
        host, colon, port = target.rpartition(":")
        if not colon or target.endswith("]"):
            host, port = target, "80"
        head = field.ask(wary, "CONNECT", f"{host}:{port or 80}")
        if head is None or head.status != 200:
            refused[target] = head and head.line
    assert refused == {}


ALLOWED = [
    ("127.0.0.1", ["127.0.0.1", "127.1", "0x7f.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]),
    ("::ffff:127.0.0.1", ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "LOCALHOST."]),
    ("::ffff:127.0.0.0/104", ["127.0.0.1", "[::ffff:7f00:1]"]),
    ("127.0.0.0/8", ["127.0.0.1", "127.255.255.254", "[0:0::ffff:127.0.0.2]"]),
    ("::1", ["[::1]", "[0:0:0:0:0:0:0:1]", "[::0.0.0.1]"]),
    ("64:ff9b::7f00:1", ["[64:ff9b::127.0.0.1]"]),
    ("2002:7f00:1::/48", ["[2002:7F00:1::1]"]),
]


@BOTH
@pytest.mark.parametrize("network,hosts", ALLOWED, ids=[a[0] for a in ALLOWED])
def test_what_is_allowed_is_so_in_every_spelling(proxy, field, network, hosts, method):
    """And nothing beside it."""
    p = proxy(access={"allow_addresses": [network]})
    for host in hosts:
        target = f"{host}:443" if method == "CONNECT" else f"http://{host}:443/"
        assert field.ask(p, method, target) is None, target
    targets = ["0.0.0.1", "[::2]", METADATA, "[fe80::1]", "0.0.0.0", "[::]"]
    written = "{}:443" if method == "CONNECT" else "http://{}:443/"
    field.assert_refused(p, method, [written.format(host) for host in targets])
