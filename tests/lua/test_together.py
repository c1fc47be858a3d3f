"""Where the features meet: seats and the waitlist, cuts, capacities, check-in, cancelled events."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from engine.commands import CancelItem, Join, Own, Scan, SetCapacity
from engine.emptier import Emptier
from engine.engine import Engine
from engine.ids import entry_id, new_id, offer_of_entry
from engine.outcomes import Applied, Booked, Refused
from engine.seats import Section, named
from engine.status import Status
from engine.values import Hold
from tests.checks import rows_of, stock
from tests.lua.hall import Hall

OFFER_TTL_MS = 600_000
#: Tiers of the hall: seats, then general places.
SEATED, GENERAL = 1, 2


@pytest.fixture
async def hall(engine: Engine, redis: Redis, shard: int) -> Hall:
    """Return a hall of four seats in one row, and a general tier of three places."""
    hall = Hall(engine, redis, shard)
    await hall.open(Section(1, SEATED, (4,)), general=(3,), person_max=10)
    return hall


async def join(hall: Hall, tier_no: int, quantity: int) -> Join:
    """Let somebody new wait for places of a tier."""
    user = new_id("usr")
    own_id = entry_id(event_id=hall.event, user_id=user, idempotency_key="w")
    command = Join(
        hall.event, own_id, user, "f", tier_no, quantity, "strict", 60_000, OFFER_TTL_MS, 100
    )
    assert isinstance(await hall.engine.join(hall.shard, command), Applied)
    return command


async def offer_of(hall: Hall, waiting: Join) -> Hold | None:
    """Return the offer that an entry has, or had."""
    return await hall.engine.read_hold(hall.shard, hall.event, offer_of_entry(waiting.id))


async def available(hall: Hall, tier_no: int) -> int:
    """Return what is free of a tier."""
    return (await stock(hall.redis, hall.shard, hall.event))[tier_no].available


async def test_cancelled_seats_are_offered_and_accepted(hall: Hall, user: str) -> None:
    """I2, I9: seats that a cancellation frees are held for the head of the list, then sold."""
    await hall.book(user, (SEATED, 2, named(["s1-1", "s1-2"])), key="a")
    await hall.book(user, (SEATED, 2, named(["s1-3", "s1-4"])), key="b")
    first, second = await join(hall, SEATED, 2), await join(hall, SEATED, 1)
    await hall.engine.cancel(hall.shard, hall.own(user, key="b"))

    offer = await offer_of(hall, first)
    assert offer is not None
    assert [("s1-3", "s1-4")] == [item.seat_ids for item in offer.items]
    assert ["sshh"] == await hall.statuses()
    assert None is await offer_of(hall, second)
    own = Own(hall.event, offer_of_entry(first.id), first.user_id)
    assert isinstance(await hall.engine.confirm(hall.shard, own), Booked)
    assert ["ssss"] == await hall.statuses()
    await hall.check()


async def test_declined_seats_go_to_the_next(hall: Hall, user: str) -> None:
    """Complaint 10: a declined offer is over; its seats are offered to the next at once."""
    await hall.book(user, (SEATED, 4, named(["s1-1", "s1-2", "s1-3", "s1-4"])))
    first, second = await join(hall, SEATED, 3), await join(hall, SEATED, 1)
    await hall.engine.cancel(hall.shard, hall.own(user))
    own = Own(hall.event, offer_of_entry(first.id), first.user_id)
    assert isinstance(await hall.engine.release(hall.shard, own), Applied)

    offer = await offer_of(hall, second)
    assert offer is not None
    assert "held" == offer.status
    assert 3 == await available(hall, SEATED)
    await hall.check()


async def test_nobody_overtakes_the_list_of_a_seated_tier(hall: Hall, user: str) -> None:
    """I9: while somebody waits, free seats are not sold past them, named or best available."""
    await hall.book(user, (SEATED, 2, named(["s1-1", "s1-2"])), key="a")
    await hall.book(user, (SEATED, 2, named(["s1-3", "s1-4"])), key="b")
    await join(hall, SEATED, 3)
    await hall.engine.cancel(hall.shard, hall.own(user, key="b"))
    replies = [
        await hall.book(new_id("usr"), (SEATED, 1, "s1-3")),
        await hall.book(new_id("usr"), (SEATED, 1)),
    ]

    assert [Status.KEPT_FOR_WAITLIST] * 2 == [r.status for r in replies if isinstance(r, Refused)]
    assert ["ssff"] == await hall.statuses()


async def test_seats_apart_are_offered_where_there_are_no_others(hall: Hall, user: str) -> None:
    """A waiting party gets seats in pieces rather than none, and side by side if it can."""
    await hall.book(user, (SEATED, 2, named(["s1-1", "s1-3"])), key="a")
    await hall.book(user, (SEATED, 2, named(["s1-2", "s1-4"])), key="b")
    waiting = await join(hall, SEATED, 2)
    await hall.engine.cancel(hall.shard, hall.own(user, key="a"))

    offer = await offer_of(hall, waiting)
    assert offer is not None
    assert [{"s1-1", "s1-3"}] == [set(item.seat_ids) for item in offer.items]
    assert ["hshs"] == await hall.statuses()
    await hall.check()


async def test_accessible_seats_are_not_offered(
    engine: Engine, redis: Redis, shard: int, user: str
) -> None:
    """Seats kept back do not count for those who wait: they stay free, and the head waits on."""
    hall = Hall(engine, redis, shard)
    await hall.open(Section(1, SEATED, (3,), "100"), person_max=10)
    await hall.book(user, (SEATED, 1, "s1-1"), key="a")
    await hall.book(user, (SEATED, 2, named(["s1-2", "s1-3"])), key="b")
    waiting = await join(hall, SEATED, 1)
    await hall.engine.cancel(hall.shard, hall.own(user, key="a"))
    assert None is await offer_of(hall, waiting)
    assert ["fss"] == await hall.statuses()
    await hall.engine.cancel(hall.shard, hall.own(user, key="b"))
    offer = await offer_of(hall, waiting)
    assert offer is not None
    assert 1 == len({"s1-2", "s1-3"} & set(offer.items[0].seat_ids))
    await hall.check()


async def test_unblocked_seats_are_offered(hall: Hall, user: str) -> None:
    """I9: seats that the organizer puts back on sale go to those who wait."""
    await hall.shift("block", "s1-4")
    await hall.book(user, (SEATED, 3, named(["s1-1", "s1-2", "s1-3"])))
    waiting = await join(hall, SEATED, 1)
    await hall.shift("unblock", "s1-4")

    offer = await offer_of(hall, waiting)
    assert offer is not None
    assert [("s1-4",)] == [item.seat_ids for item in offer.items]
    await hall.check()


async def test_cut_places_are_offered(hall: Hall, user: str) -> None:
    """I9: places that a booking gives up in part go to those who wait."""
    await hall.book(user, (GENERAL, 3))
    waiting = await join(hall, GENERAL, 2)
    own = hall.own(user)
    cut = CancelItem(hall.event, own.id, user, 1, ((GENERAL, 2),))
    assert isinstance(await hall.engine.cancel_item(hall.shard, cut), Applied)

    assert None is not await offer_of(hall, waiting)
    assert 0 == await available(hall, GENERAL)
    await hall.check()


async def test_added_capacity_is_offered(hall: Hall, user: str) -> None:
    """I9: places that the organizer adds go to those who wait; seats are not added so."""
    await hall.book(user, (GENERAL, 3))
    waiting = await join(hall, GENERAL, 1)
    command = SetCapacity(hall.event, ((GENERAL, 5),))
    assert isinstance(await hall.engine.set_capacity(hall.shard, command), Applied)
    seats = await hall.engine.set_capacity(hall.shard, SetCapacity(hall.event, ((SEATED, 9),)))

    assert None is not await offer_of(hall, waiting)
    assert 1 == await available(hall, GENERAL)
    assert Refused(Status.TIER_HAS_SEATS, {"line": 1}) == seats


async def test_seated_bookings_are_checked_in_and_cancelled_whole(hall: Hall, user: str) -> None:
    """A ticket of a seat is let in once; which seats to give up is not guessed."""
    await hall.book(user, (SEATED, 2, named(["s1-1", "s1-2"])))
    own = hall.own(user)
    scan = Scan(hall.event, own.id, 2, 1, "north", "usr_staff")
    first = await hall.engine.checkin(hall.shard, scan)
    again = await hall.engine.checkin(hall.shard, scan)
    beyond = await hall.engine.checkin(hall.shard, scan._replace(number=3))
    part = CancelItem(hall.event, own.id, user, 1, ((SEATED, 1),))
    refused = await hall.engine.cancel_item(hall.shard, part)

    assert isinstance(first, Applied)
    assert isinstance(again, Refused)
    assert isinstance(beyond, Refused)
    assert (Status.ALREADY_CHECKED_IN, Status.NOT_FOUND) == (again.status, beyond.status)
    assert isinstance(refused, Refused)
    assert ["ssff"] == await hall.statuses()


async def test_cancelled_event_ends_offers_and_bookings(hall: Hall, user: str) -> None:
    """A cancelled event gives every place back, promotes nobody, and leaves no offer open."""
    await hall.book(user, (SEATED, 4, named(["s1-1", "s1-2", "s1-3", "s1-4"])), key="a")
    await hall.book(user, (GENERAL, 3), key="b")
    first, second = await join(hall, SEATED, 4), await join(hall, GENERAL, 1)
    await hall.engine.cancel(hall.shard, hall.own(user, key="a"))
    assert isinstance(await hall.engine.cancel_event(hall.shard, hall.event), Applied)
    await Emptier(hall.engine.shards[hall.shard]).empty(hall.event)

    offer = await offer_of(hall, first)
    assert offer is not None
    assert "released" == offer.status
    assert None is await offer_of(hall, second)
    assert (4, 3) == (await available(hall, SEATED), await available(hall, GENERAL))
    assert ["ffff"] == await hall.statuses()
    rows = (await rows_of(hall.redis, hall.names.persons)).values()
    assert {b"0"} >= set(rows)
    await hall.check()
