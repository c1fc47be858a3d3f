"""The journal as PostgreSQL keeps it: the text of each record, by its place."""

from __future__ import annotations

from store.sql import Executor, query


async def records(
    database: Executor, *, shard: int, epoch: int, first_seq: int, last_seq: int
) -> dict[int, str]:
    """
    Return records of one epoch by seq, as they were journalled: check and JSON.

    Cost: one query; whole batches of the persister are read, and those outside left out.
    """
    rows = await database.fetch(query("journal_records"), shard, epoch, first_seq, last_seq)
    return {
        seq: text
        for row in rows
        for seq, text in enumerate(row["records"].split("\n"), start=row["first_seq"])
        if first_seq <= seq <= last_seq
    }
