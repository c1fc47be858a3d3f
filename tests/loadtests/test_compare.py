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


def test_spread_is_half_the_range() -> None:
    """Runs from 90 to 110 spread by a tenth."""
    assert spread([90, 100, 110]) == pytest.approx(0.1)
    assert spread([0.0, 0.0]) == 0.0
