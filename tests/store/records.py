"""Journal entries as the scripts write them, made by hand."""

from __future__ import annotations

from hashlib import sha1

import msgspec

from engine.ids import new_id
from engine.records import Booked, Cancelled, Detail, Entry, Item, Published, Record, Tier
from tests.checks import FAR_MS, make_booking_id

#: A moment in 2027, Unix ms.
AT_MS = 1_800_000_000_000


def entry(seq: int, record: Record) -> Entry:
    """Encode *record* with its check, as it stands in the stream."""
    body = msgspec.json.encode(record)
    return Entry(seq, record, sha1(body).hexdigest()[:8].encode() + body)  # noqa: S324


def entries(*records: Record, first_seq: int = 1) -> list[Entry]:
    """Number *records* from *first_seq* on."""
    return [entry(seq, record) for seq, record in enumerate(records, start=first_seq)]


def published(event_id: str, *capacities: int) -> Published:
    """Make the record of an event whose tiers have *capacities*."""
    tiers = [Tier(number, capacity, 100, 10) for number, capacity in enumerate(capacities, 1)]
    return Published(
        version=1,
        at_ms=AT_MS,
        event_id=event_id,
        fingerprint="p1",
        opens_at_ms=0,
        closes_at_ms=FAR_MS,
        person_max=10,
        tiers=tiers,
    )


def booked(
    event_id: str,
    *items: tuple[int, int, int],
    user_id: str | None = None,
    detail: Detail | None = None,
) -> Booked:
    """Make the record of a booking; one place for 100 if nothing is said."""
    user = user_id or new_id("usr")
    return Booked(
        version=1,
        at_ms=AT_MS,
        event_id=event_id,
        booking_id=make_booking_id(event_id, user, new_id("usr")),
        user_id=user,
        fingerprint="f",
        items=[Item(*item) for item in items or ((1, 1, 100),)],
        detail=detail or Detail(),
    )


def cancelled(record: Booked, *, at_ms: int = AT_MS + 1) -> Cancelled:
    """Make the record that ends a booking."""
    return Cancelled(
        version=1,
        at_ms=at_ms,
        event_id=record.event_id,
        booking_id=record.booking_id,
        user_id=record.user_id,
        items=record.items,
    )
