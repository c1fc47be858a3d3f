"""
P6, P10: the persister and the rebuild of a shard, against COPY of the same rows.

Both are measured where they live (`loadtests/bench_persister.py`, `loadtests/bench_rebuild.py`);
here their figures become results of the contract.
"""

from __future__ import annotations

from typing import Any

from loadtests import bench_persister, bench_rebuild
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.stage import QUICK, Stage

#: Bookings of one rebuild: enough that seconds, not starts, are compared.
REBUILD_BOOKINGS = 200_000
QUICK_BOOKINGS = 10_000


async def measure_p6(stage: Stage) -> Result:
    """Let the persister empty a journal, and COPY the rows that it made."""
    bookings = QUICK_BOOKINGS if stage.sizes == QUICK else bench_persister.BOOKINGS
    found = await bench_persister.measure(bookings=bookings, pairs=stage.sizes.pairs)
    return result_of("P6", [Run(float(value)) for value in found["runs"]], found["detail"])


async def measure_p10(stage: Stage) -> Result:
    """
    Rebuild a shard from PostgreSQL, and COPY the rows that it takes out.

    The proof that follows every rebuild is not part of the ratio; the detail has its seconds.
    """
    bookings = QUICK_BOOKINGS if stage.sizes == QUICK else REBUILD_BOOKINGS
    rounds: list[dict[str, Any]] = [
        await bench_rebuild.measure(bookings=bookings) for _ in range(stage.sizes.pairs)
    ]
    return result_of("P10", [Run(float(one["ratio"])) for one in rounds], {"rounds": rounds})
