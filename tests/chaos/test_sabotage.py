"""`loadtests/chaos/sabotage.py`: the table fits the code, and the document is the table."""

from __future__ import annotations

import pytest

from loadtests.chaos import sabotage
from loadtests.chaos.sabotage import CHAOS, DOCUMENT, ROOT, SAFEGUARDS, DoesNotFit, Edit, Safeguard


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
