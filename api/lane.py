"""
The fast lane: hot routes, served where the bytes arrive.

aiohttp's parser reads every request. If it is for a hot route and has arrived whole, its handler
is run at once, without what aiohttp does for requests of any kind: a task that waits on each
connection, a request object, the router, a stream for the body, a response that is prepared
(docs/decisions/0012-a-fast-lane.md). Everything else goes aiohttp's way, and so does a request
that is unusual: in parts, chunked, compressed, too large, of HTTP/1.0, for a host that
is none, or the connection's last. Bodies are never unpacked, on either way.

Handler, policy and errors are the same on both ways; only the request object is lean as well.
Nothing is timed per request: the server looks at all its connections once a second (`api.watch`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import structlog
from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from multidict import CIMultiDictProxy, MultiDict, MultiDictProxy, istr

from api.draining import DRAINING, Draining
from api.lean import LeanAnswer
from api.malformed import (
    HEAD_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    URL_BYTES_MAX,
    headers_too_large,
    is_host,
    of_parser,
)
from api.middleware import refuse, refuse_http, respond
from api.policy import Handler
from api.problems import Problem
from api.watch import Limits, Watched, keep_watching
from engine.tasks import end

log = structlog.get_logger()

#: How every connection of ours reads.
READING: dict[str, Any] = {
    "max_line_size": URL_BYTES_MAX,
    "max_field_size": HEADER_BYTES_MAX,
    "max_headers": HEADERS_MAX,
    # A body is what was sent: a few bytes can stand for a gigabyte.
    "auto_decompress": False,
    # After an answer to what had not arrived whole, in seconds.
    "lingering_time": 2.0,
}
#: Says that a connection ends with an answer.
CLOSE = "Connection: close\r\n"
_EXPECT = istr("Expect")
_CONTENT_ENCODING = istr("Content-Encoding")
_HOST = istr("Host")
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

    __slots__ = (
        "_app",
        "_body_bytes_max",
        "_draining",
        "_early",
        "_head_bytes",
        "_head_of",
        "_lane_task",
        "_on_end",
        "_routes",
        "is_stream",
        "watched",
    )

    def __init__(
        self,
        app: web.Application,
        routes: Sequence[HotRoute],
        body_bytes_max: int,
        draining: Draining,
        manager: web.Server,
        **kwargs: Any,
    ) -> None:
        super().__init__(manager, **kwargs)
        self._app = app
        self._routes = routes
        self._body_bytes_max = body_bytes_max
        self._draining = draining
        #: The request that is on the lane.
        self._lane_task: asyncio.Task[web.StreamResponse] | None = None
        #: Number of the request of which a part of the head has come, and the part's bytes.
        self._head_of = -1
        self._head_bytes = 0
        self._on_end: tuple[Callable[[], None], ...] = ()
        #: What has come while nobody waited for it.
        self._early = b""
        #: Whether the answer under way is one that does not end.
        self.is_stream = False
        #: What the server's watch notes of this connection.
        self.watched = Watched(self._loop.time())

    async def start(self) -> None:
        """Handle one request after the other, unless the connection is gone already."""
        if self._manager is not None:
            await super().start()

    def on_end(self, call: Callable[[], None]) -> None:
        """Have *call* called when the connection has ended; at once if it has."""
        if self._manager is None:
            call()
        else:
            self._on_end = (*self._on_end, call)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of everything."""
        super().connection_lost(exc)
        on_end, self._on_end = self._on_end, ()
        for call in on_end:
            call()

    def data_received(self, data: bytes) -> None:
        """
        Parse; take a hot request onto the lane, and leave any other to aiohttp.

        aiohttp waits for a request a turn of the loop after the connection is there, and after its
        own last answer. What comes within that turn comes again after it: or else a connection on
        which requests follow each other closely would stay on aiohttp's way from its first one on.
        """
        if self._early or (data and self._is_between()):
            if not self._early:
                self._loop.call_soon(self._read_early)
            self._early += data
            return
        self._read(data)

    def _is_between(self) -> bool:
        """Tell whether a request is neither waited for nor under way, here or there."""
        return self._waiter is None and not self._request_in_progress

    def _read_early(self) -> None:
        early, self._early = self._early, b""
        if self._parser is not None:  # It is gone with the connection.
            self._read(early)

    def _read(self, data: bytes) -> None:
        # Without its waiter aiohttp queues what it parses, and wakes nobody.
        waiter, self._waiter = self._waiter, None
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001  What its parser did not foresee is as malformed.
            self._messages.append((_ErrInfo(400, error, ""), EMPTY_PAYLOAD))
        self._waiter = waiter
        if not self._messages:
            if waiter is not None and self._lane_task is None:
                self._wait_for_more(data)
        elif waiter is None:
            if isinstance(self._messages[-1][0], _ErrInfo):
                self.end_body(web.RequestPayloadError())
        elif self._lane_task is None:
            self._next(waiter)

    def _wait_for_more(self, data: bytes) -> None:
        """Note that a part of a head is here; no more of it than a head may have is kept."""
        if self._head_of != self._request_count:
            self._head_of, self._head_bytes = self._request_count, 0
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self.dismiss(headers_too_large())

    @property
    def is_waiting(self) -> bool:
        """Whether no request is under way."""
        is_busy = self._waiter is None or self._waiter.done() or self._lane_task is not None
        return not (is_busy or self._messages)

    @property
    def has_part_of_head(self) -> bool:
        """Whether the next request has begun and its head is not whole."""
        return self._head_of == self._request_count

    @property
    def requests_count(self) -> int:
        """How many requests have come."""
        return self._request_count

    @property
    def lacks_body(self) -> bool:
        """Whether the body of the request under way is not whole."""
        return self._current_request is not None and not self._current_request.content.is_eof()

    def end_body(self, error: Exception) -> None:
        """Raise *error* where the body is waited for, if it is not whole."""
        if self.lacks_body and self._current_request is not None:
            self._current_request.content.set_exception(error)

    def dismiss(self, problem: Problem) -> None:
        """Answer what is not even a request, and hang up."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(refuse(problem).text(CLOSE))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer for what never reached a handler, or broke behind one; nothing of it is told."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        if status < 500 and exc is not None:
            return refuse(of_parser(exc))
        log.error("request failed", action="request_failed", exc_info=exc)
        failed = Problem(500, "internal", "Something is wrong on our side.", closes=True)
        return refuse(failed)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; aiohttp's own refusals in our form."""
        if isinstance(resp, web.HTTPException):
            resp = refuse_http(resp)
        if self._draining.is_on:
            if isinstance(resp, LeanAnswer):
                resp.closes = True
            else:
                resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what is wrong here, and not what callers do: that has parts of what they sent."""
        error = kw.get("exc_info")
        if not isinstance(error, HttpProcessingError | web.RequestPayloadError | OSError):
            super().log_exception(*args, **kw)

    def _process_keepalive(self) -> None:
        """Do nothing: idle connections are the watch's."""
        self._keepalive_handle = None

    def _next(self, waiter: asyncio.Future[None]) -> None:
        """Begin with the oldest request that waits, while none is under way."""
        if not self._messages or waiter.done():
            return
        message, payload = self._messages[0]
        if (
            isinstance(message, RawRequestMessage)
            and message.version == HttpVersion11
            and not (message.should_close or message.upgrade)
            and not (message.chunked or _EXPECT in message.headers)
            and _CONTENT_ENCODING not in message.headers
            and is_host(message.headers.get(_HOST))
            and payload.is_eof()
            and payload.total_bytes <= self._body_bytes_max
            and not (self._paused or self._reading_paused)
        ):
            for route in self._routes:
                match = route.method == message.method and route.pattern.fullmatch(message.path)
                if match:
                    self._take(route, message, match.groupdict(), _body_of(payload))
                    return
        waiter.set_result(None)

    def _take(
        self, route: HotRoute, message: RawRequestMessage, match_info: dict[str, str], body: bytes
    ) -> None:
        self._messages.popleft()
        # What aiohttp looks at before it shuts down.
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
        is_last = answer.closes or self._draining.is_on
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer.text(CLOSE if is_last else ""))
        if is_last:
            self.force_close()
        if self._waiter is not None:
            self._next(self._waiter)


def _body_of(payload: StreamReader) -> bytes:
    """Take a body that has arrived whole; reading it aiohttp's way would ask for more as well."""
    return b"".join(payload._buffer) if payload.total_bytes else b""  # noqa: SLF001


class LaneServer(web.Server):
    """Makes a `Lane` for each connection, with what aiohttp's own server was made with."""

    @property
    def transports(self) -> list[tuple[Lane, asyncio.Transport]]:
        """All connections, those that are being closed as well."""
        return cast("list[tuple[Lane, asyncio.Transport]]", list(self._connections.items()))

    def __init__(
        self,
        server: web.Server,
        app: web.Application,
        routes: Sequence[HotRoute],
        body_bytes_max: int,
    ) -> None:
        loop, kwargs = server._loop, server._kwargs  # noqa: SLF001
        handler, factory = server.request_handler, server.request_factory
        cancels = server.handler_cancellation
        super().__init__(
            handler, request_factory=factory, handler_cancellation=cancels, loop=loop, **kwargs
        )
        #: Whether the process is to stop.
        self.draining = app.get(DRAINING) or Draining()
        self._of = (app, routes, body_bytes_max, self.draining)

    def __call__(self) -> Lane:
        return Lane(*self._of, self, loop=self._loop, **self._kwargs)


class LaneRunner(web.AppRunner):
    """Runs an application with a fast lane."""

    def __init__(self, app: web.Application, *, limits: Limits | None = None, **kwargs: Any):
        """
        Args:
            limits: What is waited for from callers, and how long.

            kwargs: As aiohttp's own runner has them.
        """
        super().__init__(app, **READING, **kwargs)
        self._limits = limits or Limits()
        self._watch: asyncio.Task[None] | None = None

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        app = self.app
        made = LaneServer(server, app, app[HOT_ROUTES], app._client_max_size)  # noqa: SLF001
        self._watch = asyncio.create_task(keep_watching(made, self._limits))
        return made

    def begin_to_drain(self) -> None:
        """Say that the process is to stop; from now on each answer is its connection's last."""
        if isinstance(self.server, LaneServer):
            self.server.draining.is_on = True

    async def cleanup(self) -> None:
        """See aiohttp."""
        self.begin_to_drain()
        await super().cleanup()

    async def _cleanup_server(self) -> None:
        await end(self._watch)
        await super()._cleanup_server()


HOT_ROUTES: web.AppKey[Sequence[HotRoute]] = web.AppKey("hot_routes", Sequence)
