"""
P1, P2: the full booking over HTTP against the bare handler, without and with the persister.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from loadtests.backstage import DRAIN_TIMEOUT_S
from loadtests.bench import bare
from loadtests.bench.contract import PEAK, Result
from loadtests.bench.load import tools
from loadtests.bench.peaks import Shot, Side, result_of_turns, take_turns
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, find_drift, find_fault, make_sale, post_as_buyer
from loadtests.bench.stage import Driven, Stage, drive_bookings, drive_process

#: Time that the persister may take after the last booking (P2), in seconds.
DRAIN_S_MAX = 2.0
SAMPLE_S = 0.1
#: Points of the curve, besides those among which the best is looked for.
FEW_CONNECTIONS = (1, 4, 16)


async def measure_p1(stage: Stage) -> Result:
    """Book as fast as it goes, against the bare handler on the very same requests."""
    rig, buyers = await stage.rig()
    sides = bare_side(stage, buyers), booking_side(rig, buyers)

    async def settle(sales: list[Sale]) -> dict[str, str]:
        async with rig.persisting():
            return await find_drift(rig, sales)

    turns = await take_turns(stage, sides, settle=settle, also=FEW_CONNECTIONS)
    curve = [
        {"connections": connections}
        | {name: turns.probes[name][connections] for name in turns.best}
        for connections in turns.probes["bare"]
    ]
    generators = await _generators(stage, buyers)
    return result_of_turns("P1", turns, {"booking": "bare"}, curve=curve, generators=generators)


async def measure_p2(stage: Stage) -> Result:
    """
    The same while the persister runs.

    What counts is what PostgreSQL has `DRAIN_S_MAX` after the end: a persister that needs longer
    makes the rate as much lower as the run would have had to be for it to keep up.
    """
    rig, buyers = await stage.rig()
    sides = bare_side(stage, buyers), persisted_side(rig, buyers)
    async with rig.persisting():
        turns = await take_turns(stage, sides, settle=lambda sales: find_drift(rig, sales))
    late = [shots["persisted"].more["drain_s"] > DRAIN_S_MAX for shots in turns.rounds[PEAK]]
    drained = {"drained within 2 s": not any(late)}
    return result_of_turns("P2", turns, {"persisted": "bare"}, conditions=drained)


def bare_side(stage: Stage, buyers: Buyers) -> Side:
    """The bare handler, on requests that are bookings to the last byte but the path."""

    async def drive(connections: int, seconds: float) -> Shot:
        driven = await drive_bare(stage, buyers, connections=connections, seconds=seconds)
        return Shot(driven, driven.load.per_s, driven.us_per_answer("bare"))

    return Side("bare", drive)


def booking_side(rig: Rig, buyers: Buyers, name: str = "booking") -> Side:
    """Bookings of an event of each run's own, which the persister does not write yet."""

    async def drive(connections: int, seconds: float) -> Shot:
        sale = await make_sale(rig)
        full = await drive_bookings(rig, sale, buyers, seconds=seconds, connections=connections)
        fault = await find_fault(rig, sale, full.load, connections=connections)
        return Shot(full, full.load.per_s, full.us_per_answer("api"), fault, sale)

    return Side(name, drive)


def persisted_side(rig: Rig, buyers: Buyers, name: str = "persisted") -> Side:
    """The same, with the persister at work; as many count as it can follow."""

    async def drive(connections: int, seconds: float) -> Shot:
        sale = await make_sale(rig)
        full, lag, drain_s = await _drive_persisted(rig, sale, buyers, seconds, connections)
        late_s = max(0.0, drain_s - DRAIN_S_MAX)
        kept_per_s = full.load.answered / (full.load.seconds + late_s)
        fault = await find_fault(rig, sale, full.load, connections=connections)
        more = {
            "drain_s": round(drain_s, 2),
            "kept_per_s": round(kept_per_s, 1),
            "lag_records_max": max(records for _, records in lag),
            "lag": lag,
        }
        return Shot(full, kept_per_s, full.us_per_answer("api"), fault, sale, more)

    return Side(name, drive)


async def drive_bare(
    stage: Stage, buyers: Buyers, *, connections: int, seconds: float, tool: str = ""
) -> Driven:
    """Saturate the bare handler with bookings."""
    served = await stage.bare()
    order = Sale("", "tier_" + 26 * "0", 0).order
    request = post_as_buyer(served.port, bare.PATH, order, buyers, first=0)
    return await drive_process(served, request, seconds=seconds, connections=connections, tool=tool)


async def _generators(stage: Stage, buyers: Buyers) -> dict[str, Any]:
    """
    Show of each generator that it is not the bottleneck.

    Its ceiling is what it could send with a core of its own: answers per second of its CPU time.
    """
    found = {}
    for tool in tools():
        driven = await drive_bare(
            stage, buyers, connections=stage.best["bare"], seconds=stage.sizes.pair_s, tool=tool
        )
        ceiling_per_s = driven.load.answered / driven.load.cpu_s
        found[tool] = driven.facts() | {"ceiling_per_s": round(ceiling_per_s)}
    return found


async def _drive_persisted(
    rig: Rig, sale: Sale, buyers: Buyers, seconds: float, connections: int
) -> tuple[Driven, list[tuple[float, int]], float]:
    """Drive bookings; return the run, the lag over time, and how long the rest took."""
    lag: list[tuple[float, int]] = []
    started_s = time.monotonic()
    is_over = asyncio.Event()

    async def sample(backstage: Any) -> int:
        records: int = await backstage.backlog_records()
        lag.append((round(time.monotonic() - started_s, 2), records))
        return records

    async def watch(backstage: Any) -> None:
        # Asked to end, not cancelled: drivers may swallow a cancellation while they connect.
        while not is_over.is_set():
            await sample(backstage)
            await asyncio.sleep(SAMPLE_S)

    async with rig.backstage() as backstage:
        watching = asyncio.create_task(watch(backstage))
        try:
            driven = await drive_bookings(
                rig, sale, buyers, seconds=seconds, connections=connections
            )
        finally:
            is_over.set()
            await watching
        ended_s = time.monotonic()
        deadline_s = ended_s + DRAIN_TIMEOUT_S
        while await sample(backstage) and time.monotonic() < deadline_s:  # noqa: ASYNC110  Polled.
            await asyncio.sleep(SAMPLE_S / 2)
    return driven, lag, time.monotonic() - ended_s
