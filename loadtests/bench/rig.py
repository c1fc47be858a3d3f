"""
The servers and processes that a measure runs against, each started and stopped by itself.

An `evently up` as it is, but for the persister, which is stopped (SIGSTOP) except where a measure
says that it works. Every figure of CPU time comes from here. Leaves no process and no file behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from engine.homes import ONLY_SERVER
from evently.embedded import PostgresServer, ValkeyServer
from loadtests.backstage import Backstage
from loadtests.bench.cpu import cpu_s, family_cpu_s
from loadtests.server import Server, open_folder, running, send

#: A backlog of some hundred thousand records is meant, on a machine that others use as well.
DRAIN_TIMEOUT_S = 180.0
#: Differ from the defaults. Statements of a measure that copies a million rows take longer than
#: those of a service. Attempts are counted as always, but 60 000 accounts book like millions.
SETTINGS = {
    "database_timeout_ms": 120_000,
    "access_token_ttl_s": 86_400,
    "booking_limit_attempts": 1_000,
}


class Rig:
    """One Evently: Valkey, PostgreSQL, coordinator, API; `async with` starts and stops it."""

    def __init__(self, *, tree: Path | None = None, **settings: Any) -> None:
        """
        Args:
            tree: Another checkout whose code runs, see `Server`.

            settings: Settings that differ from their defaults, by field name.
        """
        self._given: dict[str, Any] = {"tree": tree} | SETTINGS | settings
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Rig:
        async with contextlib.AsyncExitStack() as stack:
            self.path = stack.enter_context(open_folder())
            self.server: Server = await stack.enter_async_context(running(self.path, **self._given))
            self.settings = self.server.settings
            self._let_persist(False)
            # Who is stopped cannot be asked to end.
            stack.callback(self._let_persist, True)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def port(self) -> int:
        """Where the API listens."""
        return self.server.port

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return self.server.base_url

    @property
    def valkey_pid(self) -> int:
        """The process of Redis."""
        return self.server.pids("redis")[0]

    def redis_url(self, role: str = "coordinator") -> str:
        """Return where *role* finds Redis; the coordinator may do all."""
        return self.settings.redis_servers_as(role)[ONLY_SERVER]

    def backstage(self) -> Backstage:
        """Return direct access to the servers."""
        return Backstage(self.settings)

    @contextlib.asynccontextmanager
    async def persisting(self) -> AsyncIterator[None]:
        """Let the persister work for as long as the block lasts, and until it has nothing to do."""
        self._let_persist(True)
        try:
            yield
            await self.drain()  # Stopped within a transaction, it would hold its locks.
        finally:
            self._let_persist(False)

    async def drain(self) -> None:
        """Wait until PostgreSQL has every record; the persister must work."""
        async with self.backstage() as backstage:
            await backstage.drain(timeout_s=DRAIN_TIMEOUT_S, is_hurt=False)

    def _let_persist(self, is_allowed: bool) -> None:
        send(self.server.pids("persister"), signal.SIGCONT if is_allowed else signal.SIGSTOP)

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds used so far: api, valkey, persister, postgres."""
        pids = self.server.pids
        return {
            "api": sum(map(cpu_s, pids("api"))),
            "persister": sum(map(cpu_s, pids("persister"))),
            "valkey": sum(map(cpu_s, pids("redis"))),
            "postgres": family_cpu_s(pids("postgres")[0]),
        }


@contextlib.contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """Run a Valkey and a PostgreSQL alone, with the settings of production; yield their URLs."""
    with open_folder() as path:
        valkey, postgres = ValkeyServer(path / "valkey"), PostgresServer(path)
        try:
            valkey.start()
            postgres.start()
            yield valkey.url, postgres.url
        finally:
            postgres.stop()
            valkey.stop()


class Served(NamedTuple):
    """A process of ours that serves something on a port."""

    pid: int
    port: int


@contextlib.asynccontextmanager
async def serving(module: str, options: bytes = b"") -> AsyncIterator[Served]:
    """Run a module that reads *options* from stdin, prints its port, and serves until killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(options + b"\n")
        yield Served(process.pid, int(await asyncio.wait_for(process.stdout.readline(), 30)))
    finally:
        process.kill()
        await process.wait()
