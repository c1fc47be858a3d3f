"""
P6, P10: the persister and the rebuild of a shard, against COPY of the same rows.

Both are measured where they live (`loadtests/bench_persister.py`, `loadtests/bench_rebuild.py`);
here their figures become results of the contract.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from loadtests.bench import contract
from loadtests.bench.contract import Result, Run, result_of
from loadtests.bench.stage import QUICK, Stage

QUICK_OPTIONS: dict[str, Any] = {"bookings": 10_000}


async def measure_p6(stage: Stage) -> Result:
    """Let the persister empty a journal, and COPY the rows that it made."""
    return await _measured("P6", "loadtests.bench_persister", stage)


async def measure_p10(stage: Stage) -> Result:
    """Rebuild a shard from PostgreSQL, and COPY the rows that it takes out."""
    return await _measured("P10", "loadtests.bench_rebuild", stage)


async def _measured(name: str, module_name: str, stage: Stage) -> Result:
    if importlib.util.find_spec(module_name) is None:
        return contract.missing(name, f"{module_name} is not there yet")
    options = QUICK_OPTIONS if stage.sizes == QUICK else {}
    found: dict[str, Any] = await importlib.import_module(module_name).measure(**options)
    return result_of(name, [Run(float(value)) for value in found["runs"]], found["detail"])
