"""What tests of the supervisor share: one that keeps a server, and what it has said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from evently.embedded.server import Server
from evently.supervisor import Supervisor
from tests.checks import eventually

#: Shorter than a test may take, so that a server that does not come back fails by its name.
BACK_TIMEOUT_S = 40.0


@contextlib.asynccontextmanager
async def supervised(server: Server) -> AsyncIterator[Supervisor]:
    """Keep a server running by a supervisor, which stops in order at the end."""
    supervisor = Supervisor(drain_timeout_s=5)
    has_started = asyncio.Event()

    async def start() -> None:
        await supervisor.start_server(server)
        has_started.set()

    running = asyncio.create_task(supervisor.run(start))
    waiting = asyncio.create_task(has_started.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not running.done():
            yield supervisor
    finally:
        supervisor.request_stop()
        assert 0 == await running


def pid_of(server: Server) -> int:
    """Return the process id of a server that runs."""
    assert server.pid is not None
    return server.pid


async def is_back(server: Server, *, before: int) -> bool:
    """Wait until a server runs as another process, and answers; False if it takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BACK_TIMEOUT_S):
            return await eventually(lambda: server.pid not in {None, before} and server.is_ready())
    return False


def actions(lines: list[Any]) -> list[str]:
    """Return what log lines tell of."""
    return [line["action"] for line in lines]
