"""Sides in turns: each at its own best number of connections, judged by the worst of its ratios."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from loadtests.bench.load import Load
from loadtests.bench.peaks import Shot, Side, result_of_turns, take_turns
from loadtests.bench.sale import Sale
from loadtests.bench.stage import QUICK, Driven, Stage

LOAD = Load(
    tool="none",
    answered=1,
    seconds=1.0,
    succeeded=1,
    errors=0,
    cpu_s=0.0,
    statuses={},
    latency_ms={},
    is_exact=True,
)


class Fake:
    """A side with a rate for each number of connections; remembers how it was driven."""

    def __init__(self, name: str, rates: dict[int, float], cpu_us: float) -> None:
        self.name, self.rates, self.cpu_us = name, rates, cpu_us
        self.driven: list[int] = []

    @property
    def side(self) -> Side:
        """Return what is measured."""

        async def drive(connections: int, _: float) -> Shot:
            self.driven.append(connections)
            sale = Sale(f"{self.name}-{len(self.driven)}", "", 1)
            rate = self.rates.get(connections, 1.0)
            return Shot(Driven(LOAD, {"api": 0.0}), rate, self.cpu_us, sale=sale)

        return Side(self.name, drive)


async def test_each_side_is_measured_at_its_own_best() -> None:
    """Peak against peak counts; 256 and 64 are told, and no run is made twice in a round."""
    bare = Fake("bare", {64: 100, 128: 120, 256: 90, 512: 50}, 10.0)
    ours = Fake("ours", {64: 40, 128: 60, 256: 108, 512: 70}, 12.5)
    turns = await take_turns(Stage(QUICK, AsyncExitStack()), [bare.side, ours.side])
    result = result_of_turns("P1", turns, {"ours": "bare"})
    points = result.detail["points"]

    assert turns.best == {"bare": 128, "ours": 256}
    assert [108 / 120] * QUICK.peak_pairs == result.runs
    assert [108 / 90, 40 / 100] == [points[point]["value"] for point in ("256", "64")]
    assert [64, 128, 256, 512, *[256, 64] * 3] == ours.driven
    assert [64, 128, 256, 512, *[128, 256, 64] * 3] == bare.driven
    assert (result.met, result.detail["conditions"]) == (False, {"CPU ratio ≥ 0.85": False})


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_round_whose_sale_was_wrong_does_not_count(is_lost: bool) -> None:
    """What the judge of a round finds in a sale voids that round, with its reason."""
    rates = dict.fromkeys((64, 128, 256, 512), 10.0)
    sides = [Fake("bare", rates, 1.0), Fake("ours", rates, 1.0)]

    async def settle(sales: list[Sale]) -> dict[str, str]:
        return {sale.event_id: "lost: 1" for sale in sales if is_lost}

    stage = Stage(QUICK, AsyncExitStack())
    turns = await take_turns(stage, [one.side for one in sides], settle=settle)
    result = result_of_turns("P1", turns, {"ours": "bare"})

    assert (result.value, result.met) == ((None, False) if is_lost else (1.0, True))
    assert result.detail.get("void", []) == ["lost: 1"] * (QUICK.peak_pairs * is_lost)
