"""
The outbox: what is to be told to people, and since when it is true (I19, F44).

The journal's archive is the outbox: a batch of it is written in the transaction that makes its
records true, in order and once, so whoever tells people follows it with a cursor of their own and
needs no second row per booking (docs/decisions/0016). A message then never speaks of a booking that
a fault took back. What has no record stands in a row of the table `outbox`: what accounts are told,
written with the fact; and what comes into the archive behind such a cursor, the mended record of a
quarantine.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import asyncpg
import msgspec

from engine.ids import entry_of_offer, ticket_id
from engine.records import (
    Amended,
    Booked,
    Cancelled,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Closed,
    Confirmed,
    Entry,
    EventCancelled,
    Expired,
    ItemCancelled,
    Joined,
    Left,
    Offered,
    Published,
    Record,
    Released,
    Reopened,
    Transferred,
    examine,
)
from store.sql import Executor, InTransaction, moment, query

BATCHES_MAX = 100

_OFFER_PREFIX = "offer_"
_OF_EVENTS: Mapping[type, str] = {
    Published: "event.published",
    Amended: "event.changed",
    CapacitySet: "event.changed",
    Closed: "event.closed",
    Reopened: "event.reopened",
    EventCancelled: "event.cancelled",
}
#: Users, as they stand in a record.
_USER = re.compile(r"usr_\w+")


class Notice(NamedTuple):
    """Somebody to be told, of what."""

    #: `booking.confirmed`, `waitlist.offered` and the like (docs/DATA.md).
    kind: str
    event_id: str
    #: Empty: its organizer alone is told, who wants to be (`store.webhooks`).
    user_id: str
    #: Booking, ticket, entry, hold or event.
    subject_id: str
    #: The record that made it true.
    seq: int
    #: Tells it from others of its kind about the same subject and person, such as a version.
    mark: str = ""
    #: From then on it says nothing that anybody needs, Unix ms; 0: always does.
    until_ms: int = 0


class Message(NamedTuple):
    """A row of the table `outbox`, without what the letter says."""

    id: int
    kind: str
    event_id: str | None
    user_id: str
    subject_id: str
    #: Whether no row of a lower id can come any more.
    is_settled: bool


class Told(NamedTuple):
    """Notices of some batches of the archive, in order."""

    notices: list[Notice]
    #: The last record looked at: where to read on.
    last_seq: int


async def read(
    database: Executor,
    *,
    shard: int,
    epoch: int,
    after_seq: int,
    batches_max: int = BATCHES_MAX,
    about: AbstractSet[str] | None = None,
) -> Told:
    """
    Return what the records of an epoch behind *after_seq* give to tell, each once.

    Cost: one query; each record is decoded once more, but for those that name nobody of *about*:
    they are only searched for names.

    Args:
        after_seq: The last record that was looked at; 0 to begin.

        batches_max: Batches of the persister that are read at most, each of up to some thousand
            records.

        about: Users who are to be told; None: everybody.
    """
    notices = []
    last_seq = after_seq
    for row in await database.fetch(query("archive_after"), shard, epoch, after_seq, batches_max):
        last_seq = row["last_seq"]
        if not _names(row["records"], about):
            continue
        for seq, line in enumerate(row["records"].split("\n"), start=row["first_seq"]):
            if seq > after_seq and _names(line, about):
                record = examine(line.encode())
                # A mark stands for a record in quarantine: `put` has it when it is mended.
                if not isinstance(record, str):
                    found = notices_of(seq, record)
                    notices += [one for one in found if about is None or one.user_id in about]
    return Told(notices, last_seq)


async def messages(database: Executor, after_id: int, *, limit: int) -> list[Message]:
    """Return rows behind one, in order; some of lower ids may come after those of the last 10 s."""
    rows = await database.fetch(query("outbox_after"), after_id, limit)
    return [Message(*row) for row in rows]


async def settled_id(database: Executor) -> int:
    """Return the newest row before which none can come any more; 0 if there is none."""
    found: int = await database.fetchval(query("outbox_settled"))
    return found


async def ends(database: Executor) -> dict[int, tuple[int, int]]:
    """Return how far the archive of each shard goes: epoch and last record, by shard."""
    rows = await database.fetch(query("newest_checkpoints"))
    return {row["shard"]: (row["epoch"], row["last_seq"]) for row in rows}


def _names(text: str, users: AbstractSet[str] | None) -> bool:
    """Tell whether records may concern somebody of *users*; 5 ms for a batch of 4 000."""
    return users is None or not users.isdisjoint(_USER.findall(text))


async def put(connection: asyncpg.Connection, shard: int, epoch: int, entry: Entry) -> None:
    """Write what a record gives to tell that came into the archive behind its readers."""
    for notice in notices_of(entry.seq, entry.record):
        until = moment(notice.until_ms) if notice.until_ms else None
        await connection.execute(
            query("insert_outbox"), *notice[:4], shard, epoch, notice.seq, notice.mark, until
        )


async def account_message(
    connection: InTransaction,
    kind: str,
    user_id: str,
    payload: Mapping[str, str],
    *,
    secret_until: dt.datetime | None = None,
) -> None:
    """
    Write what an account is to be told, with the fact itself.

    Args:
        kind: `account.verify` and the like (docs/DATA.md).

        user_id: Whom it is about.

        payload: What the letter says; `to` is the address that it goes to, if that is not the
            account's; `token` is a secret.

        secret_until: Until when the secret opens anything: then it is taken out of the row.

    Atomicity: within the caller's transaction.
    """
    text = msgspec.json.encode(dict(payload)).decode()
    await connection.execute(query("insert_account_message"), kind, user_id, text, secret_until)


async def event_changed(
    connection: InTransaction, event_id: str, payload: Mapping[str, str]
) -> None:
    """
    Write that an event has changed, for all who have bookings or tickets of it, with the fact.

    One row, whoever they are: the notifier finds them (`store.deliveries.concerned`).

    Args:
        payload: What letters say of how it was before.

    Atomicity: within the caller's transaction, which is its organizer's.
    """
    text = msgspec.json.encode(dict(payload)).decode()
    await connection.execute(query("insert_event_changed"), event_id, text)


def notices_of(seq: int, record: Record) -> list[Notice]:
    """Return whom *record* concerns, and with what: each once, and nobody if none need be told."""
    told, mark, until_ms = _of_people(record)
    notices = [
        Notice(kind, record.event_id, who, subject, seq, mark, until_ms)
        for kind, who, subject in told
    ]
    for_organizer = _of_organizer(record)
    if for_organizer:
        # It may happen to one subject again, and not all of them have a version.
        kind, subject = for_organizer
        notices.append(Notice(kind, record.event_id, "", subject, seq, str(record.at_ms)))
    return notices


def _of_organizer(record: Record) -> tuple[str, str] | None:
    """Return kind and subject of what nobody but the organizer need be told; None: nothing."""
    found: tuple[str, str] | None = None
    match record:
        case Published() | Closed() | Reopened() | EventCancelled() | Amended() | CapacitySet():
            found = _OF_EVENTS[type(record)], record.event_id
        case CheckedIn():
            found = "ticket.checked_in", record.ticket_id
        case CheckInUndone():
            found = "ticket.check_in_undone", record.ticket_id
        case Joined():
            found = "waitlist.joined", record.entry_id
        case Left():
            found = "waitlist.left", record.entry_id
        case Released() if record.hold_id.startswith(_OFFER_PREFIX):
            found = "waitlist.left", entry_of_offer(record.hold_id)
        case _:
            pass
    return found


def _of_people(record: Record) -> tuple[list[tuple[str, str, str]], str, int]:
    """Return kind, person and subject of what people are told; its mark, and until when."""
    told: list[tuple[str, str, str]] = []
    mark, until_ms = "", 0
    match record:
        case Booked() | Confirmed():
            told.append(("booking.confirmed", record.user_id, record.booking_id))
        case Cancelled():
            kind = "event.cancelled" if record.reason else "booking.cancelled"
            told.append((kind, record.user_id, record.booking_id))
        case ItemCancelled():
            mark = str(record.booking_version)
            told.append(("booking.changed", record.user_id, record.booking_id))
        case Transferred():
            mark = str(record.ticket_version)
            told.append(("ticket.transferred", record.holder_id, record.ticket_id))
            told.append(("ticket.given", record.by, record.ticket_id))
        case Offered():
            mark, until_ms = record.hold_id, record.expires_at_ms
            told.append(("waitlist.offered", record.user_id, record.entry_id))
        case Expired() if record.hold_id.startswith(_OFFER_PREFIX):
            told.append(("waitlist.expired", record.user_id, entry_of_offer(record.hold_id)))
        case Left() if record.why != "owner":
            told.append((f"waitlist.{record.why}", record.user_id, record.entry_id))
        case Released() if record.reason and record.hold_id.startswith(_OFFER_PREFIX):
            entry_id = entry_of_offer(record.hold_id)
            told.append((f"waitlist.{record.reason}", record.user_id, entry_id))
        case Released() if record.reason:
            told.append(("event.cancelled", record.user_id, record.hold_id))
        case _:
            pass
    if isinstance(record, Cancelled | ItemCancelled):
        # Who was given a ticket of it does not see the booking, and is told of the ticket.
        told += [
            ("ticket.cancelled", holder.user_id, ticket_id(record.booking_id, holder.number))
            for holder in record.holders
        ]
    return told, mark, until_ms
