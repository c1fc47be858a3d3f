"""
Which addresses of others this service may be sent to: people name URLs, and none may lead inside.

Browsers name push services, organizers name receivers of webhooks. What a name leads to is decided
anew at every connection, so a URL that is good when it is named proves nothing later: `check` is
asked when it is named, and `Outside.has` of the very address that is connected to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

URL_CHARS_MAX = 2_048
HOST_CHARS_MAX = 253

#: Of IPv4, what is nobody's public address: IANA's registry of special purposes, groups, what is
#: reserved; and where a large provider keeps the keys of its machines.
_INNER_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",
        ),
    )
)
#: All public addresses of IPv6 are in here: none that is local, mapped, or leads through NAT64.
_OUTER_6 = ipaddress.IPv6Network("2000::/3")
#: But for protocols (Teredo), 6to4, both of which hold an address of IPv4, and documentation.
_INNER_6 = tuple(
    map(
        ipaddress.IPv6Network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
#: What a URL may be written with; a backslash or a space is read differently by different readers.
_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
#: A name of the DNS with two labels at least; the last begins with a letter, so that no number in
#: any spelling is one.
_NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)


class NotOutside(ValueError):
    """This URL is not asked; the message says why, and names nothing that is inside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """What counts as outside: the public addresses of the internet, by TLS at its usual port."""

    #: Hosts that may be asked: `push.example.org`, or `*.example.org` for all below it. Empty: any.
    hosts: tuple[str, ...] = ()
    #: Networks that are inside and may be asked all the same, by plain HTTP and at any port as
    #: well: for development and tests, and for receivers within a network of one's own.
    also: tuple[Network, ...] = ()

    def has(self, address: Address) -> bool:
        """Tell whether an address may be connected to, in whatever form it is written."""
        if any(address in network for network in self.also):
            return True
        if isinstance(address, ipaddress.IPv4Address):
            return not any(address in network for network in _INNER_4)
        is_outer = address in _OUTER_6 and address.scope_id is None
        return is_outer and not any(address in network for network in _INNER_6)

    def check(self, text: str) -> str:
        """
        Return a URL as it is asked, if it may be.

        Cost: no look-up of its name; see the module.

        Args:
            text: As somebody gave it.

        Raises:
            NotOutside: it is none that may be asked.
        """
        if len(text) > URL_CHARS_MAX:
            raise NotOutside(f"it has more than {URL_CHARS_MAX} characters")
        if _PLAIN.fullmatch(text) is None:
            raise NotOutside("it is no URL in plain ASCII")
        try:
            url = URL(text)
            host, port = url.raw_host or "", url.explicit_port
        except ValueError:
            raise NotOutside("it is no URL") from None
        if url.raw_user is not None or url.raw_password is not None:
            raise NotOutside("it has a user or a password")
        address = _address(host)
        if address is None or not any(address in network for network in self.also):
            if url.scheme != "https":
                raise NotOutside("it does not begin with https://")
            if port not in {None, 443}:
                raise NotOutside("its port is not 443")
        elif url.scheme not in {"http", "https"}:
            raise NotOutside("it does not begin with http:// or https://")
        self._check_host(host, address)
        return str(url.with_fragment(None))

    def _check_host(self, host: str, address: Address | None) -> None:
        if address is None and (len(host) > HOST_CHARS_MAX or _NAME.fullmatch(host) is None):
            raise NotOutside("its host is no public name")
        if address is not None and not self.has(address):
            raise NotOutside("its host is no public address")
        if self.hosts and not any(_is_host(host, allowed) for allowed in self.hosts):
            raise NotOutside("its host is none that is allowed")


def networks(text: str) -> tuple[Network, ...]:
    """
    Read networks, `10.0.0.0/8, ::1`.

    Raises:
        ValueError: one of them is none.
    """
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def address_of(socket_address: Sequence[object]) -> Address:
    """
    Return the address that a socket is about to connect to.

    Raises:
        ValueError: it is not of the internet.
    """
    return ipaddress.ip_address(str(socket_address[0]))


def _address(host: str) -> Address | None:
    """Return the address that a host is, if it is one and no name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_host(host: str, allowed: str) -> bool:
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed
