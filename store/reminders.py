"""
Reminders: who wishes to be told before a sale opens, and how far the reminders of events were made.

A plan is of an event, a kind and the time that the event, or the opening of its sale, had then:
another time is another plan, and a plan that is done is never made again.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, NamedTuple

from store.sql import Executor, InTransaction, query

Moment = Literal["start", "opening"]


class Plan(NamedTuple):
    """Reminders of an event that are being made."""

    event_id: str
    #: When the event starts, or its sale opens, as long as nobody changes that.
    planned_for: dt.datetime
    #: The last ticket or person that was looked at.
    last_id: str


async def ask(database: Executor, event_id: str, user_id: str, *, most: int) -> bool:
    """Note that a person wishes to know of a sale; False if they wish that of as many as may be."""
    is_noted: bool = await database.fetchval(query("ask_sale_reminder"), event_id, user_id, most)
    return is_noted


async def end(database: Executor, event_id: str, user_id: str) -> None:
    """Forget that a person wished to know of a sale."""
    await database.execute(query("end_sale_reminder"), event_id, user_id)


async def is_asked(database: Executor, event_id: str, user_id: str) -> bool:
    """Tell whether a person wishes to know of a sale."""
    found: bool = await database.fetchval(query("has_sale_reminder"), event_id, user_id)
    return found


async def due(
    database: Executor,
    moment: Moment,
    kind: str,
    *,
    lead: dt.timedelta,
    latest: dt.timedelta,
    now: dt.datetime | None = None,
) -> Plan | None:
    """
    Return the next plan whose time has come and is not over; None if there is none.

    Cost: one query of an index, of the events within *lead*.

    Args:
        lead: How long before the moment people are reminded.

        latest: How long before it nobody is any more.

        now: None: as the database says.
    """
    lead_ms, latest_ms = (round(one.total_seconds() * 1000) for one in (lead, latest))
    text = query("due_by_start") if moment == "start" else query("due_by_opening")
    row = await database.fetchrow(text, now, kind, lead_ms, latest_ms)
    return None if row is None else Plan(**row)


async def who_asked(database: Executor, event_id: str, after_id: str, *, limit: int) -> list[str]:
    """Return some who wish to know of a sale, in order."""
    rows = await database.fetch(query("sale_reminders_of"), event_id, after_id, limit)
    return [row["user_id"] for row in rows]


async def note(connection: InTransaction, plan: Plan, kind: str, *, is_done: bool) -> None:
    """Note how far a plan was made; within the transaction that makes its deliveries."""
    await connection.execute(query("note_planned"), plan[0], kind, *plan[1:], is_done)
