"""An organizer's direct changes of an event; what concerns its sale goes through the journal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

from store.sql import query
from store.tenants import Connection

#: What of an event is text, and may be changed at any time.
TEXTS = (
    "name",
    "description",
    "category",
    "venue",
    "slug",
    "summary",
    "image",
    "image_alt",
    "address",
    "place",
    "access_notes",
    "languages",
)


async def alone(connection: Connection, event_id: str) -> None:
    """
    Let nobody else change the event by `change` until the transaction ends.

    What is read in it from now on holds until its end, but for what comes from the journal. No row
    is locked: the ledger writer waits for nobody, even if the caller asks Redis meanwhile.
    """
    await connection.execute(query("lock_event"), event_id)


class Times(NamedTuple):
    """The times of an event."""

    timezone: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    doors_at: dt.datetime | None
    sale_opens_at: dt.datetime
    sale_closes_at: dt.datetime


class Doors(NamedTuple):
    """When the doors are to open from now on; None: that is not told."""

    at: dt.datetime | None


async def change(
    connection: Connection,
    organizer_id: str,
    event_id: str,
    *,
    texts: Mapping[str, str | None],
    doors: Doors | None = None,
    is_draft: bool,
    draft_closes_at: dt.datetime | None = None,
    draft_capacities: Mapping[int, int] | None = None,
    draft_pools: str = "",
) -> bool:
    """
    Change an event of an organizer, within the transaction of `alone`.

    Args:
        texts: New texts by the names of `TEXTS`; None, or a name left out, leaves one as it is.

        doors: Left as they are if None.

        is_draft: Whether it must be a draft that nobody has begun to publish.

        draft_closes_at, draft_capacities, draft_pools: Of such a draft alone; else Redis has the
            say. No pools: they stay.

    Returns:
        False if the event is no such draft any more; then nothing is changed.
    """
    changed = await connection.fetchval(
        query("change_event"),
        event_id,
        draft_closes_at,
        is_draft,
        doors is not None,
        doors and doors.at,
        *(texts.get(name) for name in TEXTS),
        organizer_id,
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
    if draft_pools:
        await connection.execute(query("change_draft_pools"), event_id, draft_pools, organizer_id)
    return True


async def move_draft(
    connection: Connection, organizer_id: str, event_id: str, times: Times
) -> None:
    """Change the times of a draft that nobody has begun to publish, within that transaction."""
    await connection.execute(query("move_draft"), event_id, *times, organizer_id)


async def move(connection: Connection, organizer_id: str, event_id: str, times: Times) -> None:
    """
    Change when an event that was published is, within the transaction of `alone`.

    The first start that was told is kept with it; when it is sold, the journal says.
    """
    await connection.execute(query("move_event"), event_id, *times[:4], organizer_id)


async def withdraw(connection: Connection, organizer_id: str, event_id: str) -> bool:
    """Take a cancelled event off view; False if it is none, or was taken off before."""
    return bool(await connection.fetchval(query("withdraw_event"), event_id, organizer_id))


async def begin_publishing(connection: Connection, organizer_id: str, event_id: str) -> None:
    """
    Note that a draft is being published: from now on nobody changes what will be loaded.

    May be repeated. To be called before the draft is read for the script, which may load it at any
    time after the transaction, whatever becomes of the caller.
    """
    await connection.execute(query("begin_publishing"), event_id, organizer_id)
