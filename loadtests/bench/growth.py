"""
Growth: how the cost of a booking and Redis's memory change as each thing gets more of.

One thing grows at a time: events, bookings of one event, distinct persons, records waiting in the
journal, API processes. The cost is CPU time per booking of all that works on it; the slope says
by how much it changes with each tenfold.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from engine.redis_client import connect
from loadtests.bench import contract
from loadtests.bench.load import send_each_once
from loadtests.bench.memory import settled_bytes
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, booking_request, find_drift, make_sale, warm_up
from loadtests.bench.scale import Side, add_events, cost, parts_us, publish_events, side
from loadtests.bench.script import TIMEOUT_MS, open_engine
from loadtests.bench.stage import Driven, Sizes, drive_bookings

#: A change per tenfold below this is called flat.
FLAT = 0.05
STEEP = 0.2
API_PROCESSES = (1, 2, 4)
#: More connections than one process needs, so that four have full batches too.
API_CONNECTIONS = 256

Rows = list[dict[str, float]]
Charts = list[dict[str, Any]]
#: Points of an axis that grows by equal parts.
STEPS = 8


async def measure(sizes: Sizes) -> dict[str, Any]:
    """Let each thing grow in turn; return what the report shows."""
    charts: list[dict[str, Any]] = []
    for name, axis in AXES.items():
        started_s = time.monotonic()
        charts += await axis(sizes)
        print(f"growth by {name} took {time.monotonic() - started_s:.0f} s", file=sys.stderr)
    machine = msgspec.to_builtins(contract.this_machine())
    return {"charts": charts, "commit": contract.commit(), "machine": machine}


def slope_of(points: Sequence[tuple[float, float]]) -> str:
    """Say in words how y changes with each tenfold of x: least squares over log10 x."""
    usable = [(math.log10(x), y) for x, y in points if x > 0]
    if len(usable) < 2 or not usable[0][1]:
        return "not enough points"
    middle_x = sum(x for x, _ in usable) / len(usable)
    middle_y = sum(y for _, y in usable) / len(usable)
    width = sum((x - middle_x) ** 2 for x, _ in usable)
    if not width or not middle_y:
        return "not enough points"
    rise = sum((x - middle_x) * (y - middle_y) for x, y in usable) / width / middle_y
    word = "flat" if abs(rise) < FLAT else "gentle" if abs(rise) < STEEP else "steep"
    return f"{word}: {rise:+.1%} of the mean with each tenfold"


async def by_events(sizes: Sizes) -> Charts:
    """Grow the events in PostgreSQL, a hundredth of them published."""
    rows: Rows = []
    bookings = sizes.bookings // 2
    async with side(bookings) as one:
        await cost(one, bookings)  # Warms up.
        rows.append(await _row(one, 1, bookings))
        have = 0
        for events in (sizes.events // 100, sizes.events // 10, sizes.events):
            await add_events(one.rig, first=have + 1, last=events)
            async with open_engine(one.rig) as engine:
                await publish_events(engine, first=have // 100 + 1, last=events // 100)
            await find_drift(one.rig, [])
            have = events
            rows.append(await _row(one, events, bookings))
    return [_chart("Cost of a booking as events grow", "events, 1 % of them published", rows)]


async def by_bookings(sizes: Sizes) -> Charts:
    """Grow the bookings of one event: the cost of each further part, and bytes per booking."""
    rows: Rows = []
    sizes_rows: Rows = []
    bookings = sizes.bookings // 2
    # No booking limit: what it remembers for two minutes is not what a booking keeps.
    async with (
        side(bookings, journal_retention_s=0, booking_limit_attempts=0) as one,
        open_engine(one.rig) as engine,
    ):
        await cost(one, bookings)
        sale = await make_sale(one.rig)
        redis = connect(one.rig.redis_url(), timeout_ms=TIMEOUT_MS)
        before = await settled_bytes(one.rig, redis, engine)
        for number in range(1, STEPS + 1):
            rows.append(await _row(one, number * bookings, bookings, sale=sale))
            used = await settled_bytes(one.rig, redis, engine) - before
            sizes_rows.append(
                {"at": number * bookings, "total": round(used / (number * bookings), 1)}
            )
        await redis.aclose()
        if faults := await find_drift(one.rig, [sale]):
            raise RuntimeError(f"growth is void: {faults}")
    x = "bookings of the event"
    return [
        _chart("Cost of a booking as one event's bookings grow", x, rows),
        _chart("Redis memory per booking as one event's bookings grow", x, sizes_rows, y="bytes"),
    ]


async def by_persons(sizes: Sizes) -> Charts:
    """Grow the number of distinct persons among whom the same bookings are spread."""
    rows: Rows = []
    bookings = sizes.bookings // 4
    async with side(3 * bookings) as one:
        await cost(one, bookings)
        tokens = one.buyers.tokens_path.read_text().split()[bookings:]
        for persons in (bookings // 8, bookings // 2, bookings):
            # Nobody is among two of the groups: the rate limit is a person's own.
            group, tokens = tokens[:persons], tokens[persons:]
            path = one.rig.path / f"tokens-{persons}"
            path.write_text("".join(f"{token}\n" for token in group))
            rows.append(await _row(Side(one.rig, Buyers(path, persons)), persons, bookings))
    return [_chart("Cost of a booking as persons grow", "distinct persons", rows)]


async def by_journal(sizes: Sizes) -> Charts:
    """Grow the records that wait for a persister that does not run."""
    rows: Rows = []
    bookings = sizes.bookings // 2
    async with Rig() as rig:
        buyers = await Buyers.make(rig, bookings)
        await warm_up(rig, await make_sale(rig), buyers)
        for number in range(1, STEPS + 1):
            sale = await make_sale(rig)
            before = rig.cpu()
            request = booking_request(rig, sale, buyers, first=0)
            load = await send_each_once(request, count=bookings)
            after = rig.cpu()
            if load.succeeded != bookings:
                raise RuntimeError(f"growth is void: {load.succeeded} of {bookings} booked")
            used = {name: after[name] - before[name] for name in after}
            rows.append({"at": number * bookings} | _two_parts(Driven(load, used)))
    # The first round warmed up.
    return [_chart("Cost of a booking as the journal grows", "records that wait", rows[1:])]


async def by_processes(sizes: Sizes) -> Charts:
    """Grow the number of API processes; more of them make smaller batches."""
    rows: Rows = []
    rates: Rows = []
    for processes in API_PROCESSES:
        async with Rig(api_processes=processes) as rig:
            buyers = await Buyers.make(rig, sizes.buyers)
            for _ in range(processes):  # Each process should see most tokens once.
                await warm_up(rig, await make_sale(rig), buyers)
            driven = await drive_bookings(
                rig, await make_sale(rig), buyers, seconds=sizes.run_s, connections=API_CONNECTIONS
            )
            rows.append({"at": processes} | _two_parts(driven))
            rates.append({"at": processes, "total": round(driven.load.per_s, 1)})
    x = "API processes"
    return [
        _chart("Cost of a booking as API processes grow", x, rows),
        _chart(
            "Bookings as API processes grow, all on these cores", x, rates, y="bookings a second"
        ),
    ]


AXES: dict[str, Callable[[Sizes], Awaitable[Charts]]] = {
    "events": by_events,
    "bookings": by_bookings,
    "persons": by_persons,
    "journal": by_journal,
    "API processes": by_processes,
}


async def _row(one: Side, at: int, bookings: int, *, sale: Sale | None = None) -> dict[str, float]:
    driven, fault = await cost(one, bookings, sale=sale)
    if fault:
        raise RuntimeError(f"growth is void: {fault}")
    return {"at": at} | parts_us(driven)


def _two_parts(driven: Driven) -> dict[str, float]:
    us = {name: round(driven.us_per_answer(name), 2) for name in ("api", "valkey")}
    return us | {"total": round(sum(us.values()), 2)}


def _chart(title: str, x: str, rows: Rows, *, y: str = "CPU µs a booking") -> dict[str, Any]:
    slope = slope_of([(row["at"], row["total"]) for row in rows])
    return {"title": title, "x": x, "y": y, "rows": rows, "slope": slope}
