"""I8, I12: a tier's own rules, and what each person has of it, in Redis as in the ledger."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine import keys
from engine.commands import CancelItem, Order, Own, TierStock
from engine.ids import hold_id, is_beyond, new_id, promo_of, with_beyond, with_promo
from engine.outcomes import Booked
from engine.records import Rules
from tests.checks import FAR_MS, ask, make_booking_id
from tests.reconciler.conftest import BoxOffice, Shown

LIMITED = TierStock(500, 2500, 10, order_min=2, person_max=6)
TIERS = (LIMITED, TierStock(500, 100, 10), TierStock(500, 100, 10, is_hidden=True))
PERSONS = 12
CHECKS = 6


async def sell(office: BoxOffice, event: Shown, user_id: str, chance: random.Random) -> None:
    """Hold, book, cut, cancel and release at random, for one person."""
    shard, engine, event_id = office.shard, office.engine, event.event_id
    for number in range(12):
        key = str(number)
        lines = ((1, chance.randint(2, 4)), (2, 1))
        own = make_booking_id(event_id, user_id, key)
        await engine.book(shard, Order(event_id, own, user_id, "p", b"{}", lines))
        held = hold_id(event_id=event_id, user_id=user_id, idempotency_key=key)
        await engine.hold(shard, Order(event_id, held, user_id, "p", b"{}", lines[:1], 60_000))
        if chance.random() < 0.5:
            await engine.release(shard, Own(event_id, held, user_id))
        if chance.random() < 0.5:
            cut = CancelItem(event_id, own, user_id, 1, ((1, 1),))
            await engine.cancel_item(shard, cut)
        if chance.random() < 0.7:
            await engine.cancel(shard, Own(event_id, own, user_id))


async def test_i12_clean_while_sold(office: BoxOffice) -> None:
    """F40, I12: while persons reach a tier's limit, no check finds anything."""
    event = await office.add_event(tiers=TIERS)
    sales = asyncio.gather(
        *(sell(office, event, new_id("usr"), random.Random(n)) for n in range(PERSONS))
    )
    for _ in range(CHECKS):
        result = await office.check()
        assert ([], []) == (result.errors, result.violations)
        await office.drain(records_max=50)
    await sales
    await office.drain_all()
    result = await office.check()
    assert ([], []) == (result.errors, result.violations)


async def test_i12_beyond_the_limit_is_no_violation(office: BoxOffice) -> None:
    """I12: what the box office sold beyond a limit is left out, also of a tier; the rest is not."""
    event, user = await office.add_event(tiers=TIERS), new_id("usr")
    await office.book(event.event_id, user, "k", (1, 6))
    own = make_booking_id(event.event_id, user, "desk")
    mark = with_beyond(with_promo("p", "CODE"))
    assert ("CODE", True) == (promo_of(mark), is_beyond(mark))
    plain = with_beyond("p")
    order = Order(event.event_id, own, user, plain, b"{}", ((1, 5),))
    assert isinstance(await office.engine.book(office.shard, order), Booked)
    await office.drain_all()
    result = await office.check()
    assert ([], []) == (result.errors, result.violations)
    kept = "SELECT fingerprint FROM bookings WHERE id = $1"
    assert plain == await office.database.fetchval(kept, own)


@pytest.mark.parametrize(
    ("key", "field", "value", "code"),
    [
        ("persons", "{user}/1", 5, "person_differs"),
        ("persons", "{user}/2", 1, "person_differs"),
        ("stock", "1.order_min", 3, "stock_differs"),
        ("stock", "1.person_max", 7, "stock_differs"),
        ("stock", "2.person_max", 7, "stock_differs"),
        ("stock", "2.closes_at_ms", 7, "stock_differs"),
        ("stock", "hidden", "+2+3+", "stock_differs"),
        ("stock", "ends_at_ms", 7, "stock_differs"),
        ("stock", "after_end", "t1t", "stock_differs"),
        ("stock", "hidden", "", "stock_differs"),
    ],
)
async def test_i8_drift_is_found(
    office: BoxOffice, key: str, field: str, value: int | str, code: str
) -> None:
    """I8: a rule or a count that is not what the records say is named."""
    rules = Rules(ends_at_ms=FAR_MS, after_end="t2t")
    event, user = await office.add_event(tiers=TIERS, rules=rules), new_id("usr")
    await office.book(event.event_id, user, "k", (1, 2), (2, 1))
    assert set() == await office.codes()
    name = getattr(keys.event(office.shard, event.event_id), key)
    await ask(office.redis, "HSET", name, field.format(user=user), value)
    assert {code} == await office.codes()


@pytest.mark.parametrize("change", ["order_min = 3", "person_max = 3", "is_hidden = true"])
async def test_i8_rule_of_the_row(office: BoxOffice, change: str) -> None:
    """I8: a rule that was changed in PostgreSQL alone is named."""
    event = await office.add_event(tiers=TIERS)
    assert set() == await office.codes()
    sql = f"UPDATE tiers SET {change} WHERE event_id = $1 AND tier_no = 1"  # noqa: S608
    await office.database.execute(sql, event.event_id)
    assert {"tier_row_differs"} == await office.codes()
