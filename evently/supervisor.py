"""
Keeps processes running: the embedded servers and the parts of the service.

Owns starting, watching, restarting with back-off, and stopping in order (the API first, the servers
last). Guarantees: every child gets a death signal should this process be killed; once all is up, no
error ends the run, whatever the machine refuses: it is said once and tried again; a stop is bounded
and ends with exit code 0. Children are forked from the main thread, where asyncio must run.
Leaves what the parts are, and in which order they come up, to `evently/up.py`, and what makes a
server of no use to `evently/keeping.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from engine.tasks import end
from evently.embedded import process
from evently.embedded.errors import ServerError
from evently.embedded.server import Server
from evently.keeping import ServerKeeper, come_up
from evently.patience import Backoff, Trouble, is_refusal

log = structlog.get_logger()

Done = TypeVar("Done")

WATCH_INTERVAL_S = 0.05


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
        #: When each was started, by the monotonic clock.
        self._started_s: dict[str, float] = {}
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
            Whatever *startup* does; everything that it had started is stopped first.
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

    async def insist(self, what: str, step: Callable[[], Awaitable[Done]]) -> Done:
        """
        Do a step of the start, again and again while the machine has no room for it.

        Args:
            what: The step, for the log.

            step: Repeatable.

        Raises:
            Whatever else keeps it from being done.
        """
        trouble = Trouble(what)
        while True:
            try:
                done = await step()
            except Exception as error:
                if not is_refusal(error):
                    raise
                await asyncio.sleep(trouble.note(error))
            else:
                trouble.over()
                return done

    async def start_server(self, server: Server) -> None:
        """
        Start an embedded server, wait until it answers, and keep it running.

        Raises:
            ServerError, OSError: it did not start, for another cause than a full machine.
        """
        self._servers.append(server)
        started_s = time.monotonic()
        await self.insist(f"start {server.title}", lambda: come_up(server))
        log.info(
            "server started",
            action="server_started",
            server=server.title,
            pid=server.pid,
            took_ms=round((time.monotonic() - started_s) * 1000),
        )
        keeper = ServerKeeper(server)
        self.watch(f"keep {server.title} running", keeper.look)
        self.watch(f"ask {server.title}", keeper.ask)

    def start_part(self, part: Part) -> None:
        """
        Start a part and keep it running; what the machine has no room for now is tried again.

        Raises:
            ServerError: it cannot be started, and will not be kept.
        """
        try:
            self._spawn(part)
        except ServerError as error:
            if not is_refusal(error):
                raise
        self._parts.append(part)
        backoff = Backoff()
        self.watch(f"keep {part.name} running", lambda: self._keep_part(part, backoff))

    def watch(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        """
        Do *look* over and over, beside all else, until the stop.

        Args:
            what: What it does, for the log.

            look: Should wait for something; what it raises is said once, and it is done again.
        """
        self._watchers.add(asyncio.create_task(_go_on(what, look)))

    async def _run_until_stopped(self, startup: Callable[[], Awaitable[None]]) -> None:
        """Wait for the stop, or the end of a failed start."""

        async def start() -> None:
            await startup()

        starting = asyncio.create_task(start())
        stopping = asyncio.create_task(self._wait_for_stop())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            await end(starting, stopping)

    async def _wait_for_stop(self) -> None:
        await self._stop.wait()

    def _spawn(self, part: Part) -> None:
        child = process.spawn(part.argv, death_signal=signal.SIGTERM, env=part.env)
        self._running[part.name] = child
        self._started_s[part.name] = time.monotonic()
        log.info("part started", action="part_started", part=part.name, pid=child.pid)

    async def _keep_part(self, part: Part, backoff: Backoff) -> None:
        """Start a part that does not run, or wait until one that does has died."""
        child = self._running.get(part.name)
        if child is None:
            self._spawn(part)
            return
        await _ended(child)
        del self._running[part.name]
        self._note_death(child.pid)
        wait_s = backoff.after(alive_s=time.monotonic() - self._started_s[part.name])
        log.warning(
            "part died",
            action="part_died",
            part=part.name,
            pid=child.pid,
            exit_code=child.returncode,
            restart_in_s=wait_s,
        )
        await asyncio.sleep(wait_s)

    async def _shut_down(self) -> None:
        """Stop stage by stage in the reverse order of starting, then the servers."""
        await end(*self._watchers)
        for stage in dict.fromkeys(part.stage for part in reversed(self._parts)):
            names = [part.name for part in self._parts if part.stage == stage]
            await self._stop_parts([self._running[name] for name in names if name in self._running])
        for server in reversed(self._servers):
            try:
                server.stop()
            except Exception as error:  # noqa: BLE001  The others are stopped all the same.
                log.error(
                    "server not stopped",
                    action="server_not_stopped",
                    server=server.title,
                    error=repr(error),
                )
            else:
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


async def _go_on(what: str, look: Callable[[], Awaitable[None]]) -> None:
    trouble = Trouble(what)
    while True:
        try:
            await look()
        except Exception as error:  # noqa: BLE001  Whatever it is, who stays can be well again.
            await asyncio.sleep(trouble.note(error))
        else:
            trouble.over()


async def _ended(child: subprocess.Popen[bytes]) -> None:
    """Wait for a child's end; asking costs a system call, and `poll` reaps it as well."""
    while child.poll() is None:  # noqa: ASYNC110 - the process has no event to wait for
        await asyncio.sleep(WATCH_INTERVAL_S)
