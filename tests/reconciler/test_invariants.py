"""The invariants without servers: what a reading after the watermark may and may not show."""

from __future__ import annotations

import pytest

from engine.records import Published, Tier
from engine.values import Booking, parse_booking
from reconciler.event.state import EventState, Sale
from reconciler.event.view import EventView, Row, ShardView
from reconciler.event.violation import Broken, BrokenRecords
from reconciler.judge.check import judge_event
from reconciler.judge.contents import check_bookings
from store.audit import EventRow, TierRow

EVENT = "evt_" + "0" * 26
KEPT, LATE, NEW = (f"bk_{'0' * 10}{letter * 16}" for letter in "abc")
USER = "usr_" + "0" * 26

SHARD = ShardView(
    shard=0,
    reign=(3, "open"),
    meta={"epoch": "3"},
    epoch=3,
    watermark_seq=10,
    checkpoint_seq=10,
    checkpoint_after_seq=10,
    stream_last_seq=0,
    tail_records=0,
    broken=BrokenRecords([]),
    has_published_events=True,
)


def booking(epoch: int, seq: int, quantity: int, *, cancel_seq: int | None = None) -> Booking:
    """Return a booking of one tier, cancelled in epoch 3 if so asked."""
    text = f" 3 {cancel_seq} 7" if cancel_seq else ""
    head = "cancelled 2" if cancel_seq else "confirmed 1"
    return parse_booking(f"{head} {epoch} {seq} 5 {USER} f 1:{quantity}:100{text}".encode())


def view(*, count: int, bookings: dict[str, Booking]) -> EventView:
    """Return an event whose ledger has KEPT (2 places) and LATE (3 places)."""
    expected = {KEPT: booking(2, 99, 2), LATE: booking(3, 9, 3)}
    counters = {
        "capacity": 10,
        "available": 5,
        "held": 0,
        "sold": 5,
        "blocked": 0,
        "price_minor": 100,
        "order_max": 10,
    }
    stock = {
        "fingerprint": "p1",
        "at_ms": 5,
        "opens_at_ms": 1,
        "closes_at_ms": 2,
        "person_max": 9,
        "tier_count": 1,
        "epoch": 2,
        "seq": 1,
    } | {f"1.{name}": value for name, value in counters.items()}
    rows = {
        key: Row(
            total_minor=100 * known.places,
            shard=0,
            tickets=tuple(f"tkt_{key[3:]}_{n + 1}:1" for n in range(known.places)),
        )
        for key, known in expected.items()
    }
    published = Published(1, 5, EVENT, "p1", 1, 2, 9, [Tier(1, 10, 100, 10)])
    return EventView(
        shard=SHARD,
        event_id=EVENT,
        row=EventRow(EVENT, 0, "published"),
        tiers=[TierRow(EVENT, 1, "tier_1", 100, 10, 10)],
        state=EventState(sale=Sale(published, 2, 1), bookings=expected),
        rows=rows,
        orphans=[],
        is_listed=True,
        stock={k: str(v) for k, v in stock.items()},
        persons={USER: count},
        bookings=bookings,
        unreadable=[],
        seq_after=13,
    )


LATER = {
    KEPT: booking(2, 99, 2),
    LATE: booking(3, 9, 3, cancel_seq=12),
    NEW: booking(3, 11, 4, cancel_seq=13),
}


@pytest.mark.parametrize("count", [5, 9, 6, 2])
def test_later_changes_are_no_drift(count: int) -> None:
    """A count may include any first part of what happened after the watermark."""
    seen = view(count=count, bookings=LATER)
    assert [] == judge_event(seen)


@pytest.mark.parametrize("count", [0, 4, 7, 13])
def test_other_counts_are_drift(count: int) -> None:
    """A count that no moment explains is drift."""
    found = judge_event(view(count=count, bookings=LATER))
    assert [("person_differs", 5, count)] == [(v.code, v.expected, v.found) for v in found]


def test_cancelled_without_record() -> None:
    """A cancellation up to the watermark that no record made is drift."""
    bookings = {KEPT: booking(2, 99, 2), LATE: booking(3, 9, 3, cancel_seq=10)}
    found = check_bookings(view(count=5, bookings=bookings))
    assert {"booking_differs"} == {v.code for v in found}
    assert {"status", "version", "cancelled_at_ms"} == {v.subject for v in found}


def test_new_booking_without_record() -> None:
    """A booking up to the watermark that no record made is lost to PostgreSQL."""
    bookings = LATER | {NEW: booking(3, 10, 4)}
    found = check_bookings(view(count=5, bookings=bookings))
    assert [("I4", "booking_lost", NEW)] == [(v.invariant, v.code, v.booking_id) for v in found]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"confirmed",
        b"held 1 1 1 1 u f 1:1:1",
        b"confirmed 1 1 1 1 u f 1:1",
        b"confirmed 1 x 1 1 u f 1:1:1",
        b"cancelled 2 1 1 1 u f 1:1:1",
        b"confirmed 1 1 1 1 u f 1:1:1 1 1 1",
        b"\xff",
    ],
)
def test_unreadable(value: bytes) -> None:
    """A value of any other form than the scripts write is refused."""
    with pytest.raises(ValueError, match="not a booking"):
        parse_booking(value)


def test_broken_records_by_place() -> None:
    """A range holds its ends, of its own epoch."""
    one, two = (Broken(1, 5, 7, "c", "journal", ""), Broken(2, 1, 1, "c", "stream", ""))
    broken = BrokenRecords([two, one])
    assert [None, one, one, None, None, two, None] == [
        broken.at(*place) for place in ((1, 4), (1, 5), (1, 7), (1, 8), (2, 0), (2, 1), (2, 2))
    ]
