"""
Messages in accounts: deliveries of the channel `account`, which are there with their row.

One follower at a time makes them (`notifier.follower`), so their numbers grow in the order in which
they are seen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import NamedTuple

from store.sql import Executor, query

#: Above every number.
NEWEST_ID = 2**63 - 1


class Notification(NamedTuple):
    """A message in an account."""

    id: int
    kind: str
    event_id: str | None
    subject_id: str
    written_at: dt.datetime
    #: From then on it says nothing that anybody needs.
    until: dt.datetime | None
    seen_at: dt.datetime | None
    #: Empty: of none, or one that is gone.
    event_name: str


async def of_person(
    database: Executor, user_id: str, *, before_id: int, limit: int
) -> list[Notification]:
    """Return a page of a person's messages, newest first."""
    rows = await database.fetch(query("notifications_of"), user_id, before_id, limit)
    return [Notification(**row) for row in rows]


async def count_unseen(database: Executor, user_id: str) -> int:
    """Return how many messages a person has not seen."""
    count: int = await database.fetchval(query("count_unseen"), user_id)
    return count


async def count_unseen_of_each(database: Executor, users: Collection[str]) -> dict[str, int]:
    """Return how many messages each of some people has not seen, where there are any."""
    rows = await database.fetch(query("count_unseen_of_each"), list(users))
    return {row["user_id"]: row["unread"] for row in rows}


async def see(database: Executor, user_id: str, number: int) -> bool:
    """Note that a person has seen a message; return whether there is such a one of theirs."""
    return await database.fetchrow(query("see_notification"), user_id, number) is not None


async def see_up_to(database: Executor, user_id: str, number: int) -> None:
    """Note that a person has seen all messages up to one."""
    await database.execute(query("see_notifications"), user_id, number)


async def new_behind(database: Executor, after_id: int, *, limit: int) -> list[tuple[int, str]]:
    """Return messages behind one, in order: number and person."""
    rows = await database.fetch(query("new_in_accounts"), after_id, limit)
    return [(row["id"], row["user_id"]) for row in rows]


async def last_id(database: Executor) -> int:
    """Return the number of the newest message of all; 0 if there is none."""
    number: int = await database.fetchval(query("last_in_accounts"))
    return number
