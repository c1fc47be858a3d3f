"""
Notices: hears from PostgreSQL that something has changed, so that nobody waits for the next look.

An extra alone: who hears nothing, say behind a pooler that knows no LISTEN, looks once a second,
and remembers nothing for longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import asyncpg
import structlog

from engine.tasks import end
from store.pool import UNANSWERED, connect
from store.tenants import Connection

log = structlog.get_logger()

#: Channels: of reigns of shards, of access tokens that are over, and of events that have changed,
#: by their ids with blanks between.
REIGNS = "evently_reigns"
REVOCATIONS = "evently_revocations"
EVENTS = "evently_events"
#: What is told where some may have been missed; of `EVENTS` also where more changed than fit in.
ANY = ""
#: Pause before the next attempt to connect, in seconds.
RETRY_INTERVAL_S = 1.0
#: How often a quiet connection is asked whether it is one still, in seconds.
PROBE_INTERVAL_S = 15.0

#: Called with what a notice says; with None once nothing is heard any more, until `ANY` follows.
Hear = Callable[[str | None], None]


class Notices:
    """Listens over a connection of its own until closed."""

    def __init__(self, database_url: str, hears: Mapping[str, Hear], *, timeout_ms: int) -> None:
        """
        Args:
            hears: By channel, what is called at each notice, with `ANY` once it is listened to,
                since some may have been missed, and with None when the connection is lost.

            timeout_ms: Time one statement may take.
        """
        self._database_url = database_url
        self._hears = dict(hears)
        self._timeout_ms = timeout_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; PostgreSQL may be away."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop listening."""
        await end(self._task)

    async def _run(self) -> None:
        failure = ""
        while True:
            try:
                connection = await connect(self._database_url, timeout_ms=self._timeout_ms)
                try:
                    lost = _loss(connection)
                    for channel in self._hears:
                        await connection.add_listener(channel, self._heard)
                    failure = ""
                    self._tell_all(ANY)
                    await self._watch(connection, lost)
                finally:
                    self._tell_all(None)
                    await connection.close(timeout=self._timeout_ms / 1000)
            except UNANSWERED as error:
                if repr(error) != failure:  # Said once, however long it takes.
                    failure = repr(error)
                    log.info("no notices", action="notices_failed", error=failure)
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _watch(self, connection: asyncpg.Connection, lost: asyncio.Event) -> None:
        """Raise once the connection is lost; one that is merely quiet is asked now and then."""
        while True:
            try:
                async with asyncio.timeout(PROBE_INTERVAL_S):
                    await lost.wait()
            except TimeoutError:
                await connection.execute("SELECT 1")
            else:
                raise ConnectionError("the connection of the notices is lost")

    def _tell_all(self, said: str | None) -> None:
        for hear in self._hears.values():
            hear(said)

    def _heard(self, *notice: object) -> None:
        """Take a notice: connection, process, channel, payload."""
        self._hears[str(notice[2])](str(notice[3]))


def _loss(connection: asyncpg.Connection) -> asyncio.Event:
    """Return what is set once a connection is lost."""
    lost = asyncio.Event()

    def note(_: Connection) -> None:
        lost.set()

    connection.add_termination_listener(note)
    return lost
