"""
The wire: one connection to a Redis master that carries many calls at once, for the hot path alone.

redis-py opens the connection, with all that belongs to that (authentication, TLS, the checks of
the porter), and its transport is then handed to a protocol of ours: words are packed by hiredis
and written at once, and replies, which Redis sends in the order of the calls, are matched to
them by position. redis-py's own way costs about 200 µs per call, this one about 25
(docs/decisions/0007-a-wire-of-our-own.md).

Nothing is ever sent twice. When a reply fails to come in time, or the connection ends, every call
under way fails with an error that says so: whether it happened is then unknown (F2, F42).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from redis import exceptions as redis_errors
from redis._parsers.base import BaseParser
from redis.asyncio import Redis

from engine import porter
from engine.guard import Facts

#: Longest wait for a reply, for a client that has none of its own.
TIMEOUT_S = 5.0


class Wire:
    """Calls to one master; opens its connection when first needed, and again after a loss."""

    def __init__(self, client: Redis) -> None:
        """
        Args:
            client: Knows how to connect and how long to wait; its own connections are not touched.
        """
        self._pool = client.connection_pool
        self._timeout_s: float = self._pool.connection_kwargs["socket_timeout"] or TIMEOUT_S
        self._traffic: _Traffic | None = None
        #: What its porter has found behind the connection.
        self._facts: Facts | None = None
        self._opening: asyncio.Task[_Traffic] | None = None

    async def call(self, *words: Any) -> Any:
        """
        Send one command, once, and return its reply.

        Raises:
            RedisError: what Redis replied, `ConnectionError` if the connection ended, or
                `TimeoutError` if no reply came in time.
        """
        traffic = await self.open()
        reply = await traffic.send(words, self._timeout_s)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def leave(self, is_home: Callable[[str, str], bool]) -> None:
        """
        Close the connection if it leads to another server than the one that was opened.

        Args:
            is_home: Tells by run id and history whether a server is that one.
        """
        traffic, facts = self._traffic, self._facts
        if traffic is not None and facts is not None and not is_home(facts.run_id, facts.replid):
            traffic.end(redis_errors.ConnectionError("the wire leads to another server"))

    def close(self) -> None:
        """Close the connection; calls under way fail."""
        if self._opening is not None:
            self._opening.cancel()
        if self._traffic is not None:
            self._traffic.end(redis_errors.ConnectionError("the wire was closed"))

    async def open(self) -> _Traffic:
        """
        Open the connection unless it is; whatever it raises, nothing of the caller was sent.

        Callers that come while it is opened share the attempt, and its failure.
        """
        if self._traffic is not None and not self._traffic.is_over:
            return self._traffic
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._connect())
        return await asyncio.shield(self._opening)

    async def _connect(self) -> _Traffic:
        connection: Any = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait_for(connection.connect(), self._timeout_s)
        except TimeoutError as error:
            raise redis_errors.TimeoutError("no connection in time") from error
        self._facts = porter.found_behind(connection)
        # Redis has answered all that was asked: nothing is left in redis-py's own buffer. There is
        # no public way to its transport.
        writer = connection._writer  # noqa: SLF001
        connection._reader = connection._writer = None  # noqa: SLF001  It is ours to close now.
        self._traffic = _Traffic(writer)
        writer.transport.set_protocol(self._traffic)
        return self._traffic


class _Traffic(asyncio.Protocol):
    """One connection's calls under way, in order."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        #: Kept, since a stream writer that nobody refers to closes its transport.
        self._writer = writer
        self._transport = writer.transport
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._reader = hiredis.Reader(
            protocolError=redis_errors.InvalidResponse, replyError=BaseParser.parse_error
        )
        self.is_over = False

    async def send(self, words: tuple[Any, ...], timeout_s: float) -> Any:
        """Write a command; return its reply, which may be an exception that Redis replied."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        late = loop.call_later(timeout_s, self._give_up, future)
        self._waiting.append(future)
        self._transport.write(hiredis.pack_command(words))
        try:
            return await future
        finally:
            late.cancel()

    def end(self, error: Exception) -> None:
        """End the connection: what every call under way gets is *error*."""
        self.is_over = True
        self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(error)

    def data_received(self, data: bytes) -> None:
        """Match replies to calls."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                future = self._waiting.popleft()
                if not future.done():  # Else its caller is gone; its place is not.
                    future.set_result(reply)
        except (redis_errors.RedisError, IndexError) as error:
            self.end(redis_errors.ConnectionError(f"Redis spoke out of turn: {error!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what is under way."""
        self.end(redis_errors.ConnectionError(f"the connection ended: {error!r}"))

    def eof_received(self) -> bool:
        """Let the transport close itself."""
        return False

    def _give_up(self, future: asyncio.Future[Any]) -> None:
        """
        End the connection when one reply is late.

        The replies behind it would be late as well, and a reply that came after all would be
        taken for the next call's.
        """
        if not future.done():
            self.end(redis_errors.TimeoutError("no reply in time"))
