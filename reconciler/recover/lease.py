"""
The claim of one recovery, kept for as long as it works.

Renewed over a connection of its own, since the recovery's may be busy for minutes. Losing it is
noticed here and ends the recovery early; that it then changes nothing any more is guaranteed by
the stores (`reconciler.recover.loader`, `store.ledger`), not by this. When the claimant dies, the
claim is over at once, lease or not: its session in PostgreSQL had a lock (`store.reigns.SESSION`).
"""

from __future__ import annotations

import asyncio

import structlog

from engine.lasting import Lasting
from engine.tasks import end
from reconciler.recover.loader import ClaimLost
from store import reigns
from store.pool import UNANSWERED, connect

log = structlog.get_logger()

RENEW_INTERVAL_S = reigns.CLAIM_LEASE.total_seconds() / 5


class Lease:
    """A claim; an async context that renews it."""

    def __init__(
        self, shard: int, epoch: int, holder: str, *, database_url: str, timeout_ms: int
    ) -> None:
        """
        Args:
            epoch: The claim's.

            holder: Name of the recovery.

            database_url: PostgreSQL; empty for a claim that is not renewed.

            timeout_ms: Time one statement may take.
        """
        self.epoch = epoch
        self._shard = shard
        self._holder = holder
        self._database_url = database_url
        self._timeout_ms = timeout_ms
        self._is_lost = False
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lease:
        if self._database_url:
            self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._renewing)

    def check(self) -> None:
        """
        Go on only while the claim is ours.

        Raises:
            ClaimLost: it is not.
        """
        if self._is_lost:
            raise ClaimLost(f"shard {self._shard} is claimed by another recovery")

    async def _renew(self) -> None:
        trouble = Lasting()
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            try:
                connection = await connect(self._database_url, timeout_ms=self._timeout_ms)
                try:
                    is_ours = await reigns.renew(
                        connection, self._shard, epoch=self.epoch, holder=self._holder
                    )
                finally:
                    await connection.close(timeout=self._timeout_ms / 1000)
            except UNANSWERED as error:
                if trouble.is_news(repr(error)):
                    log.warning(
                        "claim not renewed",
                        action="recover_renew",
                        shard=self._shard,
                        error=repr(error),
                    )
                continue
            trouble.end()
            if not is_ours:
                self._is_lost = True
                return
