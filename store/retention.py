"""What was kept long enough, found and deleted in bounded steps, each its own transaction."""

from __future__ import annotations

import datetime as dt

from store.sql import Executor, query

ROWS_PER_STEP = 1_000


async def events_over(database: Executor, before: dt.datetime) -> set[str]:
    """Return the ids of events that were over before a moment."""
    return {row["id"] for row in await database.fetch(query("events_over"), before)}


async def count_outbox(database: Executor, before: dt.datetime) -> int:
    """Return how many messages were sent before a moment, or written and never sent."""
    count: int = await database.fetchval(query("count_outbox"), before)
    return count


async def prune_outbox(database: Executor, before: dt.datetime) -> int:
    """Delete some messages that were sent before a moment, or written and not; return how many."""
    return _count(await database.execute(query("prune_outbox"), before, ROWS_PER_STEP))


async def count_order_notes(database: Executor, before: dt.datetime) -> int:
    """Return how many notes on orders there are of events that were over before a moment."""
    count: int = await database.fetchval(query("count_order_notes"), before)
    return count


async def blank_order_notes(database: Executor, before: dt.datetime) -> int:
    """Take the words of some notes on orders of such events; return how many."""
    return _count(await database.execute(query("blank_order_notes"), before, ROWS_PER_STEP))


async def count_deliveries(database: Executor, before: dt.datetime) -> int:
    """Return how many deliveries had ended before a moment, in whatever way."""
    count: int = await database.fetchval(query("count_deliveries"), before)
    return count


async def prune_deliveries(database: Executor, before: dt.datetime) -> int:
    """Delete some deliveries that had ended before a moment; return how many."""
    return _count(await database.execute(query("prune_deliveries"), before, ROWS_PER_STEP))


async def count_reminders(database: Executor, before: dt.datetime) -> int:
    """Return how many wishes and plans there are of reminders whose time was before a moment."""
    count: int = await database.fetchval(query("count_reminders"), before)
    return count


async def prune_reminders(database: Executor, before: dt.datetime) -> int:
    """Delete some such wishes and plans; return how many."""
    wishes = _count(await database.execute(query("prune_sale_reminders"), before, ROWS_PER_STEP))
    plans = _count(await database.execute(query("prune_reminder_plans"), before, ROWS_PER_STEP))
    return wishes + plans


async def count_invitations(database: Executor, before: dt.datetime) -> int:
    """Return how many invitations to teams had ended before a moment."""
    count: int = await database.fetchval(query("count_invitations"), before)
    return count


async def prune_invitations(database: Executor, before: dt.datetime) -> int:
    """Delete some invitations to teams that had ended before a moment; return how many."""
    return _count(await database.execute(query("prune_invitations"), before, ROWS_PER_STEP))


async def count_idempotency_keys(database: Executor, before: dt.datetime) -> int:
    """Return how many idempotency keys had run out before a moment."""
    count: int = await database.fetchval(query("count_idempotency_keys"), before)
    return count


async def prune_idempotency_keys(database: Executor, before: dt.datetime) -> int:
    """Delete some idempotency keys that had run out before a moment; return how many."""
    return _count(await database.execute(query("prune_idempotency_keys"), before, ROWS_PER_STEP))


async def last_day_of_acts(database: Executor, before: dt.datetime) -> dt.date | None:
    """Return the last sealed day before a moment, if there are acts that old."""
    day: dt.date | None = await database.fetchval(query("last_day_of_acts"), before)
    return day


async def count_acts(database: Executor, last_day: dt.date) -> int:
    """Return how many acts there are up to a day."""
    count: int = await database.fetchval(query("count_acts_until"), last_day)
    return count


async def prune_acts(database: Executor, last_day: dt.date) -> int:
    """Delete some acts up to a day; return how many. The owner of the tables alone may."""
    return _count(await database.execute(query("prune_acts"), last_day, ROWS_PER_STEP))


def _count(tag: str) -> int:
    """Return how many rows PostgreSQL says it has changed: `DELETE 3`."""
    return int(tag.rpartition(" ")[2])
