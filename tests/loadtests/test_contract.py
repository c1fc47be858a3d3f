"""The benchmark's contract: the form of a result, and when it is met or void."""

from __future__ import annotations

import msgspec
import pytest

from loadtests.bench import report
from loadtests.bench.contract import (
    RESULTS_PATH,
    TARGETS,
    Machine,
    Run,
    commit,
    document,
    missing,
    result_of,
    results_in,
    this_machine,
)

NAMES = [f"P{number}" for number in range(1, 14)]
#: Measures that came after the run whose document is committed.
LATER = {"P12", "P13"}


def test_every_measure_has_a_target() -> None:
    """P1 to P13 have a target and a sense, and nothing else has."""
    assert list(TARGETS) == NAMES
    assert {target.sense for target in TARGETS.values()} == {"min", "max"}


@pytest.mark.parametrize(
    ("name", "values", "is_met"),
    [
        ("P1", [0.8, 0.85, 0.9], True),
        ("P1", [0.9, 0.84, 0.7], False),
        ("P4", [2.0, 2.1, 1.9], True),
        ("P4", [2.1, 2.1, 1.0], False),
    ],
)
def test_the_median_is_held_against_the_target(
    name: str, values: list[float], is_met: bool
) -> None:
    """At least or at most, as the measure's sense says; the target itself meets it."""
    result = result_of(name, [Run(value) for value in values], {})

    assert result.value == sorted(values)[1]
    assert result.met == is_met
    assert result.runs == values


def test_void_runs_do_not_count() -> None:
    """A run whose invariants failed is left out, says why, and may leave too few."""
    runs = [Run(0.9), Run(5.0, "oversold: 3"), Run(0.8), Run(1.0)]
    judged = result_of("P1", runs, {})
    short = result_of("P1", runs[:3], {})

    assert (judged.value, judged.met, judged.runs) == (0.9, True, [0.9, 0.8, 1.0])
    assert judged.detail["void"] == ["oversold: 3"]
    assert (short.value, short.met) == (None, False)


def test_a_condition_that_fails_is_a_target_missed() -> None:
    """A good value is not enough where something else must hold as well."""
    result = result_of("P2", [Run(1.0)] * 3, {}, conditions={"drained within 2 s": False})

    assert (result.value, result.met) == (1.0, False)
    assert result.detail["conditions"] == {"drained within 2 s": False}


def test_a_document_is_read_as_it_was_written() -> None:
    """Results, machine and commit survive the way through JSON; the order is that of the names."""
    results = {name: result_of(name, [Run(1.0)] * 3, {}) for name in reversed(NAMES)}
    written = document(results, machine=this_machine(), extra={})
    read = msgspec.json.decode(msgspec.json.encode(written))

    assert [name for name in read if name in TARGETS] == NAMES
    assert results_in(read) == results
    assert read["commit"] == commit()
    assert msgspec.convert(read["machine"], Machine).cores > 0


def test_a_missing_measure_says_why() -> None:
    """What could not be measured stands in the document, without a value and not met."""
    result = missing("P10", "not there")

    assert (result.value, result.met, result.runs) == (None, False, [])
    assert result.detail == {"missing": "not there"}


def test_the_committed_result_keeps_the_contract() -> None:
    """`latest.json` has every measure with value, target, sense, verdict and three runs."""
    found = report.read(RESULTS_PATH / "latest.json")
    results = results_in(found)

    assert list(results) == [name for name in NAMES if name in results or name not in LATER]
    assert found["commit"]
    assert msgspec.convert(found["machine"], Machine).cores > 0
    for name, result in results.items():
        assert (result.target, result.sense) == (TARGETS[name].target, TARGETS[name].sense)
        if result.value is None:
            assert result.detail.keys() & {"missing", "void"}
        else:
            assert len(result.runs) >= 3
