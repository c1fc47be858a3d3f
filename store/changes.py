"""An organizer's direct changes of an event; what concerns its sale goes through the journal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from store.sql import query
from store.tenants import Connection


async def alone(connection: Connection, event_id: str) -> None:
    """
    Let nobody else change the event by `change` until the transaction ends.

    What is read in it from now on holds until its end, but for what comes from the journal. No row
    is locked: the ledger writer waits for nobody, even if the caller asks Redis meanwhile.
    """
    await connection.execute(query("lock_event"), event_id)


async def change(
    connection: Connection,
    organizer_id: str,
    event_id: str,
    *,
    texts: Mapping[str, str | None],
    is_draft: bool,
    draft_closes_at: dt.datetime | None = None,
    draft_capacities: Mapping[int, int] | None = None,
) -> bool:
    """
    Change an event of an organizer, within the transaction of `alone`.

    Args:
        texts: New name, description, category and venue; None leaves one as it is.

        is_draft: Whether it must be a draft that nobody has begun to publish.

        draft_closes_at, draft_capacities: Of such a draft alone; else Redis has the say.

    Returns:
        False if the event is no such draft any more; then nothing is changed.
    """
    words = (texts["name"], texts["description"], texts["category"], texts["venue"])
    changed = await connection.fetchval(
        query("change_event"), event_id, *words, draft_closes_at, is_draft, organizer_id
    )
    if changed is None:
        return False
    if draft_capacities:
        await connection.execute(
            query("change_draft_tiers"),
            event_id,
            list(draft_capacities),
            list(draft_capacities.values()),
            organizer_id,
        )
    return True


async def begin_publishing(connection: Connection, organizer_id: str, event_id: str) -> None:
    """
    Note that a draft is being published: from now on nobody changes what will be loaded.

    May be repeated. To be called before the draft is read for the script, which may load it at any
    time after the transaction, whatever becomes of the caller.
    """
    await connection.execute(query("begin_publishing"), event_id, organizer_id)
