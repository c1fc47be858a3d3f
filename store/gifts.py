"""Gifts: tickets that wait for whoever proves an address."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import asyncpg

from engine.ids import new_id
from store import outbox
from store.sql import Executor, query


class Gift(NamedTuple):
    """A ticket that waits; it is its giver's until somebody takes it."""

    id: str
    event_id: str
    booking_id: str
    #: The ticket's within its booking.
    number: int
    giver_id: str
    email: str
    made_at: dt.datetime
    expires_at: dt.datetime
    #: None while it waits.
    taken_by: str | None
    #: Where it is listed.
    giver_name: str | None = None


async def offer(
    pool: asyncpg.Pool,
    *,
    event_id: str,
    booking_id: str,
    number: int,
    giver_id: str,
    email: str,
    expires_at: dt.datetime,
) -> tuple[Gift, bool]:
    """
    Offer a ticket to an address, and write the letter to it.

    One that waits for another address waits for this one from then on.

    Returns:
        The gift, and whether it was made before by the same request.

    Atomicity: one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        own_id = new_id("gift")
        made = await connection.fetchval(
            query("put_gift"), own_id, event_id, booking_id, number, giver_id, email, expires_at
        )
        row = await connection.fetchrow(query("gift_of_ticket"), booking_id, number)
        assert row is not None, "it is there, old or new"
        gift = Gift(**row)
        if made is not None:
            payload = {"to": email, "gift_id": gift.id, "event_id": event_id}
            await outbox.account_message(connection, "ticket.offered", giver_id, payload)
        return gift, made is None


async def of_person(
    database: Executor, user_id: str, *, before: tuple[dt.datetime, str], limit: int
) -> list[Gift]:
    """Return a page of the gifts that one made, or that wait for one, the latest first."""
    return [Gift(**row) for row in await database.fetch(query("gifts_of"), user_id, *before, limit)]


async def seen_by(database: Executor, gift_id: str, user_id: str) -> Gift | None:
    """Return a gift that waits, if a person made it or it waits for them."""
    row = await database.fetchrow(query("gift_seen"), gift_id, user_id)
    return None if row is None else Gift(**row)


async def waiting_for(database: Executor, gift_id: str, user_id: str) -> Gift | None:
    """Return a gift that a person may take, or has taken."""
    row = await database.fetchrow(query("gift_for"), gift_id, user_id)
    return None if row is None else Gift(**row)


async def note_taken(database: Executor, gift_id: str, user_id: str) -> None:
    """Note who has taken a gift."""
    await database.execute(query("take_gift"), gift_id, user_id)


async def end(database: Executor, gift_id: str, user_id: str) -> bool:
    """End a gift that waits, of who made it or for whom it is; False if there is no such."""
    return await database.fetchval(query("end_gift"), gift_id, user_id) is not None
