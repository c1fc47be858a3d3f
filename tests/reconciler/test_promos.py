"""I8: promo codes in Redis are used as often as the ledger says."""

from __future__ import annotations

import pytest

from engine import keys
from engine.commands import Order, Own, Promo, Publish
from engine.ids import hold_id, new_id
from engine.outcomes import Applied, Booked, Held
from tests.checks import FAR_MS, ask, make_booking_id
from tests.reconciler.conftest import PERSON_MAX, TIERS, BoxOffice

PROMO = Promo("EARLY", 50, 20, 0, (1,))


async def sell(office: BoxOffice) -> str:
    """Sell with a code: two bookings, one of them cancelled, and a hold."""
    event_id = (await office.add_event(publish=False)).event_id
    await office.database.execute(
        "INSERT INTO promos VALUES ($1, $2, $3, $4, $5, $6)", event_id, *PROMO[:4], [1]
    )
    command = Publish(event_id, "f", 1, FAR_MS, PERSON_MAX, TIERS, promos=(PROMO,))
    assert isinstance(await office.engine.publish(office.shard, command), Applied)
    made = []
    for key in ("a", "b"):
        user = new_id("usr")
        own = make_booking_id(event_id, user, key)
        order = Order(event_id, own, user, "p~EARLY", b"{}", ((1, 2),))
        assert isinstance(await office.engine.book(office.shard, order), Booked)
        made.append(Own(event_id, own, user))
    await office.drain()
    await office.engine.cancel(office.shard, made[0])
    held = hold_id(event_id=event_id, user_id=user, idempotency_key="h")
    order = Order(event_id, held, user, "p~EARLY", b"{}", ((1, 2),), 60_000)
    assert isinstance(await office.engine.hold(office.shard, order), Held)
    return event_id


async def test_clean_and_in_the_ledger(office: BoxOffice) -> None:
    """Uses agree with and without lag, and a booking's row names its code."""
    event_id = await sell(office)
    assert set() == await office.codes()
    await office.drain()
    assert set() == await office.codes()
    rows = await office.database.fetch(
        "SELECT status::text, promo_code FROM bookings WHERE event_id = $1 ORDER BY 1", event_id
    )
    assert [("cancelled", "EARLY"), ("confirmed", "EARLY")] == [tuple(row) for row in rows]


@pytest.mark.parametrize(("field", "value"), [("EARLY.used", 1), ("EARLY", "9:9:0:"), ("X", "1")])
async def test_drift_is_found(office: BoxOffice, field: str, value: object) -> None:
    """A count or a rule that is not what the records say is named."""
    promos = keys.event(office.shard, await sell(office)).promos
    await ask(office.redis, "HSET", promos, field, value)
    assert {"promo_differs"} == await office.codes()
