"""Events that are changed while they are on sale: Redis, rows and records agree at every step."""

from __future__ import annotations

import time
from typing import Any

from engine import keys
from engine.commands import Amend, Promo, TierAmendment, TierStock
from engine.engine import ALL_TIERS
from engine.ids import new_id
from engine.outcomes import Applied
from engine.records import Amended, Rules, TierName
from reconciler.event.derive import derive
from reconciler.event.snapshot import read_quiet
from tests.checks import ask, journal
from tests.reconciler.conftest import BoxOffice, Shown

HOUR_MS = 3_600_000


def steps(event_id: str, tier_id: str) -> list[Amend]:
    """Return one amendment of each kind, and one of all kinds."""
    now_ms = int(time.time() * 1000)
    new = TierAmendment(3, 7, 900, 4, 2, 3, 0, 0, True, True, TierName(3, tier_id, "Dr. Übel"))
    return [
        Amend(event_id, {"closes_at_ms": now_ms + 8 * HOUR_MS, "ends_at_ms": now_ms + 9 * HOUR_MS}),
        Amend(event_id, {"person_max": 9, "offer_ttl_ms": 60_000}),
        Amend(event_id, {}, (TierAmendment(1, price_minor=1), TierAmendment(2, price_minor=777))),
        Amend(event_id, {}, (TierAmendment(1, order_min=2, closes_at_ms=now_ms + HOUR_MS),)),
        Amend(event_id, {}, (new,), (Promo("DOOR", 5, 0, 0, (3,)), Promo("HALF", 3, 50, 0))),
        Amend(event_id, {}, (), (Promo("HALF", 0, 50, 0), Promo("DOOR", 9, 0, 0, (3,)))),
        Amend(event_id, {"offer_ttl_ms": 0}, (TierAmendment(1, order_min=0, closes_at_ms=0),)),
        Amend(
            event_id,
            {"person_max": 8},
            (TierAmendment(2, capacity=50, price_minor=5), TierAmendment(3, capacity=2)),
            (Promo("LATE", 1, 10, 0, (1, 2)),),
        ),
    ]


async def amend_all(office: BoxOffice) -> tuple[Shown, int]:
    """Change an event in all ways, selling between; each change must be done."""
    tiers = (TierStock(20, 2500, 10), TierStock(30, 9900, 10))
    event = await office.add_event(
        tiers=tiers, rules=Rules(ends_at_ms=int(time.time() + 9e5) * 1000)
    )
    count = 0
    for command in steps(event.event_id, new_id("tier")):
        await office.book(event.event_id, new_id("usr"), "k", (1, 2), (2, 1))
        reply = await office.engine.amend(office.shard, command)
        assert isinstance(reply, Applied), (command, reply)
        count += 1
    return event, count


async def test_i8_every_amendment_is_followed(office: BoxOffice) -> None:
    """I8: after each change the check finds nothing, before PostgreSQL has it and afterwards."""
    event = await office.add_event(rules=Rules(ends_at_ms=int(time.time() + 9e5) * 1000))
    for command in steps(event.event_id, new_id("tier")):
        await office.book(event.event_id, new_id("usr"), "k", (1, 2), (2, 1))
        reply = await office.engine.amend(office.shard, command)
        assert isinstance(reply, Applied), (command, reply)
        for _ in range(2):
            result = await office.check()
            assert ([], []) == (result.violations, result.errors), command
            await office.drain()
    tiers = await rows(
        office,
        "SELECT tier_no, name, price_minor, capacity, order_max, order_min, person_max, is_hidden,"
        " sells_after_end FROM tiers WHERE event_id = $1 ORDER BY tier_no",
        event.event_id,
    )
    assert [1, 5, 900] == [tier[2] for tier in tiers]
    assert (3, "Dr. Übel", 900, 2, 4, 2, 3, True, True) == tiers[2]
    promos = "SELECT code, uses_max FROM promos WHERE event_id = $1 ORDER BY code"
    assert [("DOOR", 9), ("HALF", 0), ("LATE", 1)] == await rows(office, promos, event.event_id)
    sale = "SELECT person_max, offer_ttl_ms FROM events WHERE id = $1"
    assert [(8, 0)] == await rows(office, sale, event.event_id)


async def test_drift_is_named(office: BoxOffice) -> None:
    """I8: a price that is no more, in Redis or in PostgreSQL, is found."""
    event, _ = await amend_all(office)
    await office.drain()
    await ask(
        office.redis, "HSET", keys.event(office.shard, event.event_id).stock, "2.price_minor", 6
    )
    assert await office.codes()
    await ask(
        office.redis, "HSET", keys.event(office.shard, event.event_id).stock, "2.price_minor", 5
    )
    await office.database.execute("UPDATE promos SET uses_max = 4 WHERE code = 'HALF'")
    assert {"promo_row_differs"} == await office.codes()


async def test_what_redis_says_of_it(office: BoxOffice) -> None:
    """A record that is lost is derived of what it left in Redis, new tiers by number."""
    event, count = await amend_all(office)
    made = [one.record for one in await journal(office.redis, office.shard)]
    assert count == sum(isinstance(record, Amended) for record in made)
    published = made[0]
    remains = await read_quiet(office.redis, office.shard, event.event_id)
    found = [
        one.record
        for one in derive(remains, published, {}, [])  # type: ignore[arg-type]
        if isinstance(one.record, Amended)
    ]
    assert 1 == len(found)
    assert ["#3"] == [name.name for name in found[0].names]
    assert [1, 5, 900] == [tier.price_minor for tier in found[0].tiers]
    stock = await office.engine.availability(office.shard, event.event_id, promo_code=ALL_TIERS)
    assert "3" == stock.stock["tier_count"]  # type: ignore[union-attr]


async def rows(office: BoxOffice, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows that PostgreSQL has."""
    return [tuple(row) for row in await office.database.fetch(sql, *values)]
