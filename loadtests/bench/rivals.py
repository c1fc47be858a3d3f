"""
P3: the full booking over HTTP against the best of the seed's three approaches.

The approaches run behind the same HTTP layer (`loadtests/baselines`), with 32 connections to the
very PostgreSQL of the rig, and sell one hot event as the service does.
"""

from __future__ import annotations

import msgspec

from engine.ids import new_id
from loadtests.baselines import tables
from loadtests.baselines.service import APPROACHES, Options
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.cpu import cpu_s
from loadtests.bench.load import saturate
from loadtests.bench.rig import Rig, Served, serving
from loadtests.bench.sale import (
    CAPACITY,
    PERSON_MAX,
    Buyers,
    Sale,
    find_drift,
    find_fault,
    make_sale,
    post_as_buyer,
)
from loadtests.bench.stage import CONNECTIONS, Driven, Stage, drive_bookings
from store.pool import connect

WARM_UP_S = 1.0


async def measure_p3(stage: Stage) -> Result:
    """In each round let the service and every approach sell; compare with the best of them."""
    rig, buyers = await stage.rig()
    runs, rounds, sales = [], [], []
    options = Options(rig.settings.database_url, rig.redis_url(), rig.settings.jwt_secret)
    async with serving("loadtests.baselines", msgspec.json.encode(options)) as rivals:
        for name in APPROACHES:  # Opens the connections, plans the statements.
            await _drive(rig, rivals, name, buyers, WARM_UP_S)
        for _ in range(stage.sizes.pairs):
            sale = await make_sale(rig)
            full = await drive_bookings(rig, sale, buyers, seconds=stage.sizes.run_s)
            fault = await find_fault(rig, sale, full.load, connections=CONNECTIONS)
            driven: dict[str, Driven] = {}
            for name in APPROACHES:
                driven[name], its_fault = await _drive(rig, rivals, name, buyers, stage.sizes.run_s)
                fault = fault or its_fault
            best = max(succeeded_per_s(one) for one in driven.values())
            runs.append((succeeded_per_s(full) / best, fault))
            sales.append(sale)
            rounds.append(
                {
                    "booking": full.facts(),
                    "rivals": {
                        name: one.facts() | {"succeeded_per_s": round(succeeded_per_s(one), 1)}
                        for name, one in driven.items()
                    },
                }
            )
    async with rig.persisting():
        drift = await find_drift(rig, sales)
    judged = [
        Run(ratio, fault or drift.get(sale.event_id, ""))
        for (ratio, fault), sale in zip(runs, sales, strict=True)
    ]
    return result_of("P3", judged, {"connections": CONNECTIONS, "rounds": rounds})


def succeeded_per_s(driven: Driven) -> float:
    """Return bookings a second: an answer that says "try again" is none."""
    return driven.load.succeeded / driven.load.seconds


async def _drive(
    rig: Rig, rivals: Served, approach: str, buyers: Buyers, seconds: float
) -> tuple[Driven, str]:
    event_id = new_id("evt")
    database = await connect(rig.settings.database_url, timeout_ms=10_000)
    try:
        await tables.add_event(database, event_id, capacity=CAPACITY, person_max=PERSON_MAX)
        request = post_as_buyer(
            rivals.port,
            f"/{approach}/events/{event_id}/bookings",
            Sale(event_id, "tier_" + 26 * "0", 0).order,
            buyers,
            first=0,
        )
        before, before_s = rig.cpu(), cpu_s(rivals.pid)
        load = await saturate(request, connections=CONNECTIONS, seconds=seconds)
        after = rig.cpu()
        taken, booked, capacity = await tables.count(database, event_id)
    finally:
        await database.close()
    cpu = {name: after[name] - before[name] for name in ("valkey", "postgres")}
    driven = Driven(load, {"api": cpu_s(rivals.pid) - before_s} | cpu)
    if taken > capacity or taken != booked:
        return driven, f"{approach} oversold: {taken} taken, {booked} booked of {capacity}"
    if booked < load.succeeded:
        return driven, f"{approach} lost: {load.succeeded} acknowledged, {booked} booked"
    return driven, ""
