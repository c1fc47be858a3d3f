"""
Notices: hears from PostgreSQL that something has changed, so that nobody waits for the next look.

An extra alone: who hears nothing, say behind a pooler that knows no LISTEN, looks once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from engine.tasks import end
from store.pool import UNANSWERED, connect

log = structlog.get_logger()

#: Channels: of reigns of shards, and of access tokens that are over.
REIGNS = "evently_reigns"
REVOCATIONS = "evently_revocations"
#: Pause before the next attempt to connect, in seconds.
RETRY_INTERVAL_S = 1.0
#: How often a quiet connection is asked whether it is one still, in seconds.
PROBE_INTERVAL_S = 15.0


class Notices:
    """Listens over a connection of its own until closed."""

    def __init__(
        self, database_url: str, hears: Mapping[str, Callable[[], None]], *, timeout_ms: int
    ) -> None:
        """
        Args:
            hears: By channel, what is called at each notice, and whenever some may have been
                missed.

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
                    for channel in self._hears:
                        await connection.add_listener(channel, self._heard)
                    failure = ""
                    while True:
                        for hear in self._hears.values():
                            hear()
                        await asyncio.sleep(PROBE_INTERVAL_S)
                        await connection.execute("SELECT 1")
                finally:
                    await connection.close(timeout=self._timeout_ms / 1000)
            except UNANSWERED as error:
                if repr(error) != failure:  # Said once, however long it takes.
                    failure = repr(error)
                    log.info("no notices", action="notices_failed", error=failure)
                await asyncio.sleep(RETRY_INTERVAL_S)

    def _heard(self, *notice: object) -> None:
        """Take a notice: connection, process, channel, payload."""
        self._hears[str(notice[2])]()
