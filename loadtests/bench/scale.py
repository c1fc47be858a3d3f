"""
P9: what a booking costs with a million events in PostgreSQL, against one event.

Two rigs stand side by side and sell one hot event each, in turn. The cost is the CPU time of all
that works on a booking: API, Valkey, persister and PostgreSQL, until everything is written.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from engine.commands import Publish, TierStock
from engine.engine import Engine
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.load import send_each_once
from loadtests.bench.rig import Rig
from loadtests.bench.sale import (
    Buyers,
    Sale,
    booking_request,
    find_drift,
    find_fault,
    make_sale,
    warm_up,
)
from loadtests.bench.script import FAR_AHEAD_MS, SHARD, open_engine
from loadtests.bench.stage import CONNECTIONS, Driven, Stage
from store.pool import connect

TIMEOUT_MS = 300_000
PARTS = ("api", "valkey", "persister", "postgres")
#: One statement for all, since it runs where the rows go; ids sort before those of today.
_INSERT_EVENTS = """
INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at, ends_at,
                    sale_opens_at, sale_closes_at, person_max)
SELECT 'evt_' || lpad(to_hex(n), 26, '0'), (SELECT min(id) FROM organizers), 0,
       'Event ' || n, 'UTC', 'EUR', moment + n * interval '1 second',
       moment + n * interval '1 second', now(), moment + n * interval '1 second', 10
FROM generate_series($1::int, $2::int) AS n, (SELECT now() + interval '1 year' AS moment) AS m
"""
_INSERT_TIERS = """
INSERT INTO tiers (event_id, tier_no, id, name, price_minor, capacity, order_max)
SELECT 'evt_' || lpad(to_hex(n), 26, '0'), 1, 'tier_' || lpad(to_hex(n), 26, '0'),
       'Standing', 4500, 1000, 10
FROM generate_series($1::int, $2::int) AS n
"""
_SETTLE = ("VACUUM ANALYZE events", "VACUUM ANALYZE tiers", "CHECKPOINT")


class Side(NamedTuple):
    """One of the two rigs with its hot event."""

    rig: Rig
    buyers: Buyers


async def measure_p9(stage: Stage) -> Result:
    """Let both sides sell in turn; compare what a booking cost."""
    sizes = stage.sizes
    bookings = sizes.bookings // 4
    runs, rows = [], []
    async with side(bookings) as small, side(bookings) as big:
        await add_events(big.rig, first=1, last=sizes.events)
        async with open_engine(big.rig) as engine:
            await publish_events(engine, first=1, last=sizes.events_published)
        await find_drift(big.rig, [])
        for number in range(sizes.pairs + 1):
            few, few_fault = await cost(small, bookings)
            many, many_fault = await cost(big, bookings)
            if number:  # The first round warms both up.
                ratio = many.us_per_answer(*PARTS) / few.us_per_answer(*PARTS)
                runs.append(Run(ratio, few_fault or many_fault))
                rows.append({"one_event": parts_us(few), "many_events": parts_us(many)})
    return result_of(
        "P9",
        runs,
        {
            "events": sizes.events,
            "published": sizes.events_published,
            "bookings": bookings,
            "cost_us": rows,
        },
    )


@contextlib.asynccontextmanager
async def side(buyers_count: int, **settings: Any) -> AsyncIterator[Side]:
    """Start a rig with its persister and a pool of buyers that its API knows; see `Rig`."""
    async with Rig(**settings) as rig:
        buyers = await Buyers.make(rig, buyers_count)
        await warm_up(rig, await make_sale(rig), buyers)
        async with rig.persisting():
            yield Side(rig, buyers)


async def add_events(rig: Rig, *, first: int, last: int) -> None:
    """Add drafts number *first* to *last* to PostgreSQL, with one tier each."""
    database = await connect(rig.settings.database_url, timeout_ms=TIMEOUT_MS)
    try:
        await database.execute(_INSERT_EVENTS, first, last)
        await database.execute(_INSERT_TIERS, first, last)
        for statement in _SETTLE:
            await database.execute(statement)
    finally:
        await database.close()


async def publish_events(engine: Engine, *, first: int, last: int) -> None:
    """Put events that `add_events` made on sale."""
    stock = TierStock(capacity=1_000, price_minor=4_500, order_max=10)
    for number in range(first, last + 1):
        command = Publish(f"evt_{number:026x}", secrets.token_hex(8), 0, FAR_AHEAD_MS, 10, (stock,))
        await engine.publish(SHARD, command)


async def cost(one: Side, bookings: int, *, sale: Sale | None = None) -> tuple[Driven, str]:
    """
    Make *bookings* bookings of one event and wait until PostgreSQL has them.

    Args:
        sale: An event that the caller checks; a new one, checked here, if left out.

    Returns:
        The run with the CPU time of all parts, and what was wrong.
    """
    rig, buyers = one
    fresh = sale is None
    sale = sale or await make_sale(rig)
    before = rig.cpu()
    request = booking_request(rig, sale, buyers, first=buyers.take(bookings))
    load = await send_each_once(request, count=bookings, connections=CONNECTIONS)
    await find_drift(rig, [])
    after = rig.cpu()
    driven = Driven(load, {name: after[name] - before[name] for name in PARTS})
    if load.succeeded != bookings:
        return driven, f"lost: {load.succeeded} of {bookings} booked"
    if not fresh:
        return driven, ""
    fault = await find_fault(rig, sale, load, connections=CONNECTIONS)
    return driven, fault or (await find_drift(rig, [sale])).get(sale.event_id, "")


def parts_us(driven: Driven) -> dict[str, float]:
    """Return the cost of a booking by part, in µs."""
    parts = {name: round(driven.us_per_answer(name), 2) for name in PARTS}
    return parts | {"total": round(driven.us_per_answer(*PARTS), 2)}
