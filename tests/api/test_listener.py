"""The door of a process: how many connections it takes, and from whom."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from api.cors import CORS, Cors
from api.lane import HOT_ROUTES, LaneRunner
from api.lean import LeanAnswer
from api.listener import LOOPBACK, Listener, _customer, listening
from api.middleware import middleware
from tests.conftest import TIMEOUT_MS

TIMEOUT_S = TIMEOUT_MS / 1000
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(**limits: object) -> AsyncIterator[tuple[Listener, list[Pair]]]:
    """Serve one route; yield the listener and a list of connections that are closed at the end."""

    async def handle(_: web.Request) -> web.StreamResponse:
        return LeanAnswer(200, b"{}")

    app = web.Application(middlewares=[middleware])
    app[CORS], app[HOT_ROUTES] = Cors(), []
    app.router.add_get("/", handle)
    runner = LaneRunner(app, access_log=None, shutdown_timeout=TIMEOUT_S)
    await runner.setup()
    listener = Listener(runner, listening("127.0.0.1", 0, 64), **limits)  # type: ignore[arg-type]
    await listener.start()
    pairs: list[Pair] = []
    try:
        yield listener, pairs
    finally:
        for _, writer in pairs:
            writer.transport.abort()
        await runner.cleanup()
        for _ in range(5):
            await asyncio.sleep(0)


async def connect(listener: Listener, pairs: list[Pair]) -> Pair:
    """Open a connection."""
    pair = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
    pairs.append(pair)
    return pair


async def ask(pair: Pair) -> bytes:
    """Ask for the one route; return the first line of the answer."""
    reader, writer = pair
    writer.write(GET)
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
    return head.partition(b"\r\n")[0]


async def test_s15_one_address_has_so_many() -> None:
    """One more than an address may have is told why and let go; one that ends makes room."""
    async with served(connections_max=100, per_address_max=3) as (listener, pairs):
        for _ in range(3):
            assert b"HTTP/1.1 200 OK" == await ask(await connect(listener, pairs))
        reader, _ = await connect(listener, pairs)
        said = await asyncio.wait_for(reader.read(), TIMEOUT_S)
        assert said.startswith(b"HTTP/1.1 429 ")
        assert "too_many_connections" == orjson.loads(said.rpartition(b"\r\n")[2])["code"]
        pairs[0][1].close()
        async with asyncio.timeout(TIMEOUT_S):
            while listener._open > 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert b"HTTP/1.1 200 OK" == await ask(await connect(listener, pairs))
        assert {"127.0.0.1": 3} == listener._by_address


@pytest.mark.parametrize("apart", [LOOPBACK, (ipaddress.ip_network("127.0.0.1/32"),)])
async def test_proxies_stand_apart(apart: tuple[ipaddress.IPv4Network, ...]) -> None:
    """Who speaks for many has as many as there is room for."""
    async with served(connections_max=100, per_address_max=3, apart=apart) as (listener, pairs):
        for _ in range(10):
            assert b"HTTP/1.1 200 OK" == await ask(await connect(listener, pairs))


async def test_s15_no_address_has_more_than_half() -> None:
    """However many are allowed: half of the room is for others."""
    async with served(connections_max=4, per_address_max=1_000) as (listener, pairs):
        for _ in range(2):
            assert b"HTTP/1.1 200 OK" == await ask(await connect(listener, pairs))
        reader, _ = await connect(listener, pairs)
        assert b" 429 " in await asyncio.wait_for(reader.readline(), TIMEOUT_S)


async def test_s15_waits_for_room() -> None:
    """A process that is full accepts nothing; who waits is served when another leaves."""
    async with served(connections_max=2) as (listener, pairs):
        for _ in range(2):
            await ask(await connect(listener, pairs))
        waiting = asyncio.create_task(ask(await connect(listener, pairs)))
        async with asyncio.timeout(TIMEOUT_S):
            while listener._is_taking:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert (2, False) == (listener._open, waiting.done())
        pairs[0][1].close()
        assert b"HTTP/1.1 200 OK" == await waiting


async def test_no_file_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no file left, accepting rests; it is not tried again and again."""
    tries = 0

    class Full(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    monkeypatch.setattr("api.listener.PAUSE_S", 3_600.0)
    async with served(connections_max=10) as (listener, pairs):
        [plain] = listener.sockets
        listener._pause()
        full = Full(fileno=plain.detach())
        listener.sockets = [full]
        listener._resume()
        waiting = asyncio.create_task(ask(await connect(listener, pairs)))
        async with asyncio.timeout(TIMEOUT_S):
            while not tries:  # noqa: ASYNC110
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (1, False) == (tries, listener._is_taking)
        # And it begins again by itself when the pause is over, here at once.
        monkeypatch.setattr("api.listener.PAUSE_S", 0.0)
        listener._resume()
        assert b"HTTP/1.1 200 OK" == await waiting
        assert tries > 2


def test_customers() -> None:
    """Of an IPv6 address the first half counts: the rest is one customer's to choose."""
    one, two, other = "2001:db8:1:2::3", "2001:db8:1:2:ffff::", "2001:db8:1:3::3"
    keys = [_customer(ipaddress.ip_address(text)) for text in (one, two, other)]
    assert keys[0] == keys[1] != keys[2]
