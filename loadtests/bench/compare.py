"""
A regression guard: says of each measure whether it is better, same or worse than it was.

Noise is what the runs of both documents show: a change is one only if it is larger than half the
spread of the runs before and half the spread of those now, together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from loadtests.bench.contract import Figure, Result, figures

Word = Literal["better", "same", "worse", "unknown"]
#: Relative changes below this are noise, however alike the runs were.
NOISE_MIN = 0.02


class Change(NamedTuple):
    """How one figure has changed."""

    label: str
    word: Word
    before: float | None
    now: float | None
    #: Relative change of the value; positive is more.
    change: float
    #: Relative change that could be chance.
    noise: float


def compare(before: dict[str, Result], now: dict[str, Result]) -> list[Change]:
    """Compare all figures that *now* has, in order."""
    earlier = {figure.label: figure for figure in figures(before)}
    for name, result in before.items():
        if name in now and "points" in now[name].detail and "points" not in result.detail:
            # Measured before peaks were: with 64 connections.
            earlier[f"{name} at 64"] = earlier.pop(name)
    return [_compare_one(earlier.get(figure.label), figure) for figure in figures(now)]


def has_regressed(changes: Sequence[Change]) -> bool:
    """Tell whether anything is worse."""
    return any(change.word == "worse" for change in changes)


def spread(runs: Sequence[float]) -> float:
    """Return half the range of *runs*, relative to their middle."""
    low, high = min(runs), max(runs)
    middle = abs(high + low) / 2
    return (high - low) / 2 / middle if middle else 0.0


def _compare_one(before: Figure | None, now: Figure) -> Change:
    earlier = before.value if before is not None else None
    if before is None or now.value is None or not earlier:
        return Change(now.label, "unknown", earlier, now.value, 0.0, 0.0)
    change = now.value / earlier - 1
    noise = max(NOISE_MIN, spread(before.runs) + spread(now.runs))
    word: Word = "same"
    if abs(change) > noise:
        word = "better" if (change > 0) == (now.sense == "min") else "worse"
    return Change(now.label, word, earlier, now.value, change, noise)
