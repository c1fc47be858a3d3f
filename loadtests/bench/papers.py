"""P13: what a ticket costs in CPU time, each drawn for the first time."""

from __future__ import annotations

from typing import Any

import msgspec

from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.stage import Stage
from loadtests.papers import measured

#: Of so many bookings of other measures there is one ticket here.
BOOKINGS_A_TICKET = 50


async def measure_p13(stage: Stage) -> Result:
    """Draw different tickets, in three languages, in a process of its own for each run."""
    count = stage.sizes.bookings // BOOKINGS_A_TICKET
    costs = [await measured("typst", count) for _ in range(stage.sizes.pairs)]
    rows: list[dict[str, Any]] = [msgspec.to_builtins(cost) for cost in costs]
    return result_of("P13", [Run(cost.cpu_ms) for cost in costs], {"rows": rows})
