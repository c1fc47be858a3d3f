"""
Requests of ours to others, over HTTP: to the servers that the settings name, and to no others.

Each has a deadline and a largest answer, takes no cookie and no proxy from its surroundings,
unpacks nothing and follows no redirect: who answers cannot send us anywhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType

import aiohttp
from yarl import URL

from engine.errors import Overloaded
from usecases.outside import Fetched, Unreachable

#: Time from the begin of a request to the end of its answer, in seconds.
TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 262_144
#: Requests under way at once, per process; who comes then is told to come back.
AT_ONCE_MAX = 16


class Outgoing:
    """Asks servers outside; open as long as the application is."""

    def __init__(self, addresses: Collection[str]) -> None:
        """
        Args:
            addresses: Of the servers that may be asked; scheme, host and port of each count.
        """
        self._origins = frozenset(URL(address).origin() for address in addresses)
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0

    async def __aenter__(self) -> Outgoing:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE_MAX, limit_per_host=AT_ONCE_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
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

    async def fetch(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """
        See `usecases.outside.Fetch`.

        Raises:
            Unreachable: see there.

            Overloaded: too many such requests are under way.
        """
        target = self._allowed(url)
        if self._under_way >= AT_ONCE_MAX:
            raise Overloaded("too many requests to servers outside are under way")
        self._under_way += 1
        try:
            return await self._ask(target, form, headers)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # The kind alone: its text may have what was sent.
            raise Unreachable(f"{target.origin()}: {type(error).__name__}") from None
        finally:
            self._under_way -= 1

    def _allowed(self, url: str) -> URL:
        try:
            target = URL(url)
            is_allowed = target.user is None and target.origin() in self._origins
        except ValueError:
            raise Unreachable("what should be asked is no address") from None
        if not is_allowed:
            raise Unreachable(f"{target.host} is not named in EVENTLY_OPENID_HOSTS")
        return target

    async def _ask(
        self, target: URL, form: Mapping[str, str] | None, headers: Mapping[str, str] | None
    ) -> Fetched:
        assert self._session is not None
        method = "GET" if form is None else "POST"
        async with self._session.request(
            method, target, data=form, headers=headers, allow_redirects=False
        ) as response:
            body = bytearray()
            async for part in response.content.iter_chunked(16_384):
                body += part
                if len(body) > ANSWER_BYTES_MAX:
                    response.close()
                    raise ValueError("too large")
            return Fetched(response.status, bytes(body))
