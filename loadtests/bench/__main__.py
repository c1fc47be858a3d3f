"""
`make bench`: measures P1 to P13, writes `loadtests/results`, prints a table with verdicts.

`--only P1,P4` makes some, `--compare FILE` says better, same or worse than an earlier document
(and ends with 1 if anything is worse), `--quick` tries everything in small. `--against FOLDER`
measures P1, P2 and P5 of this checkout and of another one in turns. `growth` instead of measures
makes the page on how costs grow; `search` (P15) and `import` print what a catalogue takes, and
`--only P16` what listeners of a stream take.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import uvloop
from rich.console import Console

from api.files import raise_file_limit
from evently.logs import configure
from loadtests.bench import (
    against,
    answers,
    booking,
    contract,
    crowd,
    growth,
    intake,
    live,
    mail,
    memory,
    papers,
    persister,
    rebuild,
    report,
    rivals,
    scale,
    script,
    search,
)
from loadtests.bench.compare import compare, has_regressed
from loadtests.bench.contract import TARGETS, Result
from loadtests.bench.stage import FULL, QUICK, Sizes, Stage

#: A measure that takes this long is stuck; the others are worth having.
MEASURE_TIMEOUT_S = 600.0
Made = TypeVar("Made")
MEASURES: dict[str, Callable[[Stage], Awaitable[Result]]] = {
    "P1": booking.measure_p1,
    "P2": booking.measure_p2,
    "P3": rivals.measure_p3,
    "P4": script.measure_p4,
    "P5": answers.measure_p5,
    "P6": persister.measure_p6,
    "P7": crowd.measure_p7,
    "P8": memory.measure_p8,
    "P9": scale.measure_p9,
    "P10": rebuild.measure_p10,
    "P11": memory.measure_p11,
    "P12": mail.measure_p12,
    "P13": papers.measure_p13,
}
#: By itself, printed and not kept.
LISTENERS = "P16"


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    whats = ("measures", "growth", "search", "import")
    parser.add_argument("what", nargs="?", choices=whats, default="measures")
    parser.add_argument("--only", default=",".join(TARGETS), help="measures, such as P1,P4")
    parser.add_argument("--quick", action="store_true", help="small and short, for trying")
    parser.add_argument("--compare", type=Path, help="an earlier document to compare with")
    parser.add_argument(
        "--against",
        type=lambda name: Path(name).resolve(),
        help="another checkout to measure beside this one",
    )
    arguments = parser.parse_args()
    asked = {name.strip().upper() for name in arguments.only.split(",") if name.strip()}
    if asked == {LISTENERS}:
        _listen(is_quick=arguments.quick)
    if unknown := asked - TARGETS.keys():
        parser.error(f"there is no {min(unknown)}; there are {', '.join(TARGETS)}")
    names = [name for name in TARGETS if name in asked]
    before = report.read(arguments.compare) if arguments.compare else None
    configure("warning", "bench")
    raise_file_limit()
    sizes = QUICK if arguments.quick else FULL
    if arguments.what == "growth":
        _grow(sizes)
    elif arguments.what in {"search", "import"}:
        bench = search if arguments.what == "search" else intake
        sys.exit(0 if _run(bench.measure(is_quick=arguments.quick)) else 1)
    elif arguments.against:
        lines = _run(against.measure(sizes, arguments.against, names))
        against.show(lines, arguments.against, _console())
    else:
        sys.exit(_measure(names, sizes, before))


def _listen(*, is_quick: bool) -> NoReturn:
    """Measure the listeners, and end."""
    configure("warning", "bench")
    raise_file_limit()
    sys.exit(0 if _run(live.measure(is_quick=is_quick)) else 1)


def _measure(names: list[str], sizes: Sizes, before: dict[str, Any] | None) -> int:
    """Make the measures, write and show the report; return the exit code."""
    machine = contract.this_machine()
    results = _run(measure(names, sizes))
    is_whole = sizes == FULL and names == list(TARGETS)
    extra = {"is_quick": sizes == QUICK}
    latest = contract.RESULTS_PATH / "latest.json"
    if latest.exists() and (grown := report.read(latest).get("growth")):
        extra["growth"] = grown
    document = contract.document(results, machine=machine, extra=extra)
    path = report.write(document, is_whole=is_whole)
    changes = compare(contract.results_in(before), results) if before else []
    console = _console()
    report.show(results, changes, console)
    console.print(f"{path} and .html", highlight=False, soft_wrap=True)
    return 1 if has_regressed(changes) else 0


def _console() -> Console:
    """Return where tables go; one in a log is as wide as it needs."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def _grow(sizes: Sizes) -> None:
    """Make the growth page and put it into the latest report, or a partial one."""
    grown = _run(growth.measure(sizes))
    latest = contract.RESULTS_PATH / "latest.json"
    is_whole = latest.exists() and sizes == FULL
    if is_whole:
        document = report.read(latest)
    else:
        document = contract.document({}, machine=contract.this_machine(), extra={})
    path = report.write(document | {"growth": grown}, is_whole=is_whole)
    for chart in grown["charts"]:
        print(f"{chart['title']}: {chart['slope']}")
    print(f"{path} and .html")


def _run(making: Coroutine[Any, Any, Made]) -> Made:
    """Run to the end; SIGTERM does as Ctrl-C: servers are stopped, their data removed."""

    async def run() -> Made:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await making

    return uvloop.run(run())


async def measure(names: list[str], sizes: Sizes) -> dict[str, Result]:
    """Make the measures *names*, one after another; one that fails is missing, with its error."""
    results = {}
    async with contextlib.AsyncExitStack() as stack:
        stage = Stage(sizes, stack)
        for name in names:
            started_s = time.monotonic()
            try:
                async with asyncio.timeout(MEASURE_TIMEOUT_S):
                    results[name] = await MEASURES[name](stage)
            except Exception as error:  # noqa: BLE001  The other measures are worth having.
                traceback.print_exc()
                results[name] = contract.missing(name, f"{type(error).__name__}: {error}")
            print(f"{name} took {time.monotonic() - started_s:.0f} s", file=sys.stderr)
    return results


if __name__ == "__main__":
    main()
