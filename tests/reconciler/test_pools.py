"""I1, I8: places that tiers share, in Redis as in the records, after a rebuild and a repair."""

from __future__ import annotations

import msgspec
import pytest

from engine import keys
from engine.commands import Amend, Order, SetCapacity, TierAmendment, TierStock
from engine.engine import ALL_TIERS
from engine.ids import hold_id, new_id
from engine.outcomes import Applied, Refused
from engine.pools import Pool, left_of, parse, write
from engine.records import CapacitySet, Published, Record, Rules, TierName
from engine.status import Status
from reconciler.event.derive import derive
from reconciler.event.snapshot import read_quiet
from reconciler.judge.transitions import Transitions
from tests.checks import ask, journal
from tests.reconciler.conftest import BoxOffice, Shown
from tests.store.records import booked, published

TIERS = (TierStock(10, 2500, 10), TierStock(4, 900, 10), TierStock(3, 100, 10))
POOLS = Rules(pools="p10t1t2t")


async def sold(office: BoxOffice) -> Shown:
    """Sell some of a room, with a hold, and make it larger."""
    event = await office.add_event(tiers=TIERS, rules=POOLS)
    user = new_id("usr")
    own = await office.book(event.event_id, user, "a", (1, 4), (2, 1))
    await office.book(event.event_id, new_id("usr"), "b", (1, 2), (3, 1))
    await office.cancel(event.event_id, user, own)
    held = hold_id(event_id=event.event_id, user_id=user, idempotency_key="h")
    await office.engine.hold(
        office.shard, Order(event.event_id, held, user, "p", b"{}", ((2, 3),), 60_000)
    )
    change = SetCapacity(event.event_id, (), pools=((1, 12),))
    assert isinstance(await office.engine.set_capacity(office.shard, change), Applied)
    return event


async def test_clean(office: BoxOffice) -> None:
    """While a room is sold, and made larger, no check finds anything."""
    event = await sold(office)
    assert set() == await office.codes()
    await office.drain_all()
    assert set() == await office.codes()
    row = await office.database.fetchval("SELECT pools FROM events WHERE id = $1", event.event_id)
    assert "p12t1t2t" == row


@pytest.mark.parametrize(
    ("rule", "codes"),
    [
        ("p20t1t2t", {"stock_differs"}),
        ("p12t1t3t", {"stock_differs"}),
        ("p4t1t2t", {"stock_differs", "pool_oversold"}),
        ("no pools", {"stock_differs"}),
    ],
)
async def test_i1_drift_is_found(office: BoxOffice, rule: str, codes: set[str]) -> None:
    """I1, I8: another rule than the records say is named, and a pool that is oversold."""
    event = await sold(office)
    stock = keys.event(office.shard, event.event_id).stock
    await ask(office.redis, "HSET", stock, "pools", rule)
    assert codes == await office.codes()
    await ask(office.redis, "HDEL", stock, "pools")
    assert {"stock_differs"} == await office.codes()


async def test_i8_pools_of_no_record(office: BoxOffice) -> None:
    """I8: a rule that nobody published is named as well."""
    event = await office.add_event(tiers=TIERS)
    stock = keys.event(office.shard, event.event_id).stock
    await ask(office.redis, "HSET", stock, "pools", "p10t1t2t")
    assert {"stock_differs"} == await office.codes()


async def test_i8_the_row(office: BoxOffice) -> None:
    """I8: a row that says other pools is named."""
    event = await sold(office)
    await office.drain_all()
    await office.database.execute(
        "UPDATE events SET pools = 'p9t1t2t' WHERE id = $1", event.event_id
    )
    assert {"event_row_differs"} == await office.codes()


async def test_i8_amended(office: BoxOffice) -> None:
    """I8: an amendment of a pool, with a tier and a price, is followed by rows and checks."""
    event = await sold(office)
    names = TierName(4, new_id("tier"), "Late")
    late = TierAmendment(4, 5, 300, 10, 0, 0, 0, 0, False, False, names)
    wants = (TierAmendment(1, capacity=11, price_minor=2600), late)
    command = Amend(event.event_id, {}, wants, (), ((1, 11),))
    assert isinstance(await office.engine.amend(office.shard, command), Applied)
    assert set() == await office.codes()
    await office.drain_all()
    assert set() == await office.codes()
    row = await office.database.fetchval("SELECT pools FROM events WHERE id = $1", event.event_id)
    assert "p11t1t2t" == row
    made = [one.record for one in await journal(office.redis, office.shard)]
    published = next(record for record in made if isinstance(record, Published))
    remains = await read_quiet(office.redis, office.shard, event.event_id)
    sizes = [
        one.record
        for one in derive(remains, published, {}, [])
        if isinstance(one.record, CapacitySet)
    ]
    assert ["p11t1t2t"] == [record.pools for record in sizes]


async def test_what_is_left(office: BoxOffice) -> None:
    """`availability` tells of each tier no more than its pool has."""
    event = await sold(office)
    outcome = await office.engine.availability(office.shard, event.event_id, promo_code=ALL_TIERS)
    assert not isinstance(outcome, Refused)
    found = [left_of(outcome.stock, tier_no)[:2] for tier_no in (1, 2, 3)]
    assert [(7, 1), (1, 3), (2, 0)] == found
    order = Order(event.event_id, "bk_" + 26 * "0", new_id("usr"), "p", b"{}", ((1, 9),))
    refused = await office.engine.book(office.shard, order)
    assert isinstance(refused, Refused)
    assert Status.SOLD_OUT == refused.status


def test_rule() -> None:
    """A rule is read as it is written, and nothing else is."""
    pools = [Pool(10, (1, 2)), Pool(0, (3, 12, 100))]
    assert "p10t1t2tp0t3t12t100t" == write(pools)
    assert pools == parse(write(pools))
    assert [] == parse("")
    for text in ("p10", "p10t1", "10t1t", "p10t1t ", "p10t0t", "p10t1tt2t"):
        with pytest.raises(ValueError, match="not pools"):
            parse(text)


def test_i1_at_no_record_of_the_past() -> None:
    """I1: a record that took more than tiers share is named, though no tier was oversold."""
    steps = Transitions(0)
    sale = published("evt_x", 10, 10)
    records: list[Record] = [
        msgspec.structs.replace(sale, rules=Rules(pools="p3t1t2t")),
        booked("evt_x", (1, 2, 100), (2, 1, 100)),
        booked("evt_x", (2, 1, 100)),
        CapacitySet(version=2, at_ms=1, event_id="evt_x", tiers=[], pools="p4t1t2t"),
        booked("evt_x", (1, 1, 100)),
    ]
    for seq, record in enumerate(records, start=1):
        steps.follow(1, seq, record)
    assert [(3, 3, 4), (5, 4, 5)] == [(one.seq, one.expected, one.found) for one in steps.illegal]
