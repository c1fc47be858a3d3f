"""
The fast lane: hot routes, served where the bytes arrive.

aiohttp's parser reads every request. If it is for a hot route and has arrived whole, its handler
is run at once, without what aiohttp does for requests of any kind: a task that waits on each
connection, a request object, the router, a stream for the body, a response that is prepared
(docs/decisions/0012-a-fast-lane.md). Everything else goes aiohttp's way, and so does a request
that is unusual: in parts, chunked, compressed, too large, of HTTP/1.0, or the connection's last.

Handler, policy and errors are the same on both ways; only the request object is lean as well.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDictProxy, MultiDict, MultiDictProxy

from api.lean import LeanAnswer
from api.middleware import respond
from api.policy import Handler

_NO_QUERY: MultiDictProxy[str] = MultiDictProxy(MultiDict())
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class HotRoute(NamedTuple):
    """A route of the lane."""

    method: str
    path: str
    pattern: re.Pattern[str]
    #: Behind its policy.
    handler: Handler


def hot_route(method: str, path: str, handler: Handler) -> HotRoute:
    """Make a route of the lane; what stands in its placeholders needs no decoding."""
    pattern = re.compile(_PLACEHOLDER.sub(r"(?P<\1>[0-9A-Za-z_-]+)", path))
    return HotRoute(method, path, pattern, handler)


class LaneRequest(dict[Any, Any]):
    """What a hot route's handler needs of aiohttp's request; also its storage by key."""

    __slots__ = ("_body", "app", "headers", "match_info", "method", "path", "transport")

    #: Requests with a query go aiohttp's way.
    query = _NO_QUERY

    def __init__(
        self,
        app: web.Application,
        message: RawRequestMessage,
        match_info: dict[str, str],
        body: bytes,
        transport: asyncio.BaseTransport | None = None,
    ) -> None:
        self.app = app
        #: The connection; it knows who is at the other end.
        self.transport = transport
        self.method: str = message.method
        self.path: str = message.path
        self.headers: CIMultiDictProxy[str] = message.headers
        self.match_info = match_info
        self._body = body

    async def read(self) -> bytes:
        """Return the body."""
        return self._body


class Lane(RequestHandler):
    """One connection."""

    __slots__ = ("_app", "_body_bytes_max", "_lane_task", "_routes")

    def __init__(
        self,
        app: web.Application,
        routes: Sequence[HotRoute],
        body_bytes_max: int,
        manager: web.Server,
        **kwargs: Any,
    ) -> None:
        super().__init__(manager, **kwargs)
        self._app = app
        self._routes = routes
        self._body_bytes_max = body_bytes_max
        #: The request that is on the lane.
        self._lane_task: asyncio.Task[web.StreamResponse] | None = None

    def data_received(self, data: bytes) -> None:
        """Parse; take a hot request onto the lane, and leave any other to aiohttp."""
        # Without its waiter aiohttp queues what it parses, and wakes nobody.
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        self._waiter = waiter
        if waiter is not None and self._lane_task is None:
            self._next(waiter)

    def _next(self, waiter: asyncio.Future[None]) -> None:
        """Begin with the oldest request that waits, while none is under way."""
        if not self._messages or waiter.done():
            return
        message, payload = self._messages[0]
        if (
            isinstance(message, RawRequestMessage)
            and message.version == HttpVersion11
            and not (message.should_close or message.upgrade)
            and not (message.chunked or message.compression or "Expect" in message.headers)
            and payload.is_eof()
            and payload.total_bytes <= self._body_bytes_max
            and not (self._paused or self._reading_paused)
        ):
            for route in self._routes:
                match = route.method == message.method and route.pattern.fullmatch(message.path)
                if match:
                    self._take(route, message, match.groupdict(), _read(payload))
                    return
        waiter.set_result(None)

    def _take(
        self, route: HotRoute, message: RawRequestMessage, match_info: dict[str, str], body: bytes
    ) -> None:
        self._messages.popleft()
        # What aiohttp looks at before it closes a connection that is idle, or shuts down.
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self._request_in_progress = True
        lean = LaneRequest(self._app, message, match_info, body, self.transport)
        request = cast("web.Request", lean)
        self._lane_task = self._loop.create_task(respond(request, route.handler, route.path))
        self._lane_task.add_done_callback(self._answered)
        # As aiohttp does when it takes a message from the queue.
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _answered(self, task: asyncio.Task[web.StreamResponse]) -> None:
        """Send the answer; go on with what has come meanwhile."""
        self._lane_task = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if task.cancelled() or task.exception() is not None:
            if not task.cancelled():
                self.log_exception("Unhandled exception", exc_info=task.exception())
            self.force_close()
            return
        answer = task.result()
        assert isinstance(answer, LeanAnswer), "a hot route answers with a lean answer"
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer.text())
        if self._waiter is not None:
            self._next(self._waiter)


def _read(payload: StreamReader) -> bytes:
    """Take a body that has arrived whole; reading it aiohttp's way would ask for more as well."""
    return b"".join(payload._buffer) if payload.total_bytes else b""  # noqa: SLF001


class LaneServer(web.Server):
    """Makes a `Lane` for each connection, with what aiohttp's own server was made with."""

    def __init__(
        self,
        server: web.Server,
        app: web.Application,
        routes: Sequence[HotRoute],
        body_bytes_max: int,
    ) -> None:
        loop, kwargs = server._loop, server._kwargs  # noqa: SLF001
        handler, factory = server.request_handler, server.request_factory
        super().__init__(handler, request_factory=factory, loop=loop, **kwargs)
        self._of = (app, routes, body_bytes_max)

    def __call__(self) -> Lane:
        return Lane(*self._of, self, loop=self._loop, **self._kwargs)


class LaneRunner(web.AppRunner):
    """Runs an application with a fast lane."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        app = self.app
        return LaneServer(server, app, app[HOT_ROUTES], app._client_max_size)  # noqa: SLF001


HOT_ROUTES: web.AppKey[Sequence[HotRoute]] = web.AppKey("hot_routes", Sequence)
