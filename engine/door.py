"""
The door of a shard, as one worker sees it: open under one reign, or shut.

A reign is what the coordinator published in PostgreSQL when it opened the shard: the epoch and
the SHA-1 of each script, and which Redis it was. The door shuts by itself at the first sign that
Redis is not the Redis of that reign, and opens only under a reign with a higher epoch. It never
opens by itself because things look well again (I17). The one exception is a Redis that is the
right one and refuses for a cause that passes: the same reign opens again once a probe gets through.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from engine.errors import ShardRecovering
from engine.records import VERSIONS

log = structlog.get_logger()

#: Pause between two looks at PostgreSQL while the door is shut, in seconds.
LOOK_INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Reign:
    """An open shard, as published by the coordinator."""

    shard: int
    epoch: int
    script_shas: Mapping[str, str]
    #: Of the records that its scripts write, which witnesses write again to the letter.
    records_version: int = VERSIONS[-1]
    #: The process that was opened, and its replication history; empty where they are not known.
    redis_run_id: str = ""
    redis_replid: str = ""

    def is_of(self, run_id: str, replid: str) -> bool:
        """Tell whether the server of that run and history is the one that was opened."""
        return self.redis_run_id in {"", run_id} and self.redis_replid in {"", replid}


#: Tells whether the cause for which a door was shut has passed.
Probe = Callable[[Reign], Awaitable[bool]]
ReadReign = Callable[[int], Awaitable[Reign | None]]
#: Told shard, epoch, the last record seen acknowledged, and whether Redis has shown to have fewer.
ReportSeen = Callable[[int, int, int, bool], Awaitable[None]]


class Door:
    """Holds the current reign of one shard and looks for the next one while shut."""

    def __init__(
        self,
        shard: int,
        read_reign: ReadReign,
        *,
        report_seen: ReportSeen | None = None,
        on_shut: Callable[[int], None] | None = None,
    ) -> None:
        """
        Args:
            shard: Number of the shard.

            read_reign: Returns the shard's published reign, or None while it is not open.

            report_seen: Told, when the door is shut for good, what was seen acknowledged, so
                that recovery does not open over a loss that nobody else has noticed.

            on_shut: Told the epoch that proved to be over.
        """
        self.shard = shard
        self._read_reign = read_reign
        self._on_shut = on_shut
        self._reign: Reign | None = None
        self._epoch_min = 0
        self._probe: Probe | None = None
        self._report_seen = report_seen
        #: What is to be reported: see `ReportSeen`.
        self._seen: tuple[int, int, bool] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

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

    def shut(
        self,
        reign: Reign,
        reason: str,
        *,
        probe: Probe | None = None,
        seen_seq: int = 0,
        has_lost: bool = False,
    ) -> None:
        """
        Shut the door because *reign* proved to be over; a newer reign stays open.

        Args:
            probe: The reign is not over, only hindered: the door opens under it again once this
                says so. A later reason without a probe ends that.

            seen_seq: The last record seen acknowledged in the reign; 0 if none was.

            has_lost: Redis has shown that it has fewer.
        """
        epoch_min = reign.epoch + (probe is None)
        if self._reign is not reign and (self._reign is not None or epoch_min <= self._epoch_min):
            return
        log.warning(
            "door shut",
            action="door_shut",
            shard=self.shard,
            epoch=reign.epoch,
            reason=reason,
            may_reopen=probe is not None,
        )
        self._reign = None
        self._epoch_min, self._probe = epoch_min, probe
        if seen_seq and probe is None:
            self._seen = (reign.epoch, seen_seq, has_lost)
        if probe is None and self._on_shut is not None:
            self._on_shut(reign.epoch)
        self.look()

    def look(self) -> None:
        """Start looking for an open reign in the background, unless that is under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Stop looking; the door stays as it is."""
        # Cancelling alone is not enough: redis-py may swallow it while a probe connects.
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        while self._reign is None and not self._is_closed:
            try:
                await self._tell_seen()
                reign = await self._read_reign(self.shard)
                passes = reign is not None and await self._passes(reign)
            except Exception as error:  # noqa: BLE001  PostgreSQL may be away for any reason.
                log.warning("cannot read reign", action="door_look", error=repr(error))
                reign, passes = None, False
            if reign is not None and passes:
                log.info("door open", action="door_open", shard=self.shard, epoch=reign.epoch)
                self._reign = reign
                return
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _tell_seen(self) -> None:
        if self._seen is not None and self._report_seen is not None:
            await self._report_seen(self.shard, *self._seen)
            self._seen = None

    async def _passes(self, reign: Reign) -> bool:
        if self._probe is None or reign.epoch > self._epoch_min:
            return reign.epoch >= self._epoch_min
        # While the probe was under way, the door may have been shut for good.
        return await self._probe(reign) and reign.epoch >= self._epoch_min
