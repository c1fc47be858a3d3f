"""
Webhooks: endpoints of organizers as rows, what they were told, and whether it arrives.

What an organizer does is done in its transaction (`store.tenants`); the notifier reads where
messages go and what signs them, and says of an endpoint since when nothing arrives.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import asyncpg

from store import outbox
from store.sql import Executor, InTransaction, query

#: What an endpoint can be told of, each as its messages name it.
Kind = Literal[
    "event.published",
    "event.changed",
    "event.closed",
    "event.reopened",
    "event.cancelled",
    "booking.confirmed",
    "booking.changed",
    "booking.cancelled",
    "ticket.transferred",
    "ticket.checked_in",
    "ticket.check_in_undone",
    "waitlist.joined",
    "waitlist.offered",
    "waitlist.expired",
    "waitlist.left",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: What secrets are sealed for (`store.sealed`).
PURPOSE = "webhooks"
#: When the owners are told that nothing arrives, in seconds; after the last the endpoint is off.
WARNED_AFTER_S = (3_600, 86_400, 3 * 86_400)

Why = Literal["", "asked", "gone", "failing"]


class Endpoint(NamedTuple):
    """An endpoint as its organizer sees it."""

    id: str
    organizer_id: str
    url: str
    kinds: list[str]
    made_by: str
    created_at: dt.datetime
    disabled_at: dt.datetime | None
    disabled_why: Why
    #: Since when nothing has arrived.
    failing_since: dt.datetime | None
    #: Until when the secret before signs as well.
    before_until: dt.datetime | None


class Logged(NamedTuple):
    """What an endpoint was told, and how far that is."""

    number: int
    #: What names the message to its receiver.
    id: str
    kind: str
    event_id: str | None
    subject_id: str
    state: str
    attempts: int
    reason: str
    made_at: dt.datetime
    ended_at: dt.datetime | None
    next_attempt_at: dt.datetime | None


class Wanting(NamedTuple):
    """An endpoint that is told of an event, and of what."""

    event_id: str
    endpoint_id: str
    kinds: list[str]


class ToSend(NamedTuple):
    """Where a delivery goes now, and what names and orders it."""

    id: str
    organizer_id: str
    url: str
    sealed: bytes
    sealed_before: bytes | None
    is_off: bool
    message_id: str
    made_at: dt.datetime
    shard: int | None
    epoch: int | None
    seq: int | None


async def add(
    connection: InTransaction,
    *,
    own_id: str,
    organizer_id: str,
    url: str,
    kinds: Sequence[str],
    sealed: bytes,
    made_by: str,
) -> Endpoint | None:
    """Add an endpoint; None if there is no such organizer."""
    row = await connection.fetchrow(
        query("insert_webhook"), own_id, organizer_id, url, list(kinds), sealed, made_by
    )
    return None if row is None else Endpoint(**row)


async def count(database: Executor, organizer_id: str) -> int:
    """Return how many endpoints an organizer has."""
    found: int = await database.fetchval(query("count_webhooks"), organizer_id)
    return found


async def of_organizer(database: Executor, organizer_id: str) -> list[Endpoint]:
    """Return all endpoints of an organizer, the oldest first."""
    return [Endpoint(**row) for row in await database.fetch(query("webhooks_of"), organizer_id)]


async def by_id(connection: InTransaction, organizer_id: str, own_id: str) -> Endpoint | None:
    """Return an endpoint of an organizer, kept from others until the transaction's end."""
    row = await connection.fetchrow(query("webhook_by_id"), organizer_id, own_id)
    return None if row is None else Endpoint(**row)


async def change(
    connection: InTransaction,
    organizer_id: str,
    own_id: str,
    *,
    url: str | None,
    kinds: Sequence[str] | None,
    is_active: bool | None,
) -> Endpoint | None:
    """Change what is given of an endpoint; None if there is none such."""
    wanted = None if kinds is None else list(kinds)
    row = await connection.fetchrow(
        query("change_webhook"), organizer_id, own_id, url, wanted, is_active
    )
    return None if row is None else Endpoint(**row)


async def rotate(
    connection: InTransaction, organizer_id: str, own_id: str, sealed: bytes, *, both_s: int
) -> Endpoint | None:
    """Give an endpoint another secret; the one before signs as well for *both_s* seconds."""
    row = await connection.fetchrow(query("rotate_webhook"), organizer_id, own_id, sealed, both_s)
    return None if row is None else Endpoint(**row)


async def delete(connection: InTransaction, organizer_id: str, own_id: str) -> bool:
    """Forget an endpoint; return whether there was one."""
    found = await connection.fetchval(query("delete_webhook"), organizer_id, own_id)
    return found is not None


async def ping(connection: InTransaction, own_id: str) -> str:
    """Tell an endpoint that it is told; return what names the message."""
    message_id: str = await connection.fetchval(query("ping_webhook"), own_id)
    return message_id


async def redeliver(connection: InTransaction, own_id: str, message_id: str) -> bool:
    """Tell a message again; False if there is none such, or it is under way at this moment."""
    found = await connection.fetchval(query("redeliver_webhook"), own_id, message_id)
    return found is not None


async def redeliver_span(
    connection: InTransaction,
    own_id: str,
    since: dt.datetime,
    until: dt.datetime,
    *,
    only_failed: bool,
    most: int,
) -> int | None:
    """
    Tell again what an endpoint was first told in a time; return how many messages that are.

    Args:
        until: The first moment that is not in it.

        only_failed: Leave out what has arrived.

    Returns:
        None if they are more than *most*: then none is told again.
    """
    found: int | None = await connection.fetchval(
        query("redeliver_webhooks"), own_id, since, until, only_failed, most
    )
    return found


async def told(database: Executor, own_id: str, *, before: int, limit: int) -> list[Logged]:
    """Return a page of what an endpoint was told, the newest first, before a number."""
    rows = await database.fetch(query("webhook_log"), own_id, before, limit)
    return [Logged(**row) for row in rows]


async def wanting(database: Executor, event_ids: Sequence[str]) -> list[Wanting]:
    """Return the endpoints that are told of some events."""
    rows = await database.fetch(query("webhooks_wanting"), list(event_ids))
    return [Wanting(**row) for row in rows]


async def to_send(database: Executor, delivery_id: int) -> ToSend | None:
    """Return where a delivery goes now; None if its endpoint is gone."""
    row = await database.fetchrow(query("webhook_to_send"), delivery_id)
    return None if row is None else ToSend(**row)


async def note_arrived(database: Executor, own_id: str) -> None:
    """Note that something has arrived at an endpoint."""
    await database.execute(query("webhook_arrived"), own_id)


async def note_failed(database: Executor, own_id: str) -> None:
    """Note that something did not arrive at an endpoint."""
    await database.execute(query("webhook_failed"), own_id)


async def note_gone(pool: asyncpg.Pool, own_id: str) -> None:
    """Tell an endpoint nothing any more that says it is gone, and its owners so."""
    async with pool.acquire() as connection, connection.transaction():
        for row in await connection.fetch(query("webhook_gone"), own_id):
            await _tell_owners(connection, row, "organizer.webhook_off")


async def warn(pool: asyncpg.Pool) -> int:
    """
    Tell the owners of endpoints where nothing arrives, once at each time of `WARNED_AFTER_S`.

    After the last time the endpoint is told nothing any more. Any number of notifiers may ask.

    Returns:
        How many endpoints were told of.
    """
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(query("webhooks_failing"), list(WARNED_AFTER_S))
        for row in rows:
            kind = "organizer.webhook_off" if row["is_off"] else "organizer.webhook_failing"
            await _tell_owners(connection, row, kind)
    return len(rows)


async def _tell_owners(connection: InTransaction, row: asyncpg.Record, kind: str) -> None:
    """Write to the owners; of the address its host alone: the rest may be secret."""
    since = row["failing_since"]
    for owner in await connection.fetch(query("owners_to_tell"), row["organizer_id"]):
        payload = {
            "organizer_id": row["organizer_id"],
            "organizer_name": owner["organizer"],
            "webhook_id": row["id"],
            "host": row["url"].partition("://")[2].partition("/")[0].partition("?")[0],
            "since": "" if since is None else since.isoformat(timespec="seconds"),
        }
        await outbox.account_message(connection, kind, owner["user_id"], payload)


async def booking(database: Executor, event_id: str, own_id: str) -> asyncpg.Record | None:
    """Return what a message says of a booking, as the ledger has it now."""
    return await database.fetchrow(query("booking_of_webhook"), event_id, own_id)


async def ticket(database: Executor, event_id: str, own_id: str) -> asyncpg.Record | None:
    """Return what a message says of a ticket."""
    return await database.fetchrow(query("ticket_of_webhook"), event_id, own_id)


async def entry(database: Executor, event_id: str, own_id: str) -> asyncpg.Record | None:
    """Return what a message says of who waits."""
    return await database.fetchrow(query("entry_of_webhook"), event_id, own_id)


async def event(database: Executor, event_id: str) -> asyncpg.Record | None:
    """Return what a message says of an event."""
    return await database.fetchrow(query("event_of_webhook"), event_id)
