"""
The door of a shard, as one worker sees it: open under one reign, or shut.

A reign is what the coordinator published in PostgreSQL when it opened the shard: the epoch and
the SHA-1 of each script. The door shuts by itself at the first sign that Redis is not the Redis
of that reign, and opens only under a reign with a higher epoch. It never opens by itself because
things look well again (I17).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from engine.errors import ShardRecovering

log = structlog.get_logger()

#: Pause between two looks at PostgreSQL while the door is shut, in seconds.
LOOK_INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Reign:
    """An open shard, as published by the coordinator."""

    shard: int
    epoch: int
    script_shas: Mapping[str, str]


ReadReign = Callable[[int], Awaitable[Reign | None]]


class Door:
    """Holds the current reign of one shard and looks for the next one while shut."""

    def __init__(
        self,
        shard: int,
        read_reign: ReadReign,
        *,
        on_shut: Callable[[int], None] | None = None,
    ) -> None:
        """
        Args:
            shard: Number of the shard.

            read_reign: Returns the shard's published reign, or None while it is not open.

            on_shut: Told the epoch that proved to be over.
        """
        self.shard = shard
        self._read_reign = read_reign
        self._on_shut = on_shut
        self._reign: Reign | None = None
        self._epoch_min = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether commands may pass."""
        return self._reign is not None

    def reign(self) -> Reign:
        """
        Return the reign to act under.

        Raises:
            ShardRecovering: the door is shut. Nothing was sent.
        """
        if self._reign is None:
            raise ShardRecovering
        return self._reign

    def shut(self, reign: Reign, reason: str) -> None:
        """Shut the door because *reign* proved to be over; a newer reign stays open."""
        if self._reign is not reign:
            return
        log.warning("door shut", action="door_shut", shard=self.shard, epoch=reign.epoch,
                    reason=reason)  # fmt: skip
        self._reign = None
        self._epoch_min = reign.epoch + 1
        if self._on_shut is not None:
            self._on_shut(reign.epoch)
        self.look()

    def look(self) -> None:
        """Start looking for an open reign in the background, unless that is under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Stop looking; the door stays as it is."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        while self._reign is None:
            try:
                reign = await self._read_reign(self.shard)
            except Exception as error:  # noqa: BLE001  PostgreSQL may be away for any reason.
                log.warning("cannot read reign", action="door_look", error=repr(error))
                reign = None
            if reign is not None and reign.epoch >= self._epoch_min:
                log.info("door open", action="door_open", shard=self.shard, epoch=reign.epoch)
                self._reign = reign
                return
            await asyncio.sleep(LOOK_INTERVAL_S)
