"""
Streams: answers that do not end, as Server-Sent Events (the HTML standard, section 9.2).

A stream is a connection whose handler has long returned: it holds no place of admission, and what
it is told is written to its transport at once, the same bytes for all. So a listener costs what
aiohttp keeps of a connection, and one who does not read is let go at `UNSENT_BYTES_MAX`, on our
side as well as in the system's own buffer (S29). Streams end with their token, and when the process
stops, with a word when to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from typing import Literal, NamedTuple, cast

import msgspec
from aiohttp import hdrs, web

from api import metrics
from api.codes import CODES
from api.draining import Draining
from api.lane import Lane
from api.lean import LeanAnswer, head_of
from api.problems import Problem, rate_limit_headers, unavailable
from usecases import told
from usecases.news import News

CONTENT_TYPE = "text/event-stream"
#: No proxy and no cache may keep any of it back (nginx heeds the last).
HEADERS = "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nVary: Authorization\r\n"
#: What may wait for a listener; and of the system's buffer behind it.
UNSENT_BYTES_MAX = 65_536
#: A comment.
HEARTBEAT = b": \n\n"
#: How often it is looked whether the process is to stop, and how many of such looks until tokens
#: are looked at.
LOOK_S = 0.25
LOOKS_PER_TOKEN = 4
#: When listeners come again, in ms: not all at once.
RETRY_MS = (1_000, 5_000)

Over = Literal["gone", "too_slow", "stopping", "signed_out"]
_ENCODER = msgspec.json.Encoder()


class StreamBounds(NamedTuple):
    """How many streams there may be at a time; 0: any number."""

    most: int = 20_000
    per_address: int = 500
    per_account: int = 10


def encode(name: str, value: told.Told, place: str) -> bytes:
    """Return one event of a stream; its `id` is *place*, if it has one."""
    line = f"event: {name}\nid: {place}\ndata: " if place else f"event: {name}\ndata: "
    return line.encode() + _ENCODER.encode(value) + b"\n\n"


def retry() -> bytes:
    """Return the line that says when to come again."""
    return f"retry: {random.randint(*RETRY_MS)}\n".encode()  # noqa: S311  No secret.


class Stream:
    """Who listens on one connection."""

    __slots__ = ("_over", "_transport", "account", "address", "is_over", "over_by")

    def __init__(
        self, address: str, account: str = "", is_over: Callable[[], bool] | None = None
    ) -> None:
        """
        Args:
            address: Word for where it comes from; empty: it is not counted.

            account: Whose own messages it gets; empty: nobody's.

            is_over: Tells whether its token is over.
        """
        self.address = address
        self.account = account
        self.is_over = is_over
        self.over_by: Over | None = None
        self._transport: asyncio.Transport | None = None
        self._over: asyncio.Future[None] | None = None

    def connect(self, transport: asyncio.Transport) -> None:
        """Begin to write to a connection."""
        self._transport = transport
        self._over = asyncio.get_running_loop().create_future()
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES_MAX)

    def hear(self, data: bytes) -> None:
        """Write *data*; hang up if too much waits already."""
        transport = self._transport
        if transport is None or self.over_by is not None:
            return
        unsent_bytes = transport.get_write_buffer_size()
        if unsent_bytes and unsent_bytes + len(data) > UNSENT_BYTES_MAX:
            self.end("too_slow")
            transport.abort()
            return
        transport.write(data)

    def end(self, by: Over) -> None:
        """End the stream; who can still be told why is told."""
        if self.over_by is not None:
            return
        if by == "stopping" or by == "signed_out":  # noqa: PLR1714  For mypy.
            bye = told.LiveBye(reason=by)
            self.hear(retry() + encode("bye", bye, ""))
        if self.over_by is None:  # Else it was too slow for that.
            self.over_by = by
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def wait(self) -> None:
        """Wait until the stream has ended."""
        assert self._over is not None, "not connected"
        await self._over


class Streams:
    """All streams of a process."""

    def __init__(self, bounds: StreamBounds, draining: Draining) -> None:
        self._bounds = bounds
        self._draining = draining
        self._open: set[Stream] = set()
        self._by_address: dict[str, int] = {}
        self._by_account: dict[str, int] = {}

    @property
    def is_stopping(self) -> bool:
        """Whether the process is to stop."""
        return self._draining.is_on

    def objection(self, listener: Stream) -> Problem | None:
        """Return why there may not be this one more; None if it may."""
        bounds = self._bounds
        if bounds.most and len(self._open) >= bounds.most:
            return unavailable("backpressure", "As many streams are open as may be.")
        for most, have in (
            (bounds.per_account, self._by_account.get(listener.account, 0)),
            (bounds.per_address, self._by_address.get(listener.address, 0)),
        ):
            if most and have >= most:
                return Problem(
                    429,
                    "too_many_streams",
                    CODES["too_many_streams"].title,
                    headers=rate_limit_headers(most, more_after_ms=5_000, name="streams"),
                )
        return None

    def enter(self, listener: Stream) -> None:
        """Count one more."""
        self._open.add(listener)
        _step(self._by_address, listener.address, 1)
        _step(self._by_account, listener.account, 1)
        metrics.STREAMS.inc()

    def leave(self, listener: Stream) -> None:
        """Count one less."""
        self._open.discard(listener)
        _step(self._by_address, listener.address, -1)
        _step(self._by_account, listener.account, -1)
        metrics.STREAMS.dec()
        metrics.STREAMS_ENDED.labels(listener.over_by or "gone").inc()

    def end_all(self) -> None:
        """End all of them: the process stops."""
        for listener in list(self._open):
            listener.end("stopping")

    async def keep_looking(self) -> None:
        """End what is over until cancelled: all, once the process is to stop; those signed out."""
        look = 0
        while True:
            await asyncio.sleep(LOOK_S)
            look += 1
            if self.is_stopping:
                self.end_all()
            elif look % LOOKS_PER_TOKEN == 0:
                self._end_signed_out()

    def _end_signed_out(self) -> None:
        for listener in [one for one in self._open if one.is_over is not None]:
            if listener.is_over is not None and listener.is_over():
                listener.end("signed_out")


class StreamAnswer(LeanAnswer):
    """An answer that is a stream: its head, what is told first, and then whatever comes."""

    def __init__(
        self,
        streams: Streams,
        listener: Stream,
        join: Callable[[bytes], None],
        leave: Callable[[], None],
    ) -> None:
        """
        Args:
            join: Tells *listener* what is so, behind the head, and has it told from then on.

            leave: Ends that.
        """
        super().__init__(200, b"", HEADERS, content_type=CONTENT_TYPE)
        # Its end is the connection's: it has no length, and HTTP/1.0 and every proxy know that.
        self.closes = True
        self._streams = streams
        self._listener = listener
        self._join = join
        self._leave = leave

    def text(self, connection: str = "") -> bytes:
        """Return the head."""
        head = head_of(200, CONTENT_TYPE)
        return f"{head}{self._lines}Connection: close\r\n\r\n".encode("latin-1")

    async def write_eof(self, data: bytes = b"") -> None:
        """Write the head, and be told until the stream ends."""
        request, listener = self._asked_by, self._listener
        assert request is not None, "not prepared"
        if self._eof_sent:
            return
        self._eof_sent = True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("Cannot write to closing transport")
        if request.method == hdrs.METH_HEAD:
            transport.write(self.text())
            return
        listener.connect(transport)
        lane = cast("Lane", request.protocol)
        lane.is_stream = True
        lane.on_end(lambda: listener.end("gone"))
        # From here to the wait nothing waits: what is told first is what is so now.
        self._streams.enter(listener)
        try:
            self._join(self.text())
            if self._streams.is_stopping:
                listener.end("stopping")
            await listener.wait()
        finally:
            self._leave()
            self._streams.leave(listener)


def _step(numbers: dict[str, int], key: str, step: int) -> None:
    """Count up or down, but for what has no name."""
    number = numbers.get(key, 0) + step if key else 0
    if number > 0:
        numbers[key] = number
    else:
        numbers.pop(key, None)


STREAMS: web.AppKey[Streams] = web.AppKey("streams", Streams)
#: What accounts are told on theirs.
NEWS: web.AppKey[News] = web.AppKey("news", News)
