"""
The list of events as ids: what visitors find, by start.

Lists and searches read `event_search`, a narrow table that triggers keep beside `events`; the rows
of a page are read afterwards, by id. A search walks the list from its place on, which is short for
what is common; what it has not found by `WALK_MAX` is rare enough for the index of words. So no
estimate of the planner decides, and none that is wrong costs a walk along a million events.
"""

from __future__ import annotations

import datetime as dt

from store.sql import Executor, query

#: Events that a search walks along. A walk costs as much as fetching so many by their words, and
#: finds a page of 21 of what one in 200 events has; of a million, fewer than 5 000 have the rest.
WALK_MAX = 4_000
#: Rows that are taken away in one transaction, and events that are looked at in one.
FORGET_ROWS = 2_000
MEND_ROWS = 500


async def find(
    database: Executor,
    *,
    after: tuple[dt.datetime, str],
    starts_before: dt.datetime | None = None,
    text: str | None = None,
    category: str | None = None,
    place: str | None = None,
    limit: int,
) -> list[str]:
    """
    Return the ids of a page of events that visitors may see and that are not over, by start.

    Those that are drafts still have their publishing begun; whether it is done, Redis knows.

    Args:
        after: Start and id of the event behind which the page begins.

        text: Words that must all be there; the last may be the beginning of one.
    """
    at = (*after, starts_before, limit)
    wanted = (text, category, place)
    if wanted == (None, None, None):
        return [row["event_id"] for row in await database.fetch(query("events_after"), *at)]
    rows = await database.fetch(query("events_near"), *at, *wanted, WALK_MAX)
    found = [row["event_id"] for row in rows]
    if len(found) < limit:
        at = (*after, starts_before, limit - len(found))
        rows = await database.fetch(query("events_far"), *at, *wanted, WALK_MAX)
        found += [row["event_id"] for row in rows]
    return found


async def forget_over(database: Executor) -> int:
    """Take up to `FORGET_ROWS` events that are over out of the list; return how many there were."""
    done: str = await database.execute(query("forget_over_events"), FORGET_ROWS)
    return int(done.rpartition(" ")[2])


async def mend(database: Executor, after_id: str) -> tuple[str | None, int]:
    """
    Bring the list to what the next `MEND_ROWS` events by id are.

    Returns:
        The last of them, None after the last of all; and how many were listed wrongly, or not.
    """
    row = await database.fetchrow(query("mend_list"), after_id, MEND_ROWS)
    assert row is not None
    return row["last"], row["mended"]
