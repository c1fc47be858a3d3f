"""
Checkpoints held against the journal's own rows: where each epoch really ends in PostgreSQL.

Rows, journal and checkpoint move in one transaction, so the last row of `journal` ends where the
checkpoint is. If it does not, somebody has changed one of the two by hand. Before a checkpoint is
believed, by the persister or by a recovery, it is set to what the rows prove: one that is too low
would have records written twice, one that is too high would have acknowledged ones passed over (I4,
I7). What the rows do not prove is left alone, and `check` names it.
"""

from __future__ import annotations

from typing import NamedTuple

import asyncpg
import structlog

from store.sql import Executor, query

log = structlog.get_logger()


class Ends(NamedTuple):
    """Where an epoch ends: by its checkpoint, and by the journal's own rows."""

    last_seq: int
    end_seq: int

    @property
    def agree(self) -> bool:
        """Tell whether both say the same."""
        return self.last_seq == self.end_seq


async def read(database: Executor, shard: int, epoch: int) -> Ends | None:
    """Return where an epoch ends; None if it has no checkpoint."""
    row = await database.fetchrow(query("read_place"), shard, epoch)
    return None if row is None else Ends(row["last_seq"], row["end_seq"])


async def of_shard(database: Executor, shard: int, *, since: int | None) -> dict[int, Ends]:
    """
    Return where each epoch ends; of those before *since* the checkpoint is believed.

    Without it, of all but the last three.
    """
    rows = await database.fetch(query("places"), shard, since)
    return {row["epoch"]: Ends(row["last_seq"], row["end_seq"]) for row in rows}


async def adopt(database: Executor, shard: int, epoch: int) -> bool:
    """Make an epoch's checkpoint anew that is gone, if the journal has rows of it; else False."""
    return await database.fetchval(query("adopt_checkpoint"), shard, epoch) is not None


async def settle(
    connection: asyncpg.Connection, shard: int, epoch: int, *, dropped_seq: int | None
) -> Ends:
    """
    Set a checkpoint to the end of the journal's rows, if they prove it.

    Too low: the rows behind it follow each other without a gap. Too high: what is behind their end
    can still be read from Redis, and written again; or no other row was made by it.

    Atomicity: one transaction; compare-and-set.
    Idempotency: a checkpoint that agrees is left alone.
    Cost: four round trips, and reads the places of the epoch's rows.

    Args:
        connection: A connection of one's own; not in a transaction.

        dropped_seq: The last record that Redis's journal of the epoch has dropped; None if Redis
            cannot be asked for what it has.

    Returns:
        What is there now; still unlike if nothing proves what is right.
    """
    async with connection.transaction():
        row = await connection.fetchrow(query("lock_checkpoint"), shard, epoch)
        if row is None:
            return Ends(0, 0)
        last_seq = row["last_seq"]
        # A statement of its own: it sees whatever the lock has waited for.
        rows = await connection.fetchrow(query("rows_behind"), shard, epoch, last_seq)
        assert rows is not None, "the query always returns one row"
        end_seq = rows["end_seq"]
        ends = Ends(last_seq, end_seq)
        if ends.agree:
            return ends
        if end_seq > last_seq:
            first_seq = rows["first_seq"]
            is_proven = first_seq <= last_seq + 1 and rows["records"] == end_seq - first_seq + 1
        elif dropped_seq is not None:
            is_proven = dropped_seq <= end_seq
        else:
            # No row at all proves nothing: a shard that was sold from would be opened as a new one.
            is_proven = end_seq > 0 and not await connection.fetchval(
                query("has_made_behind"), shard, epoch, end_seq
            )
        # Without the epoch's first rows, their bytes are not all there: then only the place moves.
        total = rows["bytes"] if rows["begin_seq"] == 1 else None
        if is_proven:
            await connection.fetchval(
                query("set_checkpoint"), shard, epoch, last_seq, end_seq, total
            )
    log.error(
        "checkpoint is not where the journal ends",
        action="checkpoint_settled" if is_proven else "checkpoint_doubted",
        shard=shard,
        epoch=epoch,
        checkpoint_seq=last_seq,
        journal_end_seq=end_seq,
    )
    return Ends(end_seq, end_seq) if is_proven else ends
