"""
Deliveries: what is to be told, one row for each channel and target, and its states.

docs/NOTIFICATIONS.md draws the states. A fact makes its deliveries once, however often it comes:
after a restart, a recovery, a repair. Guarantees: a delivery is made in the transaction that moves
the cursor past its fact; an attempt ends by the lease that made it alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import asyncpg

from store import outbox
from store.sql import Executor, InTransaction, columns, moment, query

#: Rows of the outbox that are taken at a time.
ROWS_MAX = 1_000

#: Bookings whose people are told of their event at a time.
BOOKINGS_MAX = 2_000

ChannelName = Literal["mail", "push", "webhook", "account"]
State = Literal["sent", "delayed", "unknown", "dead", "suppressed", "skipped"]


class Cursor(NamedTuple):
    """How far an epoch of the archive was followed."""

    shard: int
    epoch: int
    last_seq: int


class NewDelivery(NamedTuple):
    """A delivery to be made; in the order of `insert_deliveries`."""

    fact: str
    #: An address, an account, or what else its channel reaches.
    target: str
    kind: str
    lane: int
    user_id: str
    event_id: str | None
    subject_id: str
    booking_id: str | None
    outbox_id: int | None
    shard: int | None
    epoch: int | None
    seq: int | None
    until: dt.datetime | None
    channel: ChannelName = "mail"
    #: Of what few attempts are made at a time; of mail, the address's says it.
    domain: str = ""
    #: When it is to be sent; None: at once.
    due_at: dt.datetime | None = None


class TakenRow(NamedTuple):
    """A row of the outbox, whose deliveries are to be made."""

    id: int
    kind: str
    event_id: str | None
    user_id: str
    subject_id: str
    shard: int | None
    epoch: int | None
    seq: int | None
    mark: str
    until: dt.datetime | None
    #: An address, if it is not the account's.
    target: str


class WideRow(NamedTuple):
    """A row of the outbox that is for all who have bookings or tickets of its event."""

    id: int
    event_id: str


class Concerned(NamedTuple):
    """Somebody who is told of their event."""

    #: What they have: a booking, or a ticket of somebody else's.
    subject_id: str
    user_id: str
    #: None: a ticket that they were given.
    booking_id: str | None


class Delivery(NamedTuple):
    """One that is leased to whoever claimed it."""

    id: int
    fact: str
    target: str
    kind: str
    lane: int
    user_id: str
    event_id: str | None
    subject_id: str
    booking_id: str | None
    outbox_id: int | None
    #: The number of this one.
    attempts: int
    #: The attempt before was left by a worker that died.
    was_left: bool
    written_at: dt.datetime
    until: dt.datetime | None
    domain: str


class Recipient(NamedTuple):
    """Who an account is."""

    email: str
    name: str
    language: str
    #: Empty: they have told none.
    timezone: str
    is_erased: bool
    #: Somebody else has proved the address.
    is_anothers: bool


class Depth(NamedTuple):
    """What is due in a lane."""

    lane: int
    depth: int
    #: Since when the oldest is due, in ms.
    age_ms: int


class Dead(NamedTuple):
    """A delivery that waits for a human."""

    id: int
    channel: ChannelName
    kind: str
    user_id: str
    subject_id: str
    attempts: int
    reason: str
    ended_at: dt.datetime


class Sent(NamedTuple):
    """A letter that was handed in."""

    fact: str
    target: str
    #: Where it went, if the account has its address still.
    address: str


async def untold(database: Executor) -> list[Cursor]:
    """Return the epochs whose archive goes on behind what was followed."""
    return [Cursor(*row) for row in await database.fetch(query("untold_epochs"))]


async def read_told(database: Executor, place: Cursor, *, batches_max: int) -> outbox.Told:
    """Return what some batches of the archive behind a place give to tell."""
    return await outbox.read(
        database,
        shard=place.shard,
        epoch=place.epoch,
        after_seq=place.last_seq,
        batches_max=batches_max,
    )


async def note_told(connection: InTransaction, place: Cursor) -> None:
    """Move the cursor of an epoch; within the transaction that makes the deliveries before it."""
    await connection.execute(query("note_told"), *place)


async def take_outbox(connection: InTransaction) -> list[TakenRow]:
    """Take some rows of the outbox, in order; within the transaction that makes deliveries."""
    rows = await connection.fetch(query("take_outbox"), ROWS_MAX)
    return sorted(TakenRow(**row) for row in rows)


async def wide_row(connection: InTransaction) -> WideRow | None:
    """Return the oldest row of the outbox that is for all of an event; None if there is none."""
    row = await connection.fetchrow(query("wide_row"))
    return None if row is None else WideRow(**row)


async def concerned(
    connection: InTransaction, row: WideRow, after_id: str
) -> tuple[list[Concerned], str]:
    """
    Return who is told by such a row, of some bookings behind *after_id*; take it after the last.

    Returns:
        Them, and behind which booking to go on; empty: all are told.
    """
    found = await connection.fetch(query("concerned"), row.event_id, after_id, BOOKINGS_MAX)
    people = sorted(Concerned(**one) for one in found)
    booking_ids = [one.booking_id for one in people if one.booking_id is not None]
    if len(booking_ids) == BOOKINGS_MAX:
        return people, max(booking_ids)
    await connection.execute(query("take_row"), row.id)
    return people, ""


async def add(
    connection: InTransaction, new: Sequence[NewDelivery], ended: Sequence[tuple[str, str]]
) -> None:
    """
    Make deliveries, and take back those that the end of a booking makes needless.

    Args:
        ended: Bookings that ended, each with the target that is told so.

    Idempotency: what is there already, by fact and target, stays as it is.
    """
    await connection.execute(
        query("insert_deliveries"), *columns(new, width=len(NewDelivery._fields))
    )
    if ended:
        await connection.execute(query("supersede"), *columns(ended))


async def claim(
    database: Executor,
    channel: ChannelName,
    number: int,
    *,
    lease_ms: int,
    busy: Mapping[str, int],
    domain_max: int,
) -> list[Delivery]:
    """
    Lease the next deliveries of a channel: lane by lane, of each booking in order.

    Args:
        number: How many at most.
        lease_ms: When another may take them, in ms from now.
        busy: How many are under way to each domain.
        domain_max: How many may be, of one domain.
    """
    busy_now = list(busy), list(busy.values())
    rows = await database.fetch(
        query("claim_deliveries"), channel, number, lease_ms, *busy_now, domain_max
    )
    return [Delivery(**row) for row in rows]


async def end_attempt(
    database: Executor, delivery: Delivery, state: State, reason: str = "", *, after_ms: int = 0
) -> bool:
    """
    Say how an attempt ended; return whether its lease was still good.

    Args:
        reason: Codes and words of ours; no text of a server, which may name people.
        after_ms: When it is tried again, in ms from now.
    """
    row = await database.fetchrow(
        query("end_attempt"), delivery.id, delivery.attempts, state, reason, after_ms
    )
    if row is not None and row["outbox_id"] is not None and state == "sent":
        await database.execute(query("note_sent"), row["outbox_id"])
    return row is not None


async def recipient(database: Executor, user_id: str) -> Recipient | None:
    """Return who an account is; None if there is none."""
    row = await database.fetchrow(query("recipient"), user_id)
    return None if row is None else Recipient(**row)


async def why_suppressed(database: Executor, address: str) -> str | None:
    """Return why nothing is sent to an address; None: it may be."""
    reason: str | None = await database.fetchval(query("suppression"), address)
    return reason


async def suppress(database: Executor, address: str, reason: str) -> None:
    """Send nothing to an address any more, until its owner proves it anew."""
    await database.execute(query("suppress"), address, reason)


async def event_of(database: Executor, event_id: str) -> asyncpg.Record | None:
    """Return what a message says of an event."""
    return await database.fetchrow(query("event_to_tell"), event_id)


async def booking_of(database: Executor, event_id: str, booking_id: str) -> asyncpg.Record | None:
    """Return a booking as it is now, and whether its person was not told of it yet."""
    return await database.fetchrow(query("booking_to_tell"), event_id, booking_id)


async def ticket_of(database: Executor, event_id: str, ticket_id: str) -> asyncpg.Record | None:
    """Return tier and seat of a ticket."""
    return await database.fetchrow(query("ticket_to_tell"), event_id, ticket_id)


async def entry_of(database: Executor, event_id: str, entry_id: str) -> asyncpg.Record | None:
    """Return tier, places and state of who waits."""
    return await database.fetchrow(query("entry_to_tell"), event_id, entry_id)


async def lines_of(database: Executor, event_id: str, booking_id: str) -> list[asyncpg.Record]:
    """Return what a booking has: tier, quantity, price and seats of each line."""
    rows: list[asyncpg.Record] = await database.fetch(query("lines_to_tell"), event_id, booking_id)
    return rows


async def payload(database: Executor, outbox_id: int) -> str | None:
    """Return what a row of the outbox says, as JSON; None if it is gone."""
    text: str | None = await database.fetchval(query("outbox_payload"), outbox_id)
    return text


async def beat(database: Executor) -> None:
    """Note that a notifier works."""
    await database.execute(query("beat"))


async def is_off(database: Executor) -> bool:
    """Tell whether nobody sends what is to be sent; `/readyz` says so."""
    off: bool = await database.fetchval(query("is_notifier_off"))
    return off


async def depths(database: Executor) -> list[Depth]:
    """Return what is due in each lane."""
    return [Depth(**row) for row in await database.fetch(query("delivery_depths"))]


async def dead(database: Executor, limit: int) -> list[Dead]:
    """Return deliveries that wait for a human, the oldest first."""
    return [Dead(**row) for row in await database.fetch(query("dead_deliveries"), limit)]


async def count_dead(database: Executor) -> int:
    """Return how many deliveries wait for a human."""
    count: int = await database.fetchval(query("count_dead"))
    return count


async def retry(database: Executor, ids: Sequence[int] | None) -> int:
    """Send dead deliveries again, or all that are; return how many."""
    return len(await database.fetch(query("retry_dead"), ids))


async def discard(database: Executor, ids: Sequence[int], reason: str) -> int:
    """Give dead deliveries up; return how many."""
    return len(await database.fetch(query("discard_dead"), ids, f"discarded: {reason}"))


def until_of(notice: outbox.Notice) -> dt.datetime | None:
    """Return from when on a notice says nothing that anybody needs."""
    return moment(notice.until_ms) if notice.until_ms else None


async def sent_to(database: Executor, number: int) -> Sent | None:
    """Return a letter that was handed in; None if there is none, or it was given up since."""
    row = await database.fetchrow(query("sent_to"), number)
    return None if row is None else Sent(**row)


async def note_bounce(database: Executor, number: int, reason: str) -> None:
    """Give a letter up that was handed in and came back."""
    await database.execute(query("note_bounce"), number, reason)
