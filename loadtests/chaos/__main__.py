"""
`make chaos`: rounds of faults against a whole Evently, until the time is up or a promise is broken.

`python -m loadtests.chaos --seed N --minutes M` begins with the round of seed N, so that the seed
that a failure prints brings the same faults again. The last line is the verdict over all rounds;
the exit code is 0 only if nothing was lost, oversold, doubled, denied or otherwise violated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from evently.embedded import PostgresServer
from loadtests.chaos.aof_cut import Sweep
from loadtests.chaos.checkers import Violation
from loadtests.chaos.nemesis import CATALOGUE
from loadtests.chaos.round import Progress, Round, Verdict

#: Part of the time that cutting logs may take.
SWEEP_SHARE = 0.2
REFRESH_INTERVAL_S = 0.25
TIMELINE_LINES_MAX = 80
#: Nothing in a round may take longer than this altogether.
ROUND_TIMEOUT_S = 480.0


def main() -> None:
    """Read the arguments, run the rounds, end with the verdict."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first round (random)")
    parser.add_argument("--minutes", type=float, default=2.0, help="start no round later (2)")
    parser.add_argument("--rounds", type=int, default=1_000_000, help="at most so many rounds")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=sorted(CATALOGUE),
        metavar="FAULT",
        help="choose from these faults",
    )
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**32)
    verdicts = uvloop.run(
        chaos(
            seed,
            minutes=arguments.minutes,
            rounds_max=arguments.rounds,
            choice=Choice(arguments.only),
        )
    )
    print(line(verdicts))
    sys.exit(1 if any(verdict.violations for verdict in verdicts) else 0)


class Choice(NamedTuple):
    """Which faults come."""

    #: Names of those to choose from; empty for all.
    only: list[str]


async def chaos(seed: int, *, minutes: float, rounds_max: int, choice: Choice) -> list[Verdict]:
    """Run the sweep, then rounds until the time is up or one fails; return their verdicts."""
    console = Console(stderr=True)
    deadline_s = time.monotonic() + 60 * minutes
    swept = None
    if minutes > 0 and not choice.only:
        swept = await _sweep(console, seed, 60 * SWEEP_SHARE * minutes)
        if swept.violations:
            return [swept]
    verdicts = await _rounds(console, seed, deadline_s, rounds_max, choice)
    if swept is not None:
        verdicts[0].faults += swept.faults  # It had the first round's seed.
    return verdicts


async def _rounds(
    console: Console, seed: int, deadline_s: float, rounds_max: int, choice: Choice
) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for one in seeds(seed):
        if len(verdicts) >= rounds_max or (verdicts and time.monotonic() >= deadline_s):
            break
        verdict = await _one(console, one, len(verdicts) + 1, choice)
        verdicts.append(verdict)
        if verdict.violations:
            break
    return verdicts


async def _sweep(console: Console, seed: int, budget_s: float) -> Verdict:
    """Cut Redis's log at as many bytes of its last commands as the time allows (R2)."""
    verdict = Verdict(seed)
    folder = _folder()
    postgres = PostgresServer(folder / "postgres")
    try:
        postgres.start()
        sweep = Sweep(folder, postgres.url, seed=seed)
        await sweep.prepare()
        offsets = [*sweep.borders(), *sweep.offsets()]
        deadline_s = time.monotonic() + budget_s
        for log_bytes in offsets:
            if verdict.faults and time.monotonic() >= deadline_s:
                break
            for text in await sweep.cut(log_bytes):
                verdict.violations.append(Violation("other", "I8", text))
            verdict.faults += 1
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    console.print(
        f"log cut at {verdict.faults} of {len(offsets)} bytes of its last commands, "
        f"{len(verdict.violations)} violations"
    )
    for violation in verdict.violations[:20]:
        console.print(violation.text, markup=False)
    return verdict


def seeds(seed: int) -> Iterator[int]:
    """Yield the seeds of the rounds, from the first on."""
    yield seed
    choices = random.Random(seed)
    while True:
        yield choices.randrange(2**32)


def line(verdicts: list[Verdict]) -> str:
    """Return the one line that a run ends with."""
    violations = sum(len(verdict.violations) for verdict in verdicts)
    count = {
        kind: sum(verdict.count(kind) for verdict in verdicts)
        for kind in ("lost", "oversold", "duplicate", "denied")
    }
    return (
        f"CHAOS seeds={len(verdicts)} faults={sum(verdict.faults for verdict in verdicts)} "
        f"acked={sum(verdict.acked for verdict in verdicts)} lost={count['lost']} "
        f"oversold={count['oversold']} duplicates={count['duplicate']} "
        f"denied={count['denied']} violations={violations}"
    )


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="evt-chaos-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user where we are root, and must get in.
    return folder


async def _one(console: Console, seed: int, number: int, choice: Choice) -> Verdict:
    """Run one round in a folder of its own, which is kept if it fails."""
    folder = _folder()
    progress = Progress()
    one = Round(folder, seed, progress=progress, only=choice.only)
    console.print(f"round {number}, seed {seed}: {'; '.join(map(str, one.faults))}")
    async with _shown(console, progress), asyncio.timeout(ROUND_TIMEOUT_S):
        verdict = await one.run()
    undecided = f", {verdict.undecided} seats undecided" if verdict.undecided else ""
    console.print(
        f"round {number}: {verdict.faults} faults, {verdict.calls} requests, "
        f"{verdict.acked} bookings acknowledged, {len(verdict.violations)} violations{undecided}"
    )
    if verdict.violations:
        _tell(console, verdict, folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def _tell(console: Console, verdict: Verdict, folder: Path) -> None:
    """Say what was violated, how it came, and how to see it again."""
    for violation in verdict.violations[:20]:
        console.print(f"{violation.invariant} {violation.kind}: {violation.text}", markup=False)
    for told in verdict.timeline[-TIMELINE_LINES_MAX:]:
        console.print(told, markup=False, highlight=False)
    console.print(f"history, data and logs: {folder}", markup=False)
    console.print(f"again: make chaos SEED={verdict.seed} MINUTES=0")


@contextlib.asynccontextmanager
async def _shown(console: Console, progress: Progress) -> AsyncIterator[None]:
    """Show how the round goes while it runs."""
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[fault]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    stages = ("starting", "working", "healing", "judging")
    with bars:
        bar = bars.add_task("starting", total=len(stages), fault="")

        async def refresh() -> None:
            while True:
                bars.update(
                    bar,
                    description=progress.stage,
                    fault=progress.fault,
                    completed=stages.index(progress.stage),
                )
                await asyncio.sleep(REFRESH_INTERVAL_S)

        task = asyncio.create_task(refresh())
        try:
            yield
        finally:
            task.cancel()


if __name__ == "__main__":
    main()
