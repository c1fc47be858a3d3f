"""I3, I8: tickets that are given back by name or seat, the same in records, rows and Redis."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from engine import keys
from engine.commands import CancelItem, Own, Transfer
from engine.ids import new_id
from engine.outcomes import Applied, Booked
from engine.records import ItemCancelled
from reconciler.event.derive import derive
from reconciler.event.snapshot import read_quiet
from reconciler.tell.explain import explain
from tests.checks import ask, journal, make_booking_id
from tests.reconciler.conftest import BoxOffice
from tests.reconciler.recovering import content, recover, wipe
from tests.reconciler.test_seats import book, open_hall


class Given(NamedTuple):
    """A hall and a general event, of which tickets were given back."""

    hall: str
    event: str
    buyer: str
    friend: str
    #: Of the general event.
    booking: str


async def give_back(office: BoxOffice) -> Given:
    """Cut bookings by seat, by ticket and by quantity; sell a seat again, and end two bookings."""
    hall, event = await open_hall(office), (await office.add_event()).event_id
    buyer, other, friend = new_id("usr"), new_id("usr"), new_id("usr")
    shard, engine = office.shard, office.engine
    assert isinstance(await book(office, hall, buyer, "a", "s1-2+s1-3+s2-1"), Booked)
    assert isinstance(await book(office, hall, other, "a", "s2-3+s2-4"), Booked)
    seated, ended = (make_booking_id(hall, user, "a") for user in (buyer, other))
    replies: list[Any] = [
        await engine.cancel_item(shard, CancelItem(hall, seated, buyer, 1, (), ("s1-3",))),
        await book(office, hall, other, "b", "s1-3"),
        await engine.cancel_item(shard, CancelItem(hall, seated, buyer, 2, (), (1,))),
        await engine.cancel_item(shard, CancelItem(hall, ended, other, 1, (), (1,))),
        await engine.cancel(shard, Own(hall, ended, other)),
    ]
    own = await office.book(event, buyer, "k", (1, 3), (2, 2))
    replies += [
        await engine.transfer(shard, Transfer(event, own, 3, buyer, friend)),
        await engine.cancel_item(shard, CancelItem(event, own, buyer, 1, ((1, 1),))),
        await engine.cancel_item(shard, CancelItem(event, own, buyer, 2, (), (4, 1))),
    ]
    assert [True] * len(replies) == [isinstance(one, Applied | Booked) for one in replies]
    return Given(hall, event, buyer, friend, own)


@pytest.mark.parametrize("records_max", [1, 3, 1_000])
async def test_i8_named_tickets_in_any_batches(office: BoxOffice, records_max: int) -> None:
    """I3, I8: at every step both stores agree, and Redis is rebuilt from the rows to the letter."""
    given = await give_back(office)
    while True:
        result = await office.check()
        assert ([], []) == (result.violations, result.errors)
        if not await office.drain(records_max=records_max):
            break
    seats = await office.database.fetch(
        "SELECT seat_id FROM tickets WHERE event_id = $1 AND is_live ORDER BY seat_id", given.hall
    )
    assert ["s1-3", "s2-1"] == [row["seat_id"] for row in seats]
    before = await content(office)
    await wipe(office)
    await recover(office)
    after = await content(office)
    assert before == after
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


async def test_drifted_names_are_found(office: BoxOffice) -> None:
    """Another ticket in Redis, or in PostgreSQL, than the record names is drift."""
    given = await give_back(office)
    await office.drain()
    names = keys.event(office.shard, given.event)
    row = await ask(office.redis, "HGET", names.bookings, given.booking)
    assert b"#2/" in row
    await ask(office.redis, "HSET", names.bookings, given.booking, row.replace(b"#2/", b"#3/"))
    assert {"booking_differs"} == await office.codes()
    await ask(office.redis, "HSET", names.bookings, given.booking, row.replace(b"=2 ", b""))
    assert "value_unreadable" in await office.codes()
    await ask(office.redis, "HSET", names.bookings, given.booking, row)
    assert set() == await office.codes()
    change = "UPDATE bookings SET cuts = replace(cuts, '#2/', '#3/') WHERE id = $1"
    await office.database.execute(change, given.booking)
    assert {"row_differs", "booking_differs"} <= await office.codes()


async def test_names_are_derived_and_told(office: BoxOffice) -> None:
    """What Redis keeps tells the records again; a story names the tickets, to buyer and friend."""
    given = await give_back(office)
    made = {
        entry.seq: entry.record
        for entry in await journal(office.redis, office.shard)
        if isinstance(entry.record, ItemCancelled)
    }
    assert 5 == len(made)
    found = {}
    for event_id in (given.hall, given.event):
        for one in derive(await read_quiet(office.redis, office.shard, event_id), None, {}, []):
            if isinstance(one.record, ItemCancelled):
                assert one.place is not None
                found[one.place[1]] = one.record
    assert made == found
    story = await explain(office.servers, given.booking)
    assert ["item_cancelled", "item_cancelled"] == [line.kind for line in story.lines][-2:]
    assert "tickets 1, 4" in story.lines[-1].text
    assert ["transferred"] == [
        line.kind
        for line in (await explain(office.servers, given.friend, shard=office.shard)).lines
    ]
