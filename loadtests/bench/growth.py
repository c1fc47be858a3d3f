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

from engine.redis_client import connect
from loadtests.bench import contract
from loadtests.bench.load import send_each_once
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, booking_request, find_drift, make_sale, warm_up
from loadtests.bench.scale import (
    PARTS,
    Side,
    add_events,
    cost,
    parts_us,
    publish_events,
    side,
)
from loadtests.bench.script import TIMEOUT_MS, open_engine
from loadtests.bench.stage import QUICK, Sizes, drive_bookings

#: A change per tenfold below this is called flat.
FLAT = 0.05
STEEP = 0.2
API_PROCESSES = (1, 2, 4)
#: More connections than one process needs, so that four have full batches too.
API_CONNECTIONS = 256

Rows = list[dict[str, Any]]


async def measure(sizes: Sizes) -> dict[str, Any]:
    """Let each thing grow in turn; return what the report shows."""
    axes = []
    for name, axis in AXES.items():
        started_s = time.monotonic()
        axes.append(await axis(sizes))
        print(f"growth by {name} took {time.monotonic() - started_s:.0f} s", file=sys.stderr)
    return {"axes": axes, "commit": contract.commit()}


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


async def by_events(sizes: Sizes) -> dict[str, Any]:
    """Grow the events in PostgreSQL, a hundredth of them published."""
    rows: Rows = []
    bookings = sizes.bookings // 2
    async with side(bookings) as one:
        await cost(one, bookings)  # Warms up.
        rows.append({"at": 1} | parts_us((await cost(one, bookings))[0]))
        have = 0
        for events in (sizes.events // 100, sizes.events // 10, sizes.events):
            published, wanted = have // 100, events // 100
            await add_events(one.rig, first=have + 1, last=events)
            async with open_engine(one.rig) as engine:
                await publish_events(engine, first=published + 1, last=wanted)
            await find_drift(one.rig, [])
            have = events
            rows.append({"at": events} | parts_us((await cost(one, bookings))[0]))
    return _axis("Cost of a booking as events grow", "events (1 % of them published)", rows)


async def by_bookings(sizes: Sizes) -> dict[str, Any]:
    """Grow the bookings of one event: the cost of each further part, and bytes per booking."""
    rows: Rows = []
    bookings = sizes.bookings // 2
    async with side(bookings) as one:
        await cost(one, bookings)
        sale = await make_sale(one.rig)
        redis = connect(one.rig.valkey.url, timeout_ms=TIMEOUT_MS)
        before = (await redis.info("memory"))["used_memory"]
        for number in range(1, 9):
            driven, _ = await cost(one, bookings, sale=sale)
            used = (await redis.info("memory"))["used_memory"] - before
            rows.append(
                {"at": number * bookings} | parts_us(driven)
                | {"bytes with journal": round(used / (number * bookings), 1)}
            )  # fmt: skip
        await redis.aclose()
    return _axis("Cost of a booking as one event's bookings grow", "bookings of the event", rows)


async def by_persons(sizes: Sizes) -> dict[str, Any]:
    """Grow the number of distinct persons among whom the same bookings are spread."""
    rows: Rows = []
    bookings = sizes.bookings // 2
    async with side(sizes.buyers) as one:
        await cost(one, bookings)
        for persons in (bookings // 8, bookings // 2, bookings, sizes.buyers):
            few = Side(one.rig, Buyers(one.buyers.tokens_path, persons))
            tokens = one.buyers.tokens_path.read_text().split()[:persons]
            path = one.rig.path / f"tokens-{persons}"
            path.write_text("\n".join(tokens) + "\n")
            few = Side(one.rig, Buyers(path, persons))
            rows.append({"at": persons} | parts_us((await cost(few, bookings))[0]))
    return _axis("Cost of a booking as persons grow", "distinct persons", rows)


async def by_journal(sizes: Sizes) -> dict[str, Any]:
    """Grow the records that wait for a persister that does not run."""
    rows: Rows = []
    bookings = sizes.bookings // 2
    async with Rig() as rig:
        buyers = await Buyers.make(rig, bookings)
        await warm_up(rig, await make_sale(rig), buyers)
        for number in range(1, 9):
            sale = await make_sale(rig)
            before = rig.cpu()
            request = booking_request(rig, sale, buyers, first=0)
            load = await send_each_once(rig.host, rig.port, request, count=bookings)
            after = rig.cpu()
            us = {
                name: round(1e6 * (after[name] - before[name]) / load.answered, 2)
                for name in ("api", "valkey")
            }
            rows.append({"at": number * bookings} | us | {"total": round(sum(us.values()), 2)})
    return _axis("Cost of a booking as the journal grows", "records that wait", rows[1:])


async def by_processes(sizes: Sizes) -> dict[str, Any]:
    """Grow the number of API processes; more of them make smaller batches."""
    rows: Rows = []
    async with Rig() as rig:
        buyers = await Buyers.make(rig, sizes.buyers)
        for processes in API_PROCESSES:
            if processes > 1:
                await rig.restart_api(processes)
            for _ in range(processes):  # Each process should see most tokens once.
                await warm_up(rig, await make_sale(rig), buyers)
            driven = await drive_bookings(
                rig, await make_sale(rig), buyers, seconds=sizes.run_s, connections=API_CONNECTIONS
            )
            us = {name: round(driven.us_per_answer(name), 2) for name in ("api", "valkey")}
            rows.append(
                {"at": processes} | us
                | {"total": round(sum(us.values()), 2), "per_s": round(driven.load.per_s, 1)}
            )  # fmt: skip
    axis = _axis("Cost of a booking as API processes grow", "API processes", rows)
    rates = ", ".join(f"{row['at']}: {row['per_s']:.0f}/s" for row in rows)
    axis["slope"] += f"; bookings a second by processes: {rates}"
    axis["rows"] = [{key: row[key] for key in row if key != "per_s"} for row in rows]
    axis["per_s"] = {str(row["at"]): row["per_s"] for row in rows}
    return axis


AXES: dict[str, Callable[[Sizes], Awaitable[dict[str, Any]]]] = {
    "events": by_events,
    "bookings": by_bookings,
    "persons": by_persons,
    "journal": by_journal,
    "API processes": by_processes,
}


def _axis(title: str, x: str, rows: Rows) -> dict[str, Any]:
    return {
        "title": title,
        "x": x,
        "y": "CPU µs a booking",
        "rows": rows,
        "slope": slope_of([(row["at"], row["total"]) for row in rows]),
    }


__all__ = ["AXES", "PARTS", "QUICK", "measure", "slope_of"]
