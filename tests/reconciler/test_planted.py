"""Drift that needs history or limits to be seen: planted in real stores, found, and named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine import keys
from engine.commands import TierStock
from engine.ids import booking_of_hold, hold_id, new_id
from engine.records import (
    Booked,
    CapacitySet,
    Confirmed,
    Expired,
    Extended,
    Held,
    Item,
    Record,
    Released,
    TierCapacity,
    encode,
    frame,
)
from tests.checks import FAR_MS, ask, make_booking_id
from tests.reconciler.conftest import PERSON_MAX, BoxOffice, Sold


async def append(office: BoxOffice, *records: Record) -> int:
    """Append records as a script would, whatever they say; return the first one's seq."""
    seq = int(await ask(office.redis, "HGET", keys.meta(office.shard), "seq"))
    for number, record in enumerate(records, start=seq + 1):
        text = frame([encode(record)])
        await ask(office.redis, "XADD", office.journal, f"{number}-1", "records", text)
        await ask(office.redis, "HSET", keys.meta(office.shard), "seq", number)
    return seq + 1


class Maker:
    """Makes records of one hold of one person."""

    def __init__(self, event_id: str) -> None:
        self.event = event_id
        self.user = new_id("usr")
        self.hold = hold_id(event_id=event_id, user_id=self.user, idempotency_key="k")
        self.booking = booking_of_hold(self.hold)
        self._same: dict[str, Any] = {"version": 1, "at_ms": 1_000, "event_id": event_id}

    def held(self, quantity: int = 2) -> Held:
        """Set places of tier 1 aside until 2 000 ms."""
        return Held(
            **self._same,
            hold_id=self.hold,
            user_id=self.user,
            fingerprint="p",
            items=[Item(1, quantity, 2500)],
            expires_at_ms=2_000,
        )

    def released(self) -> Released:
        """Give them back."""
        return Released(
            **self._same, hold_id=self.hold, user_id=self.user, items=[Item(1, 2, 2500)]
        )

    def expired(self) -> Expired:
        """End them at 1 000 ms."""
        return Expired(**self._same, hold_id=self.hold, user_id=self.user, items=[Item(1, 2, 2500)])

    def extended(self, to_ms: int) -> Extended:
        """Move the deadline."""
        return Extended(**self._same, hold_id=self.hold, user_id=self.user, expires_at_ms=to_ms)

    def confirmed(self, *, was_expired: bool = False) -> Confirmed:
        """Make a booking of them."""
        return Confirmed(
            **self._same,
            hold_id=self.hold,
            booking_id=self.booking,
            user_id=self.user,
            fingerprint="p",
            items=[Item(1, 2, 2500)],
            was_expired=was_expired,
        )

    def booked(self, quantity: int) -> Booked:
        """Take places of tier 1 at once."""
        return Booked(
            **self._same,
            booking_id=self.booking,
            user_id=self.user,
            fingerprint="p",
            items=[Item(1, quantity, 2500)],
        )


def by(record: Record, user_id: str) -> Record:
    """Return the record as somebody else's."""
    return msgspec.structs.replace(record, user_id=user_id)


async def found_after(sold: Sold, *records: Record) -> dict[str, list[tuple[Any, ...]]]:
    """Persist what is left and *records*, check, and return what each finding names."""
    first = await append(sold.office, *records)
    await sold.office.drain_all()
    return {
        code: [
            (v.invariant, v.event_id, v.tier_no, v.booking_id, (v.seq or 0) - first)
            for v in violations
        ]
        for code, violations in (await sold.found()).items()
    }


async def test_i10_hold_that_ends_twice(sold: Sold) -> None:
    """I10: what was given back cannot be given back again: places would appear from nowhere."""
    maker = Maker(sold.event.event_id)
    found = await found_after(sold, maker.held(), maker.released(), maker.released())
    assert [("I10", sold.event.event_id, 1, None, 2)] == found["ended_without_hold"]


async def test_i10_hold_that_is_made_twice(sold: Sold) -> None:
    """I10: a live hold is not made once more."""
    maker = Maker(sold.event.event_id)
    found = await found_after(sold, maker.held(), maker.held())
    assert [("I10", sold.event.event_id, 1, None, 1)] == found["held_twice"]


async def test_i10_hold_that_expires_early(sold: Sold) -> None:
    """I10: a hold lasts until its deadline."""
    maker = Maker(sold.event.event_id)
    found = await found_after(sold, maker.held(), maker.expired())
    assert [("I10", sold.event.event_id, 1, None, 1)] == found["expired_early"]


async def test_i10_deadline_that_goes_back(sold: Sold) -> None:
    """I10, I14: a deadline moves forward only, and only of a live hold."""
    maker = Maker(sold.event.event_id)
    found = await found_after(
        sold, maker.held(), maker.extended(1_500), maker.released(), maker.extended(9_000)
    )
    assert [("I10", sold.event.event_id, 1, None, 1)] == found["deadline_went_back"]
    assert [("I10", sold.event.event_id, None, None, 3)] == found["extended_without_hold"]


async def test_i11_hold_that_is_used_twice(sold: Sold) -> None:
    """I11: a hold becomes a booking once; the second is named."""
    maker = Maker(sold.event.event_id)
    found = await found_after(sold, maker.held(), maker.released(), maker.confirmed())
    assert [("I11", sold.event.event_id, 1, maker.booking, 2)] == found["confirmed_without_hold"]


async def test_i11_hold_of_another(sold: Sold) -> None:
    """I11: nobody but its owner confirms a hold."""
    maker = Maker(sold.event.event_id)
    found = await found_after(sold, maker.held(), by(maker.confirmed(), new_id("usr")))
    assert [("I11", sold.event.event_id, 1, maker.booking, 1)] == found["hold_of_another"]


async def test_i1_oversold_at_some_moment(sold: Sold) -> None:
    """I1: more places taken than there are is found in history, with the booking that did it."""
    maker = Maker(sold.event.event_id)
    # Six places of it are taken: one more is too much.
    full = CapacitySet(version=1, at_ms=1, event_id=maker.event, tiers=[TierCapacity(1, 6)])
    found = await found_after(sold, full, maker.booked(1))
    assert [("I1", sold.event.event_id, 1, maker.booking, 1)] == found["oversold_then"]


async def test_i12_limit_of_a_person(sold: Sold) -> None:
    """I12: a person with more places of a tier than one may have is found by their booking."""
    event = await sold.office.add_event(tiers=(TierStock(100, 2500, 10, 0, 2),))
    maker = Maker(event.event_id)
    found = await found_after(sold, maker.booked(3))
    assert [("I12", event.event_id, 1, maker.booking, 0)] == found["limit_exceeded"]


async def test_i12_limit_of_an_event(sold: Sold) -> None:
    """I12: the places of all tiers count for the event's limit."""
    event = await sold.office.add_event()
    makers = [Maker(event.event_id) for _ in range(PERSON_MAX // 10 + 1)]
    buyer = makers[0].user
    found = await found_after(sold, *(by(maker.booked(10), buyer) for maker in makers))
    [(invariant, event_id, *_)] = found["limit_exceeded"]
    assert ("I12", event.event_id) == (invariant, event_id)


async def test_i6_id_of_another_event(sold: Sold) -> None:
    """I6: a booking whose id was derived for another event is named."""
    other = make_booking_id("evt_" + "0" * 26, new_id("usr"), "k")
    record = msgspec.structs.replace(Maker(sold.event.event_id).booked(1), booking_id=other)
    found = await found_after(sold, record)
    assert [("I6", sold.event.event_id, 1, other, 0)] == found["id_of_another_event"]


async def test_i5_phantom(sold: Sold) -> None:
    """I5: a booking in PostgreSQL that no record made is nobody's wish."""
    office, ghost = sold.office, make_booking_id(sold.event.event_id, new_id("usr"), "ghost")
    await office.database.execute(
        "INSERT INTO bookings (id, event_id, user_id, status, version, total_minor, shard, epoch,"
        " seq, created_at, fingerprint) VALUES ($1, $2, 'usr_x', 'confirmed', 1, 0, $3, 1, 1,"
        " now(), 'f')",
        ghost,
        sold.event.event_id,
        office.shard,
    )
    found = await sold.found()
    assert [("I5", ghost)] == [(v.invariant, v.booking_id) for v in found["row_without_record"]]


async def test_i14_row_beyond_its_checkpoint(sold: Sold) -> None:
    """I14: a row of a record that PostgreSQL has not reached is named."""
    await sold.office.database.execute(
        "UPDATE bookings SET seq = 900 WHERE id = $1", sold.bookings[1]
    )
    [violation] = (await sold.found())["row_beyond_checkpoint"]
    assert ("I14", sold.event.event_id, 2, sold.bookings[1], 5, 900) == (
        violation.invariant,
        violation.event_id,
        violation.tier_no,
        violation.booking_id,
        violation.expected,
        violation.found,
    )


async def test_i13_records_of_an_epoch_that_was_never_opened(sold: Sold) -> None:
    """I13: a shard whose row is behind its own records is found."""
    await sold.office.database.execute(
        "INSERT INTO shard_checkpoint (shard, epoch, last_seq) VALUES ($1, 7, 1)", sold.office.shard
    )
    [violation] = (await sold.found())["epoch_behind"]
    assert ("I13", 7, 1) == (violation.invariant, violation.expected, violation.found)


async def test_f31_trimmed_beyond_the_checkpoint(sold: Sold) -> None:
    """F31, I7: Redis has trimmed what PostgreSQL does not have: it went back in time."""
    await ask(sold.office.redis, "HSET", keys.meta(sold.office.shard), "trimmed_seq", 7)
    [violation] = (await sold.found())["trimmed_ahead"]
    assert ("I7", 5, 7) == (violation.invariant, violation.expected, violation.found)


async def test_f58_a_hold_that_ends_before_it_was_made(sold: Sold) -> None:
    """F58: one that a clock made which was set back since may end before its deadline."""
    maker = Maker(sold.event.event_id)
    back = msgspec.structs.replace(maker.expired(), at_ms=500)
    found = await found_after(sold, maker.held(), back)
    assert "expired_early" not in found


@pytest.mark.parametrize("wait", ["late", "in time"])
async def test_clean_confirmations(sold: Sold, wait: str) -> None:
    """A confirmation in time, and one of an expired hold whose places are taken anew, are legal."""
    maker = Maker(sold.event.event_id)
    late = msgspec.structs.replace(maker.expired(), at_ms=2_500)
    records: list[Record] = (
        [maker.held(), late, maker.confirmed(was_expired=True)]
        if wait == "late"
        else [maker.held(), maker.extended(FAR_MS), maker.confirmed()]
    )
    found = await found_after(sold, *records)
    illegal = {
        "ended_without_hold",
        "held_twice",
        "expired_early",
        "deadline_went_back",
        "confirmed_without_hold",
        "hold_of_another",
        "oversold_then",
    }
    assert set() == illegal & set(found)
