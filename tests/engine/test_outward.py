"""Which URLs of others may be asked (S16): no spelling of an inner address is one."""

from __future__ import annotations

import ipaddress

import pytest

from engine.outward import NotOutside, Outside, networks

INNER = [
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    *("0.0.0.1", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1"),
    *("198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "168.63.129.16"),
    *("::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "2620:4f:8000::1"),
]
OUTER = [
    "8.8.8.8",
    "1.1.1.1",
    "100.128.0.1",
    "172.32.0.1",
    "2a00:1450:4001:81d::200e",
    "2606:4700::1",
]


@pytest.mark.parametrize("text", INNER)
def test_s16_inner_addresses(text: str) -> None:
    """An address that is not of the public internet is not connected to, and no URL has it."""
    outside = Outside()
    assert not outside.has(ipaddress.ip_address(text))
    host = f"[{text}]" if ":" in text else text
    with pytest.raises(NotOutside):
        outside.check(f"https://{host}/")


@pytest.mark.parametrize("text", OUTER)
def test_public_addresses(text: str) -> None:
    """An address of the public internet may be asked."""
    host = f"[{text}]" if ":" in text else text
    assert Outside().has(ipaddress.ip_address(text))
    assert f"https://{host}/" == Outside().check(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        # An address in other spellings: decimal, octal, hexadecimal, short, percent, wide digits.
        *("https://2130706433/", "https://017700000001/", "https://0x7f000001/"),
        *("https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://127.1/", "https://127.0.1/"),
        *("https://0/", "https://127.0.0.1./", "https://%31%32%37.0.0.1/", "https://127%2e1/"),
        *("https://１２７.0.0.1/", "https://127。0。0。1/", "https://①②⑦.0.0.1/"),
        *("https://[::ffff:7f00:1]/", "https://[0:0:0:0:0:ffff:127.0.0.1]/", "https://[::1%25lo]/"),
        *("https://[fe80::1%25eth0]/", "https://[127.0.0.1]/", "https://[::1/"),
        # Names of this machine and of none.
        *(
            "https://localhost/",
            "https://redis/",
            "https://a..example.org/",
            "https://example.org./",
        ),
        *("https://-a.example.org/", "https://example.1/", "https:///x", "https://", ""),
        f"https://{'a' * 64}.example.org/",
        f"https://{'a.' * 130}example.org/",
        # Another scheme, port or user; and what readers of URLs read differently.
        *("http://example.org/", "ftp://example.org/", "file:///etc/passwd", "//example.org/"),
        *("HTTPS:example.org", "javascript:alert(1)", "gopher://example.org/", "example.org"),
        *("https://example.org:8443/", "https://example.org:6379/", "https://example.org:0/"),
        *("https://example.org:99999/", "https://example.org:x/"),
        *("https://me@example.org/", "https://me:you@example.org/", "https://@127.0.0.1/"),
        *("https://example.org@127.0.0.1/", "https://127.0.0.1#@example.org/"),
        *("https://127.0.0.1\\@example.org/", "https://example.org\\.evil.org/"),
        *("https://exa mple.org/", " https://example.org/", "https://example.org/\r\nX: y"),
        *("https://example.org/\x00", "https://example.org/ä", "https://bücher.example/"),
        f"https://example.org/{'a' * 2048}",
    ],
)
def test_s16_urls_in_all_spellings(url: str) -> None:
    """No URL leads inside, whatever it is written like, nor by another way than TLS."""
    with pytest.raises(NotOutside):
        Outside().check(url)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://example.org/a/b?c=d%20e", "https://example.org/a/b?c=d%20e"),
        ("https://EXAMPLE.org:443/", "https://example.org/"),
        ("HTTPS://example.org/x#y", "https://example.org/x"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://a_b.example.org/~x", "https://a_b.example.org/~x"),
    ],
)
def test_urls_that_may_be_asked(url: str, asked: str) -> None:
    """A URL of a public name is asked as it is written, without what no server sees."""
    assert asked == Outside().check(url)
    assert asked == Outside().check(asked)


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("fcm.googleapis.com", True),
        ("db5p.notify.windows.com", True),
        ("a.b.notify.windows.com", True),
        ("notify.windows.com", False),
        ("evilnotify.windows.com", False),
        ("fcm.googleapis.com.evil.org", False),
        ("xfcm.googleapis.com", False),
        ("8.8.8.8", False),
    ],
)
def test_s16_hosts_that_are_allowed(host: str, is_allowed: bool) -> None:
    """Where hosts are named, no other is asked: not one that begins or ends like them."""
    outside = Outside(hosts=("fcm.googleapis.com", "*.notify.windows.com"))
    if is_allowed:
        outside.check(f"https://{host}/x")
    else:
        with pytest.raises(NotOutside):
            outside.check(f"https://{host}/x")


def test_networks_of_ones_own() -> None:
    """In networks that are named, any port and plain HTTP are good; names go by TLS still."""
    outside = Outside(also=networks("127.0.0.0/8,fd00::/8"))
    for url in ("http://127.0.0.1:8080/", "https://127.0.0.1:1/", "http://[fd00::1]:80/"):
        outside.check(url)
    assert outside.has(ipaddress.ip_address("127.0.0.1"))
    for url in ("http://10.0.0.1/", "http://example.org/", "ftp://127.0.0.1/", "http://localhost/"):
        with pytest.raises(NotOutside):
            outside.check(url)
    assert not outside.has(ipaddress.ip_address("::ffff:127.0.0.1"))
