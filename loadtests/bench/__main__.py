"""
`make bench`: measures P1 to P11, writes `loadtests/results`, prints a table with verdicts.

`--only P1,P4` makes some, `--compare FILE` says better, same or worse than an earlier document,
`--quick` tries everything in small.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import uvloop

from loadtests.bench import answers, booking, contract, script
from loadtests.bench.contract import TARGETS, Result
from loadtests.bench.stage import FULL, QUICK, Stage

MEASURES: dict[str, Callable[[Stage], Awaitable[Result]]] = {
    "P1": booking.measure_p1,
    "P2": booking.measure_p2,
    "P4": script.measure_p4,
    "P5": answers.measure_p5,
}


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default=",".join(TARGETS), help="measures, such as P1,P4")
    parser.add_argument("--quick", action="store_true", help="small and short, for trying")
    parser.add_argument("--compare", type=Path, help="an earlier document to compare with")
    arguments = parser.parse_args()
    names = [name.strip().upper() for name in arguments.only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(TARGETS)}")
    machine = contract.this_machine()
    results = uvloop.run(measure(names, is_quick=arguments.quick))
    found = contract.document(results, machine=machine, extra={})
    contract.RESULTS_PATH.mkdir(exist_ok=True)
    (contract.RESULTS_PATH / "latest.json").write_bytes(
        orjson.dumps(found, option=orjson.OPT_INDENT_2)
    )
    for name, result in results.items():
        print(name, result.value, result.target, result.met, result.runs)


async def measure(names: list[str], *, is_quick: bool) -> dict[str, Result]:
    """Make the measures *names*, one after another."""
    results = {}
    async with contextlib.AsyncExitStack() as stack:
        stage = Stage(QUICK if is_quick else FULL, stack)
        for name in names:
            started_s = time.monotonic()
            if name in MEASURES:
                results[name] = await MEASURES[name](stage)
            else:
                results[name] = contract.missing(name, "not written yet")
            print(f"{name} took {time.monotonic() - started_s:.1f} s", file=sys.stderr)
    return results


if __name__ == "__main__":
    main()
