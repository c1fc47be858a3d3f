"""
Reigns: who may act on a shard, and under which epoch, as rows of `shard_epoch`.

Every step is a compare-and-set, so that of any number of coordinators at most one gets on (F41).
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from store.sql import Executor, query

#: Time a claim lasts unless it is renewed; another coordinator may take the shard after it. Safety
#: never rests on it: whoever lost the claim can change nothing (F41).
CLAIM_LEASE = dt.timedelta(seconds=10)


class ReignRow(NamedTuple):
    """A shard's row: `state` is recovering, open or frozen."""

    epoch: int
    state: str
    nonce: str
    redis_run_id: str
    redis_replid: str
    #: The last record that a fenced worker had seen acknowledged; 0 if none has said.
    seen_seq: int
    #: Whether the ledger got records from workers since the shard was last opened.
    has_merged: bool
    reason: str


async def read(database: Executor, shard: int) -> ReignRow | None:
    """Return the shard's row, or None if no coordinator has ever claimed it."""
    row = await database.fetchrow(query("read_reign"), shard)
    return None if row is None else ReignRow(**row)


async def horizon(database: Executor, shard: int, epoch: int) -> tuple[int, bool]:
    """Return the last record that PostgreSQL has of *epoch* (-1: none), and whether it reigns."""
    row = await database.fetchrow(query("horizon"), shard, epoch)
    assert row is not None, "the query always returns one row"
    return row["last_seq"], row["is_open"]


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
    database: Executor, shard: int, *, epoch: int, holder: str, redis_run_id: str, redis_replid: str
) -> bool:
    """Publish the shard as open; False if the claim was lost meanwhile."""
    row = await database.fetchval(
        query("open_reign"), shard, epoch, holder, redis_run_id, redis_replid
    )
    return row is not None


async def note_seen(
    database: Executor, shard: int, *, epoch: int, seen_seq: int, has_lost: bool
) -> None:
    """
    Say what a worker that was fenced has seen, so that recovery does not open over its loss.

    Idempotency: repeating changes nothing; an epoch that is long over is left alone.

    Args:
        seen_seq: The last record seen acknowledged in *epoch*.

        has_lost: Redis has shown that it has fewer: shut the shard, since it may look well to
            everybody else.
    """
    await database.execute(query("note_seen"), shard, epoch, seen_seq)
    if has_lost:
        reason = f"a worker saw record {seen_seq} acknowledged, and Redis has it no more"
        await database.execute(query("doubt_reign"), shard, epoch, reason)


async def freeze(database: Executor, shard: int, *, epoch: int, holder: str, reason: str) -> bool:
    """Leave the shard shut until a human has looked; False if the claim was lost meanwhile."""
    row = await database.fetchval(query("freeze_reign"), shard, epoch, holder, reason)
    return row is not None


async def renew(database: Executor, shard: int, *, epoch: int, holder: str) -> bool:
    """Keep a claim for another `CLAIM_LEASE`; False if it was lost."""
    row = await database.fetchval(query("renew_claim"), shard, epoch, holder, CLAIM_LEASE)
    return row is not None


async def release(database: Executor, shard: int, *, epoch: int, holder: str) -> None:
    """Give up a claim, so that the next recovery may begin at once; nothing if it was lost."""
    await database.execute(query("release_claim"), shard, epoch, holder)


async def thaw(database: Executor, shard: int) -> bool:
    """Let coordinators try a frozen shard again; False if it is not frozen."""
    return await database.fetchval(query("thaw_reign"), shard) is not None


async def raise_epoch(
    database: Executor, shard: int, *, epoch: int, holder: str, to_epoch: int
) -> bool:
    """Lift a claim to a later epoch (F31); False if the claim was lost meanwhile."""
    row = await database.fetchval(query("raise_epoch"), shard, epoch, holder, to_epoch)
    return row is not None
