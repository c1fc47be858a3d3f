"""
Redo: acknowledged records that only a worker's memory still knows.

A worker that sees its shard fenced writes what it holds; recovery merges it into the ledger (F5,
F10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from store.sql import query

Executor = asyncpg.Connection | asyncpg.Pool


class Row(NamedTuple):
    """An acknowledged record at its place in the journal."""

    epoch: int
    seq: int
    #: As in the journal: check and JSON.
    record: str


async def write(database: Executor, *, shard: int, worker: str, rows: Sequence[Row]) -> None:
    """
    Keep what a worker knows to be acknowledged until recovery has merged it.

    Idempotency: by shard, epoch, seq and worker; may be repeated after any error.

    Args:
        worker: Unique name of the process.

        rows: At least one, in any order.
    """
    epochs, seqs, records = (list(column) for column in zip(*rows, strict=True))
    await database.execute(query("write_redo"), shard, worker, epochs, seqs, records)
