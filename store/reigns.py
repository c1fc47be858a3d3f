"""
Reigns: who may act on a shard, and under which epoch, as rows of `shard_epoch`.

Every step is a compare-and-set, so that of any number of coordinators at most one gets on (F41).
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import asyncpg

from store.sql import query

#: Time a claim lasts; another coordinator may take the shard after it.
CLAIM_LEASE = dt.timedelta(seconds=30)

Executor = asyncpg.Connection | asyncpg.Pool


class ReignRow(NamedTuple):
    """A shard's row: `state` is recovering, open or frozen."""

    epoch: int
    state: str
    nonce: str
    redis_run_id: str
    reason: str


async def read(database: Executor, shard: int) -> ReignRow | None:
    """Return the shard's row, or None if no coordinator has ever claimed it."""
    row = await database.fetchrow(query("read_reign"), shard)
    return None if row is None else ReignRow(**row)


async def claim(
    database: Executor, shard: int, *, seen: ReignRow | None, holder: str, nonce: str
) -> int | None:
    """
    Claim the shard for recovery.

    Args:
        seen: The row on which the decision to claim rests.

        holder: Unique name of this recovery.

        nonce: Marks the scripts of the reign to come.

    Returns:
        The new epoch, or None if another coordinator was faster.
    """
    if seen is None:
        epoch: int | None = await database.fetchval(
            query("first_claim"), shard, holder, CLAIM_LEASE, nonce
        )
    else:
        epoch = await database.fetchval(
            query("claim"), shard, seen.epoch, holder, CLAIM_LEASE, nonce
        )
    return epoch


async def publish_open(
    database: Executor, shard: int, *, epoch: int, holder: str, redis_run_id: str
) -> bool:
    """Publish the shard as open; False if the claim was lost meanwhile."""
    row = await database.fetchval(query("open_reign"), shard, epoch, holder, redis_run_id)
    return row is not None


async def freeze(database: Executor, shard: int, *, epoch: int, holder: str, reason: str) -> bool:
    """Leave the shard shut until a human has looked; False if the claim was lost meanwhile."""
    row = await database.fetchval(query("freeze_reign"), shard, epoch, holder, reason)
    return row is not None


async def thaw(database: Executor, shard: int) -> bool:
    """Let the coordinator take a frozen shard up again; False if it is not frozen."""
    return await database.fetchval(query("thaw_reign"), shard) is not None
