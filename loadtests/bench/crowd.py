"""
P7: ten thousand open connections, load at half of saturation, latency without omission.

The load is open-loop: orders leave on a Poisson schedule whatever the answers do, and a latency
counts from the moment the order was due. One more run at each of some other fractions of
saturation shows how latency grows.
"""

from __future__ import annotations

from typing import Any

from api.files import raise_file_limit
from loadtests.bench import contract
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.load import Load, follow_schedule
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, booking_request, find_drift, find_fault, make_sale
from loadtests.bench.stage import CONNECTIONS, Stage, drive_bookings

#: Files that a process needs besides its connections.
SPARE_FILES = 500
HALF = 0.5
FRACTIONS = (0.25, 0.75, 0.9)


async def measure_p7(stage: Stage) -> Result:
    """Find saturation, then let the crowd in at half of it."""
    crowd = stage.sizes.crowd
    if raise_file_limit() < crowd + SPARE_FILES:
        return contract.missing("P7", f"a process may not open {crowd + SPARE_FILES} files here")
    rig, buyers = await stage.rig()
    saturation = (
        await drive_bookings(rig, await make_sale(rig), buyers, seconds=stage.sizes.run_s)
    ).load.per_s
    runs: list[tuple[float, str]] = []
    rows: list[dict[str, Any]] = []
    sales: list[Sale] = []
    for number, fraction in enumerate([HALF] * stage.sizes.pairs + list(FRACTIONS)):
        sale = await make_sale(rig)
        load = await _let_in(
            rig,
            sale,
            buyers,
            rate=fraction * saturation,
            crowd=crowd,
            seconds=2 * stage.sizes.run_s,
            seed=number,
        )
        rows.append({"fraction": fraction, "waiting_max": load.waiting_max} | load.facts())
        if fraction == HALF:
            fault = await find_fault(rig, sale, load, connections=crowd)
            runs.append((load.latency_ms["p99"], fault or _error(load)))
            sales.append(sale)
    async with rig.persisting():
        drift = await find_drift(rig, sales)
    judged = [
        Run(p99_ms, fault or drift.get(sale.event_id, ""))
        for (p99_ms, fault), sale in zip(runs, sales, strict=True)
    ]
    return result_of(
        "P7",
        judged,
        {
            "connections": crowd,
            "saturation_per_s": round(saturation, 1),
            "saturation_connections": CONNECTIONS,
            "rows": rows,
        },
    )


async def _let_in(
    rig: Rig, sale: Sale, buyers: Buyers, *, rate: float, crowd: int, seconds: float, seed: int
) -> Load:
    first = buyers.take(int(1.2 * rate * seconds) + 100)
    return await follow_schedule(
        booking_request(rig, sale, buyers, first=first),
        connections=crowd,
        seconds=seconds,
        rate=rate,
        seed=seed,
    )


def _error(load: Load) -> str:
    failed = load.answered - load.succeeded
    return f"{load.errors} without an answer, {failed} refused" if load.errors + failed else ""
