"""Waiting for all API processes, which one port hides behind each other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web
from aiohttp.test_utils import TestServer

from evently.ready import PROCESS_HEADER, wait_until_ready
from tests.conftest import TIMEOUT_MS

TIMEOUT_S = TIMEOUT_MS / 1000


async def waited(answers: Sequence[tuple[int, str]], *, processes: int) -> tuple[bool, int]:
    """Wait for a server that gives these answers, the last one again and again; count them."""
    asked = 0

    async def readyz(_: web.Request) -> web.Response:
        nonlocal asked
        status, name = answers[min(asked, len(answers) - 1)]
        asked += 1
        said = {"status": "ok" if status == 200 else "unavailable"}
        return web.json_response(said, status=status, headers={PROCESS_HEADER: name})

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    async with TestServer(app) as server:
        base_url = str(server.make_url("")).rstrip("/")
        is_ready = await wait_until_ready(
            base_url, processes=processes, timeout_s=TIMEOUT_S, goes_on=lambda: asked < 10
        )
    return is_ready, asked


async def test_waits_for_every_process() -> None:
    """One process that is ready, however often it says so, is not two."""
    assert await waited([(200, "a"), (200, "a"), (200, "b")], processes=2) == (True, 3)
    assert await waited([(200, "a")], processes=2) == (False, 10)


async def test_begins_anew_after_a_no() -> None:
    """Who was ready before somebody was not may be of a run that is ending."""
    assert await waited([(200, "a"), (503, "b"), (200, "b"), (200, "c")], processes=2) == (True, 4)


async def test_nobody_there() -> None:
    """Where nobody listens, it ends in time."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert not await wait_until_ready(f"http://127.0.0.1:{port}", processes=1, timeout_s=0.2)
