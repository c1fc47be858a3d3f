"""
The list of events as ids: what visitors find, by start.

Lists and searches read `event_search`, a narrow table that triggers keep beside `events`; the rows
of a page are read afterwards, by id. A search walks the list from its place on, which is short for
what is common. What it has not found by `WALK_MAX`, the index of words finds: of the next 8 to 16
days, and if the page is not full then, of all. So it fetches some hundred rows, however common or
rare a word is, as long as it is spread evenly; and no estimate of the planner decides.
"""

from __future__ import annotations

import datetime as dt

from store.sql import Executor, query

#: Events that a search walks along: finds a page of 21 of what one in 48 events has. Of a million
#: in a year, the next days have a page of what one in 1 000 has; of what is rarer there are 1 000.
WALK_MAX = 1_000
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
    wanted = (text, category, place)
    if wanted == (None, None, None):
        rows = await database.fetch(query("events_after"), *after, starts_before, limit)
        return [row["event_id"] for row in rows]
    rows = await database.fetch(
        query("events_near"), *after, starts_before, limit, *wanted, WALK_MAX
    )
    near = [row["event_id"] for row in rows]
    if len(near) == limit:
        return near
    end = await database.fetchrow(query("end_of_walk"), *after, starts_before, WALK_MAX)
    if end is None:
        return near
    for is_soon in (True, False):  # What is found soon is found again, and is less than a page.
        rows = await database.fetch(
            query("events_far"), *end, starts_before, limit - len(near), *wanted, is_soon
        )
        if len(near) + len(rows) == limit:
            break
    return near + [row["event_id"] for row in rows]


async def find_of_organizer(
    database: Executor, organizer_id: str, *, after: tuple[dt.datetime, str], limit: int
) -> list[str]:
    """Return the ids of a page of an organizer's events, as `find` does."""
    rows = await database.fetch(query("events_of_seller"), *after, None, limit, organizer_id)
    return [row["event_id"] for row in rows]


async def ends_of_parts(database: Executor, size: int) -> list[tuple[dt.datetime, str]]:
    """
    Return start and id of the last event of each full part of the list.

    Cost: O(listed events), over an index alone.
    """
    rows = await database.fetch(query("ends_of_parts"), size)
    return [(row["starts_at"], row["event_id"]) for row in rows]


async def part(
    database: Executor, *, after: tuple[dt.datetime, str], size: int
) -> list[tuple[str, str, str]]:
    """Return id, slug (or nothing) and name of the events of a part of the list."""
    rows = await database.fetch(query("part_of_list"), *after, size)
    return [(row["event_id"], row["slug"], row["name"]) for row in rows]


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
