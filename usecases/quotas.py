"""
Quotas: how many requests of any kind one may send within a while.

Who has a token counts by account, so that a thousand people behind one address do not count as one;
who has none counts by network address. Each process counts for itself, at the price of a look-up,
and tells the others once a second, by way of PostgreSQL, of whom it has let a few requests pass. So
a quota is kept over all processes to within that second, and where PostgreSQL is away, by each
alone: reading and selling go on.
"""

from __future__ import annotations

import asyncio

import structlog

from engine.lasting import Lasting
from engine.tasks import end
from store import limits
from store.pool import Pool
from usecases.buckets import Buckets, Rate

log = structlog.get_logger()

SHARE_INTERVAL_S = 1.0
#: Buckets that are told of in one go; the others are later.
SHARED_AT_ONCE = 1_000
#: How often buckets that are full again are deleted, in turns of sharing; and how many at most.
TURNS_TO_FORGET = 60
FORGOTTEN_AT_ONCE = 20_000


class Quotas:
    """Counts requests."""

    def __init__(self, pool: Pool, *, people: Rate, staff: Rate) -> None:
        """
        Args:
            pool: Where processes tell each other.

            people: Of a network address, or of the account of a buyer.

            staff: Of an account, key or device that works for an organizer.
        """
        self._pool = pool
        #: None where nothing is counted.
        self.people = Buckets(people) if people.attempts_max else None
        self.staff = Buckets(staff) if staff.attempts_max else None
        self._trouble = Lasting()
        self._sharing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell the other processes, and to hear of them."""
        if self.people is not None or self.staff is not None:
            self._sharing = asyncio.create_task(self._keep_sharing())

    async def close(self) -> None:
        """End that."""
        await end(self._sharing)

    async def share(self) -> None:
        """Tell what was taken here, and learn what was taken elsewhere; whatever fails, later."""
        for buckets in (self.people, self.staff):
            taken = [] if buckets is None else buckets.due(SHARED_AT_ONCE)
            if buckets is None or not taken:
                continue
            rate = buckets.rate
            named = {f"{rate.name}:{who}": (who, number) for who, number in taken}
            try:
                full_in_ms = await limits.add(
                    self._pool,
                    [(name, number) for name, (_, number) in named.items()],
                    attempts_max=rate.attempts_max,
                    window_ms=rate.window_ms,
                )
            except BaseException:
                buckets.untold(taken)
                raise
            buckets.learn({named[name][0]: wait_ms for name, wait_ms in full_in_ms.items()})

    async def _keep_sharing(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(SHARE_INTERVAL_S)
            turn += 1
            try:
                await self.share()
                if turn % TURNS_TO_FORGET == 0:
                    await limits.forget(self._pool, most=FORGOTTEN_AT_ONCE)
            except Exception as error:  # noqa: BLE001  Whatever it is, it is tried again.
                if self._trouble.is_news(repr(error)):
                    log.warning(
                        "limits are counted by each process alone",
                        action="limits_apart",
                        error=repr(error),
                    )
            else:
                if self._trouble.end():
                    log.info("limits are shared again", action="limits_shared")
