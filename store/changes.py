"""An organizer's direct changes of an event; what concerns its sale goes through the journal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import asyncpg

from store.sql import query


async def claim(
    pool: asyncpg.Pool,
    event_id: str,
    *,
    version: int,
    texts: Mapping[str, str | None],
    draft_closes_at: dt.datetime | None,
    draft_capacities: Mapping[int, int],
) -> bool:
    """
    Change an event, if it still has the version that the organizer has seen.

    Atomicity: one transaction. Of two changes at the same version one gets nothing.

    Args:
        texts: New name, description, category and venue; None leaves one as it is.

        draft_closes_at, draft_capacities: Taken by a draft alone; else Redis has the say.
    """
    async with pool.acquire() as connection, connection.transaction():
        claimed = await connection.fetchval(
            query("claim_version"),
            event_id,
            version,
            texts["name"],
            texts["description"],
            texts["category"],
            texts["venue"],
        )
        if claimed is None:
            return False
        await connection.execute(query("change_draft"), event_id, draft_closes_at)
        await connection.execute(
            query("change_draft_tiers"),
            event_id,
            list(draft_capacities),
            list(draft_capacities.values()),
        )
    return True
