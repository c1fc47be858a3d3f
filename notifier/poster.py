"""
Posts to servers that people named: none of them leads inside, holds a worker up, or fills memory.

Guarantees: the address that is connected to is the one that was judged, since the judge stands
where the socket is made, after the one look-up of the name; TLS proves the URL's own host. No
redirect is followed, no proxy and no cookie is taken, nothing is unpacked; an answer is read to a
bound and thrown away; all of it has one deadline.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from engine.outward import NotOutside, Outside, address_of

#: Of an answer's body this much is read, so that the connection can be used again.
ANSWER_BYTES_MAX = 8_192
#: What a connection may take of the time that there is for all.
CONNECT_SHARE = 0.6
#: Longest time that an answer may ask us to wait, in ms.
RETRY_AFTER_MS_MAX = 24 * 3_600_000


class Reply(NamedTuple):
    """How a post ended."""

    #: Of the answer; 0: there was none.
    status: int
    #: Words of ours: `HTTP 503`, `no connection`, `inside`, `timeout`.
    reason: str
    #: What the answer asks us to wait, in ms.
    retry_after_ms: int | None = None
    #: The body had been sent, perhaps, when the trouble came: it may have been taken.
    is_unknown: bool = False
    took_ms: int = 0

    @property
    def is_inside(self) -> bool:
        """Whether it was not sent because it leads to where nobody may send us."""
        return self.reason == INSIDE


INSIDE = "inside"


class _Inside(OSError):
    """A connection that would have led inside."""


class Poster:
    """Posts; open as long as its context is."""

    def __init__(
        self,
        outside: Outside,
        *,
        timeout_s: float,
        at_once_max: int,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """
        Args:
            outside: What may be asked.
            timeout_s: From the look-up of the name to the end of the answer, in seconds.
            at_once_max: Connections that are open at a time.
            tls: Whom we believe; None: whom this machine believes.
            resolver: What looks names up; None: this machine's.
        """
        self._outside = outside
        self._timeout_s = timeout_s
        self._at_once_max = at_once_max
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Poster:
        connector = aiohttp.TCPConnector(
            limit=self._at_once_max,
            resolver=_Judge(self._outside, self._resolver or ThreadedResolver()),
            use_dns_cache=False,
            socket_factory=self._socket,
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=self._timeout_s, sock_connect=CONNECT_SHARE * self._timeout_s
            ),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """
        Post a body, and say how it ended; whatever the other end does is told, and nothing raised.

        Args:
            url: Where to; it is judged anew.
        """
        assert self._session is not None
        began_s = time.monotonic()
        try:
            target = URL(self._outside.check(url), encoded=True)
            reply = await self._post(target, body, headers)
        except (NotOutside, _Inside):
            reply = Reply(0, INSIDE)
        except aiohttp.ClientConnectorCertificateError:
            reply = Reply(0, "its certificate is not good")
        except aiohttp.ClientConnectorError as error:
            is_inside = isinstance(error.os_error, _Inside)
            reply = Reply(0, INSIDE if is_inside else "no connection")
        except aiohttp.ConnectionTimeoutError:
            reply = Reply(0, "no connection")
        except TimeoutError:
            reply = Reply(0, "timeout", is_unknown=True)
        except (aiohttp.ClientError, OSError, ValueError):
            reply = Reply(0, "no whole answer", is_unknown=True)
        return reply._replace(took_ms=round(1000 * (time.monotonic() - began_s)))

    async def _post(self, target: URL, body: bytes, headers: Mapping[str, str]) -> Reply:
        assert self._session is not None
        async with self._session.post(
            target, data=body, headers=headers, allow_redirects=False
        ) as response:
            wait_ms = retry_after_ms(response.headers.get("Retry-After", ""))
            reply = Reply(response.status, f"HTTP {response.status}", wait_ms)
            size = 0
            try:
                async for part in response.content.iter_chunked(ANSWER_BYTES_MAX):
                    size += len(part)
                    if size > ANSWER_BYTES_MAX:
                        response.close()
                        break
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
                # It has answered; what it says beside that nobody reads.
                response.close()
            return reply

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for an address, which is the one that is connected to."""
        family, kind, protocol, _, place = info
        if not self._outside.has(address_of(place)):
            raise _Inside("it leads inside")
        return socket.socket(family=family, type=kind, proto=protocol)


class _Judge(AbstractResolver):
    """
    A resolver that knows no name which leads inside, even beside an address that does not.

    The socket judges as well; here it is told for certain why there is no connection.
    """

    def __init__(self, outside: Outside, resolver: AbstractResolver) -> None:
        self._outside = outside
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up; see `AbstractResolver`."""
        found = await self._resolver.resolve(host, port, family)
        if not all(self._outside.has(address_of((one["host"],))) for one in found):
            raise _Inside("it leads inside")
        return found

    async def close(self) -> None:
        """Let go what looks names up."""
        await self._resolver.close()


def retry_after_ms(text: str) -> int | None:
    """Return what `Retry-After` says, in ms from now and bounded; None: nothing."""
    if text.isascii() and text.isdigit():
        return min(RETRY_AFTER_MS_MAX, 1000 * int(text[:9]))
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    from_now_ms = round(1000 * (at - dt.datetime.now(dt.UTC)).total_seconds())
    return min(RETRY_AFTER_MS_MAX, max(0, from_now_ms))
