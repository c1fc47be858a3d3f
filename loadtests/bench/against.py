"""
This checkout against another one, side by side: what a change has brought, on one machine.

    make bench AGAINST=../before

An Evently of each runs, with its own code, packages and servers; both are driven in turns, from one
generator, on the same requests, as P1, P2 and P5 do it. A ratio above 1 is better here. Of the
other checkout the rig needs what clients see, and its tables of users and checkpoints.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from loadtests.bench.answers import read_side, refusal_side, sold_out
from loadtests.bench.booking import booking_side, persisted_side
from loadtests.bench.peaks import POINTS, Shot, Side, Turns, take_turns
from loadtests.bench.rig import Rig
from loadtests.bench.sale import Buyers, Sale, find_drift, make_sale, warm_up
from loadtests.bench.stage import Sizes, Stage

HERE, THERE = "here", "there"
#: What is told of each side: CPU time by part, per answer.
PARTS = ("api", "valkey", "persister", "postgres")
FIGURES = ("connections", "a second", *(f"{part} µs" for part in PARTS))


class Checkout(NamedTuple):
    """One checkout's Evently, with buyers whom its API knows, and an event that is sold out."""

    rig: Rig
    buyers: Buyers
    over: Sale


class Line(NamedTuple):
    """What came of one thing that both do, at one point: medians over the rounds."""

    what: str
    point: str
    #: By `FIGURES`: here, and there.
    figures: dict[str, tuple[float, float]]
    #: Above 1 where it is better here: in answers a second, and in CPU time of the API.
    ratio: float
    cpu_ratio: float
    #: Why rounds did not count.
    void: Sequence[str]


async def measure(sizes: Sizes, other: Path, names: Sequence[str]) -> list[Line]:
    """
    Measure both checkouts in turns.

    Args:
        other: The other checkout's folder.

        names: Of P1, P2 and P5, those that are wanted.
    """
    lines: list[Line] = []
    async with contextlib.AsyncExitStack() as stack:
        homes = {HERE: await _home(stack, sizes, None), THERE: await _home(stack, sizes, other)}
        stage = Stage(sizes, stack)

        async def settle(sales: list[Sale]) -> dict[str, str]:
            faults: dict[str, str] = {}
            for who, home in homes.items():
                own = [sale for sale in sales if sale.base_url == home.rig.base_url]
                async with home.rig.persisting():
                    faults |= await find_drift(home.rig, own, is_checked=who == HERE)
            return faults

        if "P1" in names:
            sides = [booking_side(home.rig, home.buyers, who) for who, home in homes.items()]
            lines += _lines("bookings", await _turns(stage, sides, settle))
        if "P2" in names:
            async with homes[HERE].rig.persisting(), homes[THERE].rig.persisting():
                sides = [persisted_side(home.rig, home.buyers, who) for who, home in homes.items()]
                lines += _lines("bookings, persisted", await _turns(stage, sides, settle))
        if "P5" in names:
            sides = [refusal_side(h.rig, h.buyers, h.over, who) for who, h in homes.items()]
            lines += _lines("refusals", await _turns(stage, sides))
            sides = [read_side(home.rig, home.over, who) for who, home in homes.items()]
            lines += _lines("reads", await _turns(stage, sides))
    return lines


async def _home(stack: contextlib.AsyncExitStack, sizes: Sizes, tree: Path | None) -> Checkout:
    rig = await stack.enter_async_context(Rig(tree=tree))
    buyers = await Buyers.make(rig, sizes.buyers)
    await warm_up(rig, await make_sale(rig), buyers)
    return Checkout(rig, buyers, await sold_out(rig, buyers))


async def _turns(stage: Stage, sides: Sequence[Side], settle: Any = None) -> Turns:
    stage.best.clear()  # What is measured is another thing each time.
    return await take_turns(stage, sides, settle=settle)


def _lines(what: str, turns: Turns) -> list[Line]:
    return [_line(what, point, turns) for point in POINTS]


def _line(what: str, point: str, turns: Turns) -> Line:
    rounds = turns.rounds[point]
    void = [shot.fault for shots in rounds for shot in shots.values() if shot.fault]
    valid = [shots for shots in rounds if not any(shot.fault for shot in shots.values())] or rounds

    def both(figure: str) -> tuple[float, float]:
        here, there = (
            statistics.median(_figures(turns, point, who, shots[who])[figure] for shots in valid)
            for who in (HERE, THERE)
        )
        return here, there

    return Line(
        what,
        point,
        {figure: both(figure) for figure in FIGURES},
        statistics.median(shots[HERE].per_s / shots[THERE].per_s for shots in valid),
        statistics.median(shots[THERE].cpu_us / shots[HERE].cpu_us for shots in valid),
        void,
    )


def _figures(turns: Turns, point: str, who: str, shot: Shot) -> dict[str, float]:
    parts = {f"{part} µs": shot.driven.us_per_answer(part) for part in shot.driven.cpu}
    rest = {"connections": turns.connections(point, who), "a second": round(shot.per_s)}
    return parts | rest


def show(lines: Sequence[Line], other: Path, console: Console) -> None:
    """Print the table."""
    table = Table("", "point", *FIGURES, "ratio", "CPU ratio", title=f"here / {other}")
    for line in lines:
        pairs = [f"{here:.4g} / {there:.4g}" for here, there in line.figures.values()]
        table.add_row(line.what, line.point, *pairs, f"{line.ratio:.3f}", f"{line.cpu_ratio:.3f}")
    console.print(table)
    for line in lines:
        for reason in line.void:
            console.print(f"void: {line.what}, {line.point}: {reason}", markup=False)
