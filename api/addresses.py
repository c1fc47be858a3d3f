"""
Addresses: where a request comes from, as far as that can be believed.

A proxy that is trusted tells whom it speaks for, in `X-Forwarded-For` or `Forwarded` (RFC 7239);
each adds one hop at the right. Anybody can write the hops before, so they are read from the right,
and only while who wrote them is trusted. An address leaves this module as a short keyed word:
enough to count by, and of no use to who reads it elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from aiohttp import web
from multidict import istr

from engine.outward import Address, Network
from usecases.memory import remember

#: Hops that are looked at; more proxies than that stand before nobody.
HOPS_MAX = 16
#: Of an IPv6 address, the part that is one customer's.
CUSTOMER_BITS = 64
#: What is told of an address where people read it: so much leads to a network and to no person.
NETWORK_BITS = {4: 24, 6: 48}
ORIGIN_BYTES = 6
#: Peers whose word is remembered; at about 150 bytes each.
PEERS_MAX = 16_384

_X_FORWARDED_FOR = istr("X-Forwarded-For")
_FORWARDED = istr("Forwarded")
#: An address with a port, or an IPv6 address in brackets with or without one.
_WITH_PORT = re.compile(r"\[(?P<six>[^\]]*)\](?::\d+)?|(?P<four>[0-9.]+):\d+")
_FOR = re.compile(r'for\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s;,"]*))', re.IGNORECASE)


class Addresses:
    """Tells where requests come from."""

    def __init__(self, trusted: Iterable[Network] = (), *, secret: str = "") -> None:
        """
        Args:
            trusted: Networks of proxies that are believed.

            secret: Makes words of addresses that others cannot make.
        """
        self._trusted = tuple(trusted)
        self._key = blake2b(secret.encode(), digest_size=32, person=b"addresses").digest()
        #: Words of peers that speak for themselves alone.
        self._words: OrderedDict[str, str] = OrderedDict()

    def of(self, request: web.Request) -> Address | None:
        """Return the address of the client; None if nobody can tell, as at a unix socket."""
        address = _parse(_peer(request))
        if address is None or not self.trusts(address):
            return address
        headers = request.headers
        told = _hops(headers.getall(_X_FORWARDED_FOR, ()))
        other = [_of_for(hop) for hop in _hops(headers.getall(_FORWARDED, ()))]
        found = [self._client(address, hops) for hops in (told, other) if hops]
        # A proxy that writes one header may let the other pass as the client has written it.
        return found[0] if found and found[-1] == found[0] else address

    def trusts(self, address: Address) -> bool:
        """Tell whether an address is that of a proxy that is believed."""
        return any(address in network for network in self._trusted)

    def origin(self, request: web.Request) -> str:
        """
        Return the word that stands for where *request* comes from; empty if nobody can tell.

        Cost: a look-up, where the peer is no proxy and was seen before.
        """
        peer = _peer(request)
        known = self._words.get(peer)
        if known is not None:
            return known
        address = self.of(request)
        if address is None:
            return ""
        word = self._word_of(address)
        direct = _parse(peer)
        if direct is not None and not self.trusts(direct):
            remember(self._words, peer, word, most=PEERS_MAX)
        return word

    def unnamed_proxy(self, request: web.Request) -> str:
        """
        Return the address of a peer of our own network that speaks for others without being
        trusted; empty if it is none. Strangers, who may write such headers as well, are not named.
        """
        peer, headers = _peer(request), request.headers
        address = _parse(peer)
        speaks = _X_FORWARDED_FOR in headers or _FORWARDED in headers
        is_near = address is not None and address.is_private and not self.trusts(address)
        return peer if speaks and is_near else ""

    def word(self, text: str) -> str:
        """Return the word that stands for an address as it is written; empty if it is none."""
        address = _parse(text)
        return "" if address is None else self._word_of(address)

    def _word_of(self, address: Address) -> str:
        raw = address.packed
        if isinstance(address, ipaddress.IPv6Address):
            raw = raw[: CUSTOMER_BITS // 8]
        return blake2b(raw, digest_size=ORIGIN_BYTES, key=self._key).hexdigest()

    def network(self, request: web.Request) -> str:
        """Return the network that *request* comes from, `192.0.2.0/24`; empty if nobody knows."""
        address = self.of(request)
        if address is None:
            return ""
        bits = NETWORK_BITS[address.version]
        return str(ipaddress.ip_network((address.packed, bits), strict=False))

    def _client(self, peer: Address, hops: Sequence[str]) -> Address:
        """Return the first address from the right that is no trusted proxy's, or the last known."""
        address = peer
        for hop in reversed(hops):
            told = _parse(hop)
            if told is None:
                break
            address = told
            if not self.trusts(told):
                break
        return address


#: Where the application keeps what tells addresses.
ADDRESSES = web.AppKey("addresses", Addresses)


def origin_of(request: web.Request) -> str:
    """Return the word that stands for where *request* comes from; empty if nobody can tell."""
    return request.app[ADDRESSES].origin(request)


def network_of(request: web.Request) -> str:
    """Return the network that *request* comes from; empty if nobody can tell."""
    return request.app[ADDRESSES].network(request)


def _hops(lines: Sequence[str]) -> list[str]:
    """
    Return the newest hops of a header that may stand several times, the newest last.

    Of what is further left, which anybody can write at any length, nothing is looked at.
    """
    hops = ",".join(lines).rsplit(",", HOPS_MAX)
    return [hop.strip() for hop in hops[-HOPS_MAX:] if hop.strip()]


def _peer(request: web.Request) -> str:
    """Return who is at the other end of the connection; empty if nobody can tell."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def _of_for(hop: str) -> str:
    """Return what one element of `Forwarded` says of whom it is for; empty if nothing."""
    match = _FOR.search(hop)
    return (match["quoted"] or match["bare"] or "") if match else ""


def _parse(text: str) -> Address | None:
    """Read an address as proxies write it; None for `unknown` and for names that hide one."""
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match["six"] or match["four"] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # The same client, over a socket that speaks both.
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address
