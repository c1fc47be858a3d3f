"""
P1, P2: the full booking over HTTP against the bare handler, without and with the persister.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.load import tools
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, find_drift, find_fault, make_sale, post_as_buyer
from loadtests.bench.stage import CONNECTIONS, Driven, Stage, drive_bookings
from loadtests.verdict import DRAIN_TIMEOUT_S

#: Time that the persister may take after the last booking (P2), in seconds.
DRAIN_S_MAX = 2.0
SAMPLE_S = 0.1
CURVE_CONNECTIONS = (1, 4, 16, 64, 256)


async def measure_p1(stage: Stage) -> Result:
    """Book as fast as it goes, against the bare handler on the very same requests."""
    rig, buyers = await stage.rig()
    pairs = []
    for _ in range(stage.sizes.rate_pairs):
        bare = await drive_bare(stage, buyers)
        sale = await make_sale(rig)
        full = await drive_bookings(rig, sale, buyers, seconds=stage.sizes.run_s)
        fault = await find_fault(rig, sale, full.load, connections=CONNECTIONS)
        pairs.append((bare, full, sale, fault))
    async with rig.persisting():
        drift = await find_drift(rig, [sale for _, _, sale, _ in pairs])
    runs = [
        Run(full.load.per_s / bare.load.per_s, fault or drift.get(sale.event_id, ""))
        for bare, full, sale, fault in pairs
    ]
    return result_of(
        "P1",
        runs,
        {
            "connections": CONNECTIONS,
            "cpu_ratios": [cpu_ratio(bare, full) for bare, full, _, _ in pairs],
            "pairs": [
                {"bare": bare.facts(), "booking": full.facts()} for bare, full, _, _ in pairs
            ],
            "generators": await _generators(stage, buyers),
            "curve": await _curve(stage, rig, buyers),
        },
    )


async def measure_p2(stage: Stage) -> Result:
    """
    The same while the persister runs.

    What counts is what PostgreSQL has `DRAIN_S_MAX` after the end: a persister that needs longer
    makes the rate as much lower as the run would have had to be for it to keep up.
    """
    rig, buyers = await stage.rig()
    runs: list[Run] = []
    pairs: list[dict[str, Any]] = []
    async with rig.persisting():
        for _ in range(stage.sizes.rate_pairs):
            bare = await drive_bare(stage, buyers)
            sale = await make_sale(rig)
            full, lag, drain_s = await _drive_persisted(rig, sale, buyers, stage.sizes.run_s)
            late_s = max(0.0, drain_s - DRAIN_S_MAX)
            kept_per_s = full.load.answered / (full.load.seconds + late_s)
            fault = await find_fault(rig, sale, full.load, connections=CONNECTIONS)
            fault = fault or (await find_drift(rig, [sale])).get(sale.event_id, "")
            runs.append(Run(kept_per_s / bare.load.per_s, fault))
            pairs.append(
                {
                    "bare": bare.facts(),
                    "booking": full.facts(),
                    "drain_s": round(drain_s, 2),
                    "kept_per_s": round(kept_per_s, 1),
                    "lag_records_max": max(n for _, n in lag),
                    "lag": lag,
                }
            )
    drained = {"drained within 2 s": all(pair["drain_s"] <= DRAIN_S_MAX for pair in pairs)}
    return result_of("P2", runs, {"connections": CONNECTIONS, "pairs": pairs}, conditions=drained)


async def drive_bare(
    stage: Stage,
    buyers: Buyers,
    *,
    connections: int = CONNECTIONS,
    seconds: float = 0.0,
    tool: str = "",
) -> Driven:
    """Saturate the bare handler with requests that are bookings to the last byte but the path."""
    bare = await stage.bare()
    order = Sale("", "tier_" + 26 * "0", 0).order
    request = post_as_buyer(bare.host, bare.port, bare.path, order, buyers, first=0)
    return await bare.drive(
        request, seconds=seconds or stage.sizes.run_s, connections=connections, tool=tool
    )


def cpu_ratio(bare: Driven, full: Driven) -> float:
    """Return the same ratio in CPU time of the API process per request: steadier than wall time."""
    return round(bare.us_per_answer("bare") / full.us_per_answer("api"), 4)


async def _generators(stage: Stage, buyers: Buyers) -> dict[str, Any]:
    """
    Show of each generator that it is not the bottleneck.

    Its ceiling is what it could send with a core of its own: answers per second of its CPU time.
    """
    found = {}
    for tool in tools():
        driven = await drive_bare(stage, buyers, tool=tool)
        ceiling_per_s = driven.load.answered / driven.load.cpu_s
        found[tool] = driven.facts() | {"ceiling_per_s": round(ceiling_per_s)}
    return found


async def _curve(stage: Stage, rig: Rig, buyers: Buyers) -> list[dict[str, float]]:
    """Return answers a second of both sides by number of connections."""
    rows = []
    seconds = stage.sizes.run_s / 2
    for connections in CURVE_CONNECTIONS:
        bare = await drive_bare(stage, buyers, connections=connections, seconds=seconds)
        full = await drive_bookings(
            rig, await make_sale(rig), buyers, seconds=seconds, connections=connections
        )
        rows.append(
            {
                "connections": connections,
                "bare": round(bare.load.per_s, 1),
                "booking": round(full.load.per_s, 1),
            }
        )
    return rows


async def _drive_persisted(
    rig: Rig, sale: Sale, buyers: Buyers, seconds: float
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
            driven = await drive_bookings(rig, sale, buyers, seconds=seconds)
        finally:
            is_over.set()
            await watching
        ended_s = time.monotonic()
        deadline_s = ended_s + DRAIN_TIMEOUT_S
        while await sample(backstage) and time.monotonic() < deadline_s:  # noqa: ASYNC110  Polled.
            await asyncio.sleep(SAMPLE_S / 2)
    return driven, lag, time.monotonic() - ended_s
