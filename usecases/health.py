"""How the whole stands, for its operator: what sells, what lags, what was proved, what is wrong."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import NamedTuple

from engine.errors import EngineError
from store import damage, deliveries, drift, outbox, reigns
from usecases.services import Services

#: How long what was wrong and is no more is told.
TOLD = dt.timedelta(days=1)
#: How long a shard is waited for, in seconds: one that hangs must not hang the page.
PATIENCE_S = 1.0


class ShardCondition(NamedTuple):
    """How a shard stands."""

    shard: int
    home: str
    #: `open`, `recovering` or `frozen`, by its row; whether its Redis answers under that reign.
    state: str
    is_heard: bool
    reason: str
    #: Since when the row says so; None while nobody has opened it.
    since: dt.datetime | None
    #: Records that PostgreSQL does not have yet; None if nobody can tell.
    lag: int | None
    #: Seconds since the continuous check has gone through all of it; None: it has not.
    proved_s: float | None

    @property
    def sells(self) -> bool:
        """Whether places on it can be had."""
        return self.state == "open" and self.is_heard


class Condition(NamedTuple):
    """How the whole stands."""

    shards: list[ShardCondition]
    #: What the check knows to be wrong now, and what was within `TOLD`.
    drift: list[drift.Drift]
    #: Events that have lost keys within `TOLD`.
    losses: list[damage.Damage]
    dead_letters: int

    @property
    def is_open(self) -> bool:
        """Whether all that is on sale can be had."""
        return bool(self.shards) and all(one.sells for one in self.shards)

    @property
    def paused_since(self) -> dt.datetime | None:
        """Return since when something cannot be had, as far as that is known."""
        return min((one.since for one in self.shards if not one.sells and one.since), default=None)


async def read(services: Services) -> Condition:
    """
    Return how the whole stands. Reads rows, and asks each shard for its last record.

    For admins alone: who shows it has to ask who they are.
    """
    pool = services.pools.organizers
    archived, watched = await outbox.ends(pool), await drift.watched(pool)
    proved = {one.shard: one.passed_s for one in watched}
    since = await reigns.changes(pool)

    async def look(row: reigns.ShardRow) -> ShardCondition:
        last = await _last(services, row.shard)
        epoch, seq = archived.get(row.shard, (0, 0))
        reason, at = since.get(row.shard, ("", None))
        lag = None
        if last is not None:
            lag = max(0, last[1] - (seq if epoch == last[0] else 0))
        return ShardCondition(
            row.shard, row.home, row.state, last is not None, reason, at, lag, proved.get(row.shard)
        )

    return Condition(
        list(await asyncio.gather(*(look(row) for row in await reigns.shards(pool)))),
        await drift.lately(pool, TOLD),
        await damage.lately(pool, TOLD),
        await deliveries.count_dead(pool),
    )


async def _last(services: Services, shard: int) -> tuple[int, int] | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await services.engine.last(shard)
    except (EngineError, TimeoutError):
        return None
