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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from engine.errors import ShardRecovering
from engine.homes import ONLY_SERVER
from engine.lasting import Lasting
from engine.records import VERSIONS
from engine.tasks import end

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
    #: Name of the server that the shard lives on.
    home: str = ONLY_SERVER

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
        why_not: Callable[[Reign], str] = lambda _: "",
    ) -> None:
        """
        Args:
            shard: Number of the shard.

            read_reign: Returns the shard's published reign, or None while it is not open.

            report_seen: Told, when the door is shut for good, what was seen acknowledged, so
                that recovery does not open over a loss that nobody else has noticed.

            on_shut: Told the epoch that proved to be over.

            why_not: Says why this process cannot act under a reign; empty if it can.
        """
        self.shard = shard
        self._read_reign = read_reign
        self._on_shut = on_shut
        self._why_not = why_not
        self._trouble = Lasting()
        #: When it was opened, by the loop's clock.
        self._opened_at = 0.0
        self._reign: Reign | None = None
        self._epoch_min = 0
        self._probe: Probe | None = None
        self._report_seen = report_seen
        #: What is to be reported: see `ReportSeen`.
        self._seen: tuple[int, int, bool] | None = None
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

    def heed(self, *, epoch: int, is_open: bool, home: str, asked_at: float, seen_seq: int) -> None:
        """
        Hear what PostgreSQL says of the shard, and shut the door if its reign is over (I20).

        Args:
            epoch, is_open, home: As they stand there.

            asked_at: When they were asked for, by the loop's clock: what was asked before the door
                was opened may be older than its reign.

            seen_seq: See `shut`.
        """
        reign = self._reign
        if reign is None or asked_at <= self._opened_at or epoch < reign.epoch:
            return
        if epoch > reign.epoch or not is_open or home != reign.home:
            self.shut(reign, "PostgreSQL says that the reign is over", seen_seq=seen_seq)

    def look(self) -> None:
        """Start looking for an open reign in the background, unless that is under way."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Stop looking; the door stays as it is."""
        await end(self._looking)

    async def _look(self) -> None:
        while self._reign is None:
            try:
                await self._tell_seen()
                reign = await self._read_reign(self.shard)
                failure = "" if reign is None else self._why_not(reign)
                passes = reign is not None and not failure and await self._passes(reign)
            except Exception as error:  # noqa: BLE001  PostgreSQL may be away for any reason.
                reign, passes, failure = None, False, repr(error)
            if failure and self._trouble.is_news(failure):
                log.warning("cannot open", action="door_look", shard=self.shard, reason=failure)
            if reign is not None and passes:
                self._trouble.end()
                log.info("door open", action="door_open", shard=self.shard, epoch=reign.epoch)
                self._opened_at = asyncio.get_running_loop().time()
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
