"""
Keeps processes running: the embedded servers and the parts of the service.

Owns starting, watching, restarting with back-off, and stopping in order (the API first, the servers
last). Guarantees: every child gets a death signal should this process be killed; a stop is bounded
and ends with exit code 0. Children are forked from the main thread, where asyncio must run.
Leaves what the parts are, and in which order they come up, to `evently/up.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from evently.embedded import process
from evently.embedded.errors import ServerError
from evently.embedded.server import READY_TIMEOUT_S, Server

log = structlog.get_logger()

WATCH_INTERVAL_S = 0.05
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
#: A child that lived this long was well: its next death starts the back-off anew.
WELL_AFTER_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """A process of the service. Its name is `<stage>` or `<stage>-<number>`."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)  # Holds secrets.

    @property
    def stage(self) -> str:
        """Parts of one stage are stopped together."""
        return self.name.partition("-")[0]


class Backoff:
    """Seconds to wait before the next start: doubles with every early death."""

    def __init__(self) -> None:
        self._next_s = BACKOFF_FIRST_S

    def after(self, *, alive_s: float) -> float:
        """Return how long to wait after a child died that had lived *alive_s*."""
        if alive_s >= WELL_AFTER_S:
            self._next_s = BACKOFF_FIRST_S
        wait_s = self._next_s
        self._next_s = min(self._next_s * 2, BACKOFF_MAX_S)
        return wait_s


class Supervisor:
    """
    Runs servers and parts until it is told to stop.

    Args:
        drain_timeout_s: Time the parts of one stage get to finish, before SIGKILL.

        on_part_death: Called with the process id of every part that has ended.
    """

    def __init__(
        self, *, drain_timeout_s: float, on_part_death: Callable[[int], None] | None = None
    ) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._on_part_death = on_part_death
        self._parts: list[Part] = []
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._servers: list[Server] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def pid_of(self, name: str) -> int | None:
        """Return the process id of a running part."""
        child = self._running.get(name)
        return None if child is None or child.poll() is not None else child.pid

    def request_stop(self) -> None:
        """Stop in order; asked a second time, do not wait for the parts any longer."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self, startup: Callable[[], Awaitable[None]]) -> int:
        """
        Run *startup*, which starts servers and parts, then keep them running until stopped.

        Returns:
            0 after SIGTERM, SIGINT, SIGHUP or `request_stop()`.

        Raises:
            ServerError: from *startup*; everything that it had started is stopped first.
        """
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for one in signals:
            loop.add_signal_handler(one, self.request_stop)
        try:
            await self._run_until_stopped(startup)
        finally:
            try:
                await self._shut_down()
            finally:
                for one in signals:
                    loop.remove_signal_handler(one)
        return 0

    async def start_server(self, server: Server) -> None:
        """Start an embedded server, wait until it answers, and keep it running."""
        self._servers.append(server)
        started_s = time.monotonic()
        await _come_up(server)
        log.info(
            "server started",
            action="server_started",
            server=server.title,
            pid=server.pid,
            took_ms=round((time.monotonic() - started_s) * 1000),
        )
        self.watch(self._keep_server(server))

    def start_part(self, part: Part) -> None:
        """Start a part and keep it running."""
        self._parts.append(part)
        self._spawn(part)
        self.watch(self._keep_part(part))

    async def _run_until_stopped(self, startup: Callable[[], Awaitable[None]]) -> None:
        """Wait for the stop, the end of a failed start, or a watcher's error."""

        async def start() -> None:
            await startup()

        starting = asyncio.create_task(start())
        stopping = asyncio.create_task(self._wait_for_stop())
        has_started = False
        try:
            while not stopping.done():
                awaited = {stopping, *self._watchers} | (set() if has_started else {starting})
                # The timeout picks up watchers that the start has added meanwhile.
                done, _ = await asyncio.wait(
                    awaited, timeout=1.0, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done - {stopping}:
                    task.result()
                has_started = starting.done()
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _wait_for_stop(self) -> None:
        await self._stop.wait()

    def watch(self, keeping: Coroutine[Any, Any, None]) -> None:
        """Run something beside the parts until the stop; its error ends the run."""
        self._watchers.add(asyncio.create_task(keeping))

    def _spawn(self, part: Part) -> None:
        child = process.spawn(part.argv, death_signal=signal.SIGTERM, env=part.env)
        self._running[part.name] = child
        log.info("part started", action="part_started", part=part.name, pid=child.pid)

    async def _keep_part(self, part: Part) -> None:
        backoff = Backoff()
        while True:
            child = self._running[part.name]
            started_s = time.monotonic()
            await _ended(_has_ended(child))
            self._note_death(child.pid)
            wait_s = backoff.after(alive_s=time.monotonic() - started_s)
            log.warning(
                "part died",
                action="part_died",
                part=part.name,
                pid=child.pid,
                exit_code=child.returncode,
                restart_in_s=wait_s,
            )
            await asyncio.sleep(wait_s)
            self._spawn(part)

    async def _keep_server(self, server: Server) -> None:
        backoff = Backoff()
        while True:
            started_s = time.monotonic()
            await _ended(lambda: not (server.is_running and server.has_data))
            if server.is_running:
                # It acknowledges what is on no disk: recovery is to be had while workers remember.
                log.error("server lost its data", action="server_lost_data", server=server.title)
                server.kill()
            wait_s = backoff.after(alive_s=time.monotonic() - started_s)
            log.error("server died", action="server_died", server=server.title, restart_in_s=wait_s)
            await asyncio.sleep(wait_s)
            try:
                await _come_up(server)
            except ServerError as error:
                log.error(
                    "server did not start",
                    action="server_start_failed",
                    server=server.title,
                    error=str(error),
                )
            else:
                log.info(
                    "server restarted",
                    action="server_restarted",
                    server=server.title,
                    pid=server.pid,
                )

    async def _shut_down(self) -> None:
        """Stop stage by stage in the reverse order of starting, then the servers."""
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for stage in dict.fromkeys(part.stage for part in reversed(self._parts)):
            names = [part.name for part in self._parts if part.stage == stage]
            await self._stop_parts([self._running[name] for name in names if name in self._running])
        for server in reversed(self._servers):
            server.stop()
            log.info("server stopped", action="server_stopped", server=server.title)

    async def _stop_parts(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        alive = [child for child in children if child.poll() is None]
        for child in alive:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        deadline_s = time.monotonic() + self._drain_timeout_s
        while any(child.poll() is None for child in alive):
            if self._hurry.is_set() or time.monotonic() >= deadline_s:
                for child in alive:
                    if child.poll() is None:
                        log.warning("part killed", action="part_killed", pid=child.pid)
                        process.kill(child)
                break
            await asyncio.sleep(WATCH_INTERVAL_S)
        for child in alive:
            self._note_death(child.pid)

    def _note_death(self, pid: int) -> None:
        if self._on_part_death is not None:
            self._on_part_death(pid)


async def _come_up(server: Server) -> None:
    """`Server.start()` without blocking the loop while a large log is replayed."""
    server.launch()
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not server.is_ready():
        if time.monotonic() >= deadline_s:
            server.kill()
            raise ServerError(f"{server.title} did not answer within {READY_TIMEOUT_S:g} s")
        await asyncio.sleep(process.POLL_S)


def _has_ended(child: subprocess.Popen[bytes]) -> Callable[[], bool]:
    return lambda: child.poll() is not None


async def _ended(has_ended: Callable[[], bool]) -> None:
    """Wait for a child's end; asking costs a system call, and `poll` reaps it as well."""
    while not has_ended():  # noqa: ASYNC110 - the process has no event to wait for
        await asyncio.sleep(WATCH_INTERVAL_S)
