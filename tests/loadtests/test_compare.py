"""The regression guard: what is a change and what is noise."""

from __future__ import annotations

import pytest

from loadtests.bench.compare import Word, compare, has_regressed, spread
from loadtests.bench.contract import Result, Run, missing, result_of


def result(name: str, *values: float) -> dict[str, Result]:
    """Return one measure's result."""
    return {name: result_of(name, [Run(value) for value in values], {})}


@pytest.mark.parametrize(
    ("name", "before", "now", "word"),
    [
        ("P1", (0.80, 0.80, 0.80), (0.90, 0.90, 0.90), "better"),
        ("P1", (0.80, 0.80, 0.80), (0.70, 0.70, 0.70), "worse"),
        ("P4", (2.0, 2.0, 2.0), (1.8, 1.8, 1.8), "better"),
        ("P4", (2.0, 2.0, 2.0), (2.2, 2.2, 2.2), "worse"),
        # Five per cent more, but the runs before were that far apart themselves.
        ("P1", (0.76, 0.80, 0.84), (0.84, 0.84, 0.84), "same"),
        # Alike to the last digit: still, a hundredth more or less is chance.
        ("P1", (0.80, 0.80, 0.80), (0.809, 0.809, 0.809), "same"),
    ],
)
def test_changes_beyond_the_noise_have_a_word(
    name: str, before: tuple[float, ...], now: tuple[float, ...], word: Word
) -> None:
    """Better or worse follows the measure's sense, and needs more than the spread of both."""
    (change,) = compare(result(name, *before), result(name, *now))

    assert change.word == word
    assert has_regressed([change]) == (word == "worse")


def test_what_has_no_value_is_not_compared() -> None:
    """A measure that is new, or void on either side, is neither better nor worse."""
    now = result("P1", 1.0, 1.0, 1.0)

    assert [change.word for change in compare({}, now)] == ["unknown"]
    assert [change.word for change in compare({"P1": missing("P1", "x")}, now)] == ["unknown"]
    assert [change.word for change in compare(now, {"P1": missing("P1", "x")})] == ["unknown"]


def test_each_point_is_compared_with_its_own_and_what_had_none_was_at_64() -> None:
    """A document of before there were peaks is held against the figure at 64 connections."""

    def with_points(value: float) -> dict[str, Result]:
        figures = {"value": value, "runs": [value] * 3, "cpu_ratio": 1.0, "cpu_ratios": [1.0] * 3}
        points = dict.fromkeys(("peak", "256", "64"), figures)
        return {"P1": result_of("P1", [Run(value)] * 3, {"points": points})}

    now = with_points(0.8)
    words = {change.label: change.word for change in compare(with_points(0.6), now)}
    since = {change.label: change.word for change in compare(result("P1", 0.6, 0.6, 0.6), now)}

    assert words == {"P1": "better", "P1 CPU": "same", "P1 at 256": "better", "P1 at 64": "better"}
    assert since == dict.fromkeys(("P1", "P1 CPU", "P1 at 256"), "unknown") | {"P1 at 64": "better"}


def test_spread_is_half_the_range() -> None:
    """Runs from 90 to 110 spread by a tenth."""
    assert spread([90, 100, 110]) == pytest.approx(0.1)
    assert spread([0.0, 0.0]) == 0.0
