"""`loadtests/chaos/sabotage.py`: the table fits the code, and the document is the table."""

from __future__ import annotations

import pytest

from loadtests.chaos import sabotage
from loadtests.chaos.sabotage import (
    BROKE,
    CAUGHT,
    CHAOS,
    DOCUMENT,
    HUNG,
    PASSED,
    ROOT,
    SAFEGUARDS,
    DoesNotFit,
    Edit,
    Safeguard,
)


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda one: one.name)
def test_each_edit_fits_the_code(safeguard: Safeguard) -> None:
    """Every edit finds its text exactly once and changes it, and its rig exists."""
    for file, text in sabotage.edited(ROOT, safeguard).items():
        assert (ROOT / file).read_text() != text
    if not safeguard.rig.startswith(CHAOS):
        words = safeguard.rig.split(" -k ")[0].split()
        assert [] == [word for word in words if not (ROOT / word).exists()]


def test_an_edit_that_does_not_fit_is_an_error() -> None:
    """Code that has changed is not passed over in silence."""
    stale = Safeguard("x", "F0", (Edit("lua/lib/door.lua", "no such text", ""),), "tests/lua")
    twice = Safeguard("y", "F0", (Edit("lua/lib/door.lua", "tonumber", ""),), "tests/lua")

    for one in (stale, twice):
        with pytest.raises(DoesNotFit):
            sabotage.edited(ROOT, one)


def test_names_are_distinct() -> None:
    """No two rows of the table have one name."""
    assert len(SAFEGUARDS) == len({one.name for one in SAFEGUARDS})


def test_document_is_the_table() -> None:
    """`docs/SABOTAGE.md` was written from the table as it is."""
    assert sabotage.document() == DOCUMENT.read_text()


@pytest.mark.parametrize(
    ("code", "output", "is_chaos", "word"),
    [
        (0, "1 passed", False, PASSED),
        (1, "E   assert 1 == 2", False, CAUGHT),
        (1, "E   Failed: Timeout (>60.0s) from pytest-timeout.", False, HUNG),
        (4, "not found", False, BROKE),
        (1, "CHAOS seeds=1 faults=3 lost=1", True, CAUGHT),
        (1, "Traceback (most recent call last)", True, BROKE),
    ],
)
def test_only_what_a_rig_has_seen_is_caught(
    code: int, output: str, is_chaos: bool, word: str
) -> None:
    """A rig that passes, breaks down, or waits until its time is over has not noticed anything."""
    assert word == sabotage.verdict(code, output, is_chaos)


def test_last_line() -> None:
    """It counts what was caught, and everything else by its name."""
    line = sabotage.line([CAUGHT, HUNG, CAUGHT], minutes=2)
    assert line == "SABOTAGE safeguards=3 caught=2 minutes=2.0 hung=1"
