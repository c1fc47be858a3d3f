"""Where a request comes from: what proxies say is believed as far as they are, from the right."""

from __future__ import annotations

from typing import cast

import pytest
from aiohttp import web
from multidict import CIMultiDict

from api.addresses import Addresses
from engine.outward import networks

PROXIES = networks("10.0.0.0/8, 2001:db8:9::/48")


class _Request:
    """As much of a request as an address needs."""

    def __init__(self, peer: object, *headers: tuple[str, str]) -> None:
        self.headers = CIMultiDict(headers)
        self.transport = self
        self._peer = peer

    def get_extra_info(self, name: str) -> object:
        assert name == "peername"
        return self._peer


def request(peer: object, *headers: tuple[str, str]) -> web.Request:
    """Make a request."""
    return cast("web.Request", _Request(peer, *headers))


def told(peer: str, *headers: tuple[str, str]) -> str:
    """Return the address that a request from *peer* is told to come from."""
    return str(Addresses(PROXIES).of(request((peer, 1), *headers)))


XFF, FWD = "X-Forwarded-For", "Forwarded"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        # Who is not trusted is not believed.
        ("192.0.2.1", [(XFF, "198.51.100.7")], "192.0.2.1"),
        ("192.0.2.1", [(FWD, "for=198.51.100.7")], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [(XFF, "198.51.100.7")], "198.51.100.7"),
        # What the client has written itself stands further left.
        ("10.0.0.1", [(XFF, "203.0.113.9, 198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [(XFF, "203.0.113.9, 198.51.100.7 ,10.0.0.2")], "198.51.100.7"),
        ("10.0.0.1", [(XFF, "203.0.113.9"), (XFF, "198.51.100.7, 10.0.0.2")], "198.51.100.7"),
        ("10.0.0.1", [(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        # Behind what cannot be read nothing is believed.
        ("10.0.0.1", [(XFF, "198.51.100.7, unknown")], "10.0.0.1"),
        ("10.0.0.1", [(XFF, "198.51.100.7, _hidden, 10.0.0.2")], "10.0.0.2"),
        ("10.0.0.1", [(XFF, "198.51.100.7:4711")], "198.51.100.7"),
        ("10.0.0.1", [(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
        ("10.0.0.1", [(XFF, "2001:db8::7")], "2001:db8::7"),
        ("10.0.0.1", [(FWD, 'for="[2001:db8::7]:4711";proto=https')], "2001:db8::7"),
        ("10.0.0.1", [(FWD, "for=203.0.113.9, proto=https; For=198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [(FWD, "by=10.0.0.1")], "10.0.0.1"),
        ("::ffff:10.0.0.1", [(XFF, "::ffff:198.51.100.7")], "198.51.100.7"),
        ("2001:db8:9::1", [(XFF, "198.51.100.7")], "198.51.100.7"),
        # Two headers that disagree: one of them is the client's own.
        ("10.0.0.1", [(XFF, "198.51.100.7"), (FWD, "for=203.0.113.9")], "10.0.0.1"),
        ("10.0.0.1", [(XFF, "198.51.100.7"), (FWD, "for=198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [(XFF, "198.51.100.7" + ", 10.0.0.2" * 40)], "10.0.0.2"),
    ],
)
def test_s11_who_is_believed(peer: str, headers: list[tuple[str, str]], client: str) -> None:
    """From right to left, and only while who wrote it is trusted."""
    assert client == told(peer, *headers)


def test_s11_an_origin_is_a_keyed_word() -> None:
    """An address is not told; a customer's IPv6 addresses are one; keys differ by deployment."""
    one = Addresses(PROXIES, secret="a")
    words = [one.origin(request((peer, 1))) for peer in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]
    assert words[0] == words[1] != words[2]
    assert 12 == len(words[0])
    assert words[0] != Addresses(PROXIES, secret="b").origin(request(("192.0.2.1", 1)))
    six = [f"2001:db8:1:2:{n}::1" for n in (1, 2)] + ["2001:db8:1:3::1"]
    words = [one.origin(request((peer, 1, 0, 0))) for peer in six]
    assert words[0] == words[1] != words[2]


@pytest.mark.parametrize("peer", ["", None, ("", 0), ("x", 1)])
def test_nobody_can_tell(peer: object) -> None:
    """At a unix socket nobody knows who calls."""
    assert Addresses(PROXIES).origin(request(peer)) == ""


def test_bad_networks() -> None:
    """A network that is none is an error."""
    assert () == networks(" , ")
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        networks("10.0.0.1/8")
