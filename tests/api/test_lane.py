"""The fast lane, byte by byte: what it takes, what it leaves to aiohttp, and that none shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from aiohttp import web

from api.cors import CORS, Cors
from api.http import SERVICES
from api.lane import HOT_ROUTES, Lane, LaneRequest, LaneRunner, hot_route
from api.lean import LeanAnswer
from api.middleware import middleware
from api.watch import Limits
from tests.conftest import TIMEOUT_MS
from usecases.buckets import Rate
from usecases.quotas import Quotas

BODY_BYTES_MAX = 1_000
TIMEOUT_S = TIMEOUT_MS / 1000
_NONE = Rate("requests", 0, 1)
#: As much of the services as is asked of what is for no route.
UNLIMITED: Any = SimpleNamespace(quotas=Quotas(cast("Any", None), people=_NONE, staff=_NONE))


class Seen(NamedTuple):
    """A request as a handler saw it."""

    is_lane: bool
    body: bytes


class Site:
    """An application of one hot route and one other, and raw connections to it."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.has_begun = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Echo the body and the path's last part."""
        self.has_begun.set()
        body = await request.read()
        self.seen.append(Seen(isinstance(request, LaneRequest), body))
        await self.may_answer.wait()
        return LeanAnswer(200, b'{"%s":"%s"}' % (request.match_info["name"].encode(), body))

    async def start(self) -> tuple[LaneRunner, int]:
        """Serve on a free port."""
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[middleware])
        app[CORS], app[SERVICES] = Cors(), UNLIMITED
        app.router.add_post("/hot/{name}", self.handle)
        app.router.add_post("/cold/{name}", self.handle)
        app[HOT_ROUTES] = [hot_route("POST", "/hot/{name}", self.handle)]
        runner = LaneRunner(app, access_log=None, shutdown_timeout=TIMEOUT_S)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]


@pytest.fixture
async def site() -> Site:
    """Make the application."""
    return Site()


@asynccontextmanager
async def connected(
    site: Site,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, LaneRunner]]:
    """Serve the site and open one connection to it."""
    runner, port = await site.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer, runner
    finally:
        site.may_answer.set()
        await end(runner, writer)


async def end(runner: LaneRunner, writer: asyncio.StreamWriter) -> None:
    """Hang up and stop serving; wait until both ends are closed."""
    writer.transport.abort()
    await runner.cleanup()
    for _ in range(3):
        await asyncio.sleep(0)


def post(path: str, body: bytes = b"x", *, version: str = "1.1", headers: str = "") -> bytes:
    """Write a request."""
    head = f"POST {path} HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """Read one answer: status, head, body."""
    async with asyncio.timeout(TIMEOUT_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        assert length is not None, head
        return int(head.split(" ", 2)[1]), head, await reader.readexactly(int(length[1]))


async def test_takes_a_hot_request(site: Site) -> None:
    """A hot route's request that arrives whole is served on the lane, one after the other."""
    async with connected(site) as (reader, writer, _):
        for n in range(3):
            writer.write(post("/hot/a", b"%d" % n))
            status, _, body = await answer(reader)
            assert (status, body) == (200, b'{"a":"%d"}' % n)
    assert site.seen == [Seen(is_lane=True, body=b"%d" % n) for n in range(3)]


class Close(asyncio.Transport):
    """A caller so near that it sends its next request while the last answer leaves."""

    def __init__(self, lane: Lane, requests: list[bytes]) -> None:
        super().__init__()
        self._lane = lane
        self._requests = requests
        self.answered = 0
        self.has_all = asyncio.Event()

    def send(self) -> None:
        """Send the next request."""
        self._lane.data_received(self._requests[self.answered])

    def write(self, data: Any) -> None:
        """Take an answer."""
        assert bytes(data).startswith(b"HTTP/1.1 200 ")
        self.answered += 1
        if self.answered == len(self._requests):
            self.has_all.set()
        else:
            asyncio.get_running_loop().call_soon(self.send)

    def get_write_buffer_size(self) -> int:
        """Nothing is left."""
        return 0

    def is_closing(self) -> bool:
        """It stays."""
        return False

    def close(self) -> None:
        """Nothing is open."""


async def test_takes_what_comes_before_it_is_waited_for(site: Site) -> None:
    """A hot request is the lane's too as a connection's first, and close behind aiohttp's own."""
    runner, _ = await site.start()
    try:
        assert runner.server is not None
        lane = cast("Lane", runner.server())
        near = Close(lane, [post("/hot/a"), post("/cold/a"), post("/hot/a"), post("/hot/a")])
        lane.connection_made(near)
        near.send()
        async with asyncio.timeout(TIMEOUT_S):
            await near.has_all.wait()
        assert [seen.is_lane for seen in site.seen] == [True, False, True, True]
        lane.connection_lost(None)
    finally:
        await runner.cleanup()


async def test_caller_goes_before_it_is_waited_for(site: Site) -> None:
    """What a caller sent who is gone within a turn is nobody's, and breaks nothing."""
    runner, _ = await site.start()
    broken: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    try:
        assert runner.server is not None
        lane = cast("Lane", runner.server())
        near = Close(lane, [post("/hot/a")])
        lane.connection_made(near)
        near.send()
        lane.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)
        assert (site.seen, broken) == ([], [])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "request_bytes",
    [
        post("/cold/a"),
        post("/hot/%41"),
        post("/hot/a?b=c"),
        post("/hot/a", version="1.0"),
        post("/hot/a", headers="Connection: close\r\n"),
        b"POST /hot/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        post("/hot/a", headers="Expect: 100-continue\r\n"),
    ],
)
async def test_leaves_the_unusual(site: Site, request_bytes: bytes) -> None:
    """What is not plain goes aiohttp's way, and is answered all the same."""
    async with connected(site) as (reader, writer, _):
        writer.write(request_bytes)
        if b"100-continue" in request_bytes:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        status, head, body = await answer(reader)
        assert (status, body) == (200, b'{"%s":"x"}' % (b"A" if b"%41" in request_bytes else b"a"))
        if b"HTTP/1.0" in request_bytes or b"close" in request_bytes:
            assert "connection: close" in head.lower() or b"HTTP/1.0" in request_bytes
            assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
    assert site.seen == [Seen(is_lane=False, body=b"x")]


async def test_comes_in_parts(site: Site) -> None:
    """A request that arrives in parts goes aiohttp's way; the next one is on the lane again."""
    async with connected(site) as (reader, writer, _):
        whole = post("/hot/a", b"abc")
        writer.write(whole[:-2])
        await asyncio.wait_for(site.has_begun.wait(), TIMEOUT_S)
        writer.write(whole[-2:])
        assert (await answer(reader))[2] == b'{"a":"abc"}'
        writer.write(whole)
        assert (await answer(reader))[2] == b'{"a":"abc"}'
    assert site.seen == [Seen(is_lane=False, body=b"abc"), Seen(is_lane=True, body=b"abc")]


async def test_too_large(site: Site) -> None:
    """A body above the limit is refused by aiohttp's own check."""
    async with connected(site) as (reader, writer, _):
        writer.write(post("/hot/a", b"x" * (BODY_BYTES_MAX + 1)))
        async with asyncio.timeout(TIMEOUT_S):
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413")
    assert site.seen == []


async def test_answers_in_order(site: Site) -> None:
    """Pipelined requests, hot and cold, are answered one after the other, in order."""
    async with connected(site) as (reader, writer, _):
        site.may_answer.clear()
        names = ["hot/a", "cold/b", "hot/c", "hot/d", "cold/e"]
        writer.write(b"".join(post(f"/{name}") for name in names))
        await asyncio.wait_for(site.has_begun.wait(), TIMEOUT_S)
        assert len(site.seen) == 1, "the second begins after the first is answered"
        site.may_answer.set()
        bodies = [(await answer(reader))[2] for _ in names]
        assert bodies == [b'{"%s":"x"}' % name[-1:].encode() for name in names]
        writer.write(post("/hot/f"))
        assert (await answer(reader))[2] == b'{"f":"x"}'
    assert site.seen[0].is_lane
    assert site.seen[-1].is_lane


async def test_more_comes_meanwhile(site: Site) -> None:
    """A request that arrives while another is on the lane waits for it."""
    async with connected(site) as (reader, writer, _):
        site.may_answer.clear()
        writer.write(post("/hot/a"))
        await asyncio.wait_for(site.has_begun.wait(), TIMEOUT_S)
        for name in "bcd":
            writer.write(post(f"/hot/{name}"))
        site.may_answer.set()
        assert [(await answer(reader))[2] for _ in range(4)] == [
            b'{"%s":"x"}' % name for name in (b"a", b"b", b"c", b"d")
        ]


async def test_nonsense_after_a_hot_request(site: Site) -> None:
    """What is not HTTP is answered 400 after the request before it, and ends the connection."""
    async with connected(site) as (reader, writer, _):
        site.may_answer.clear()
        writer.write(post("/hot/a"))
        await asyncio.wait_for(site.has_begun.wait(), TIMEOUT_S)
        writer.write(b"nonsense\r\n\r\n")
        site.may_answer.set()
        assert (await answer(reader))[0] == 200
        async with asyncio.timeout(TIMEOUT_S):
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400")
            await reader.read()


async def test_caller_goes_away(site: Site) -> None:
    """A caller who hangs up does not stop what it began (F3); others are served."""
    runner, port = await site.start()
    try:
        site.may_answer.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/hot/a"))
        await asyncio.wait_for(site.has_begun.wait(), TIMEOUT_S)
        writer.transport.abort()
        server = runner.server
        assert server is not None
        async with asyncio.timeout(TIMEOUT_S):
            while any(lane.transport for lane in server.connections):  # noqa: ASYNC110
                await asyncio.sleep(0)
        site.may_answer.set()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/hot/b"))
        assert (await answer(reader))[2] == b'{"b":"x"}'
    finally:
        await end(runner, writer)


async def test_shutdown_waits_for_the_answer(site: Site) -> None:
    """A server that stops finishes the request that is on the lane."""
    async with connected(site) as (reader, writer, runner):
        site.may_answer.clear()
        writer.write(post("/hot/a"))
        await asyncio.wait_for(site.has_begun.wait(), TIMEOUT_S)
        stopping = asyncio.create_task(runner.cleanup())
        async with asyncio.timeout(TIMEOUT_S):
            while runner.sites:  # noqa: ASYNC110
                await asyncio.sleep(0)
        site.may_answer.set()
        assert (await answer(reader))[2] == b'{"a":"x"}'
        await stopping


async def test_idle_connection_is_closed() -> None:
    """The time that a connection may be idle counts from its last request on the lane."""
    site = Site()
    app = web.Application()
    app[CORS] = Cors()
    app[HOT_ROUTES] = [hot_route("POST", "/hot/{name}", site.handle)]
    runner = LaneRunner(app, access_log=None, limits=Limits(idle_s=0.2))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    writer.write(post("/hot/a"))
    assert (await answer(reader))[0] == 200
    assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
    await end(runner, writer)


async def test_reader_who_does_not_read(site: Site) -> None:
    """Who sends and never reads is no longer read from: nothing piles up without bound."""
    async with connected(site) as (_, writer, runner):
        site_bytes = post("/hot/a", b"x" * 900)
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                writer.write(site_bytes)
                sent += 1
                await writer.drain()

        server = runner.server
        assert server is not None
        flooding = asyncio.create_task(flood())
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                await asyncio.sleep(0.05)
                before = (sent, len(site.seen))
                await asyncio.sleep(0.3)
                if before == (sent, len(site.seen)) and sent:
                    break
        flooding.cancel()
        (lane,) = server.connections
        assert isinstance(lane, Lane)
        assert len(lane._messages) <= lane._max_msg_queue_size
        assert lane.transport is not None
        assert lane.transport.get_write_buffer_size() < 1_000_000
