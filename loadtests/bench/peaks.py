"""
Sides measured in turns: each at its own best number of connections, and all at 256 and at 64.

With few connections a server that waits for an fsync idles, so what it can do shows at its peak:
`take_turns` looks for that in short runs, then lets the sides run one right after the other, round
by round, at each of `POINTS`. `result_of_turns` makes P1, P2, P5 of it, `against.py` a comparison
of two checkouts.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from loadtests.bench.contract import AT, CPU_TARGETS, PEAK, Result, Run, result_of
from loadtests.bench.sale import Sale
from loadtests.bench.stage import Driven, Stage

#: Numbers of connections among which a side's best is looked for.
CONCURRENCIES = (64, 128, 256, 512)
#: Where figures are taken, and with how many connections; 0: each side with its own best.
POINTS = {PEAK: 0} | {str(connections): connections for connections in AT}


class Shot(NamedTuple):
    """One run of one side."""

    driven: Driven
    #: Answers a second, as far as they count.
    per_s: float
    #: CPU time of the serving process per answer, in µs.
    cpu_us: float
    #: Why the run does not count; empty if it does.
    fault: str = ""
    #: What was sold, if anything was.
    sale: Sale | None = None
    #: Besides the usual facts.
    more: dict[str, Any] = {}  # noqa: RUF012  Never changed.


class Side(NamedTuple):
    """Something to be measured with any number of connections, for so many seconds."""

    name: str
    drive: Callable[[int, float], Awaitable[Shot]]


#: Drains what was sold, and says what is wrong with it by event.
Settle = Callable[[list[Sale]], Awaitable[dict[str, str]]]


class Turns(NamedTuple):
    """What came of it."""

    #: Best number of connections, by side.
    best: dict[str, int]
    #: Answers a second of the short runs, by side and connections.
    probes: dict[str, dict[int, float]]
    #: By point, one after the other: what each side did in that round.
    rounds: dict[str, list[dict[str, Shot]]]

    def connections(self, point: str, side: str) -> int:
        """Return the connections of a side at a point."""
        return POINTS[point] or self.best[side]


async def take_turns(
    stage: Stage, sides: Sequence[Side], *, settle: Settle | None = None, also: Sequence[int] = ()
) -> Turns:
    """
    Find each side's best, then measure all of them round by round.

    Args:
        also: Numbers of connections that are of interest, and not among `CONCURRENCIES`.
    """

    async def settled(shots: Sequence[Shot]) -> dict[str, str]:
        return await settle([one.sale for one in shots if one.sale]) if settle else {}

    probes: dict[str, dict[int, float]] = {side.name: {} for side in sides}
    for connections in sorted({*also, *CONCURRENCIES}):
        for side in sides:
            if also or side.name not in stage.best:
                shot = await side.drive(connections, stage.sizes.probe_s)
                probes[side.name][connections] = round(shot.per_s, 1)
    for name, rates in probes.items():
        if rates:
            stage.best[name] = max(CONCURRENCIES, key=rates.__getitem__)
    await settled([])
    turns = Turns({side.name: stage.best[side.name] for side in sides}, probes, {})
    for number in range(stage.sizes.peak_pairs):
        shots: dict[tuple[str, int], Shot] = {}
        points = [point for point in POINTS if point == PEAK or number < stage.sizes.pairs]
        for point in points:
            for side in sides:
                at = side.name, turns.connections(point, side.name)
                if at not in shots:  # The best may be 256 or 64.
                    shots[at] = await side.drive(at[1], stage.sizes.pair_s)
        drift = await settled(list(shots.values()))
        for at, shot in shots.items():
            if shot.sale and not shot.fault:
                shots[at] = shot._replace(fault=drift.get(shot.sale.event_id, ""))
        for point in points:
            row = {
                side.name: shots[side.name, turns.connections(point, side.name)] for side in sides
            }
            turns.rounds.setdefault(point, []).append(row)
    return turns


def result_of_turns(
    name: str,
    turns: Turns,
    pairs: dict[str, str],
    *,
    conditions: dict[str, bool] | None = None,
    **detail: Any,
) -> Result:
    """
    Judge measure *name* by the peaks; the other points stand in the detail.

    Args:
        pairs: What each of our sides is held against; the worst of the ratios counts.
    """
    points = {point: _point(turns, point, pairs) for point in POINTS}
    peak = turns.rounds[PEAK]
    runs = [
        Run(ratio, next((one.fault for one in shots.values() if one.fault), ""))
        for ratio, shots in zip(points[PEAK]["all_runs"], peak, strict=True)
    ]
    conditions = dict(conditions or {})
    if (least := CPU_TARGETS.get(name)) is not None:
        cpu_ratio = points[PEAK]["cpu_ratio"]
        conditions[f"CPU ratio ≥ {least:g}"] = cpu_ratio is not None and cpu_ratio >= least
    return result_of(
        name, runs, detail | {"probes": turns.probes, "points": points}, conditions=conditions
    )


def _point(turns: Turns, point: str, pairs: dict[str, str]) -> dict[str, Any]:
    rows = []
    for shots in turns.rounds[point]:
        ratios = {our: shots[our].per_s / shots[their].per_s for our, their in pairs.items()}
        cpu_ratios = {our: shots[their].cpu_us / shots[our].cpu_us for our, their in pairs.items()}
        rows.append((min(ratios.values()), min(cpu_ratios.values()), shots))
    valid = [row for row in rows if not any(shot.fault for shot in row[2].values())]
    return {
        "connections": {side: turns.connections(point, side) for side in turns.best},
        "value": median([ratio for ratio, _, _ in valid]),
        "runs": [ratio for ratio, _, _ in valid],
        "all_runs": [ratio for ratio, _, _ in rows],
        "cpu_ratio": median([ratio for _, ratio, _ in valid]),
        "cpu_ratios": [round(ratio, 4) for _, ratio, _ in valid],
        "sides": [
            {name: _facts(shot, is_whole=point == PEAK) for name, shot in shots.items()}
            for _, _, shots in rows
        ],
    }


def median(values: list[float]) -> float | None:
    """Return the median; None of nothing."""
    return statistics.median(values) if values else None


def _facts(shot: Shot, *, is_whole: bool) -> dict[str, Any]:
    """Return what is told of a run: where its peak is not, less of it."""
    facts = shot.driven.facts() | shot.more
    return facts if is_whole else {name: facts[name] for name in ("per_s", "latency_ms", "cpu_us")}
