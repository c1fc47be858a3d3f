"""The table of rigs in docs/RELIABILITY.md: one row each, and every command is there."""

from __future__ import annotations

import re

import pytest

from loadtests.chaos.sabotage import ROOT

ROWS = re.findall(
    r"^\| (R\d) \| `([^`]+)`.* \| (.+) \| (.+) \|$",
    (ROOT / "docs" / "RELIABILITY.md").read_text(),
    re.MULTILINE,
)


def test_every_rig_has_its_row() -> None:
    """R1 to R8 stand in order, and no file calls itself a rig that has no row."""
    rigs = [f"R{number}" for number in range(1, 9)]
    assert rigs == [rig for rig, _, _, _ in ROWS]
    named = {
        rig
        for room in ("loadtests", "tests")
        for path in (ROOT / room).rglob("*.py")
        for rig in re.findall(r"\brig (R\d+)", path.read_text(), re.IGNORECASE)
    }
    assert named <= set(rigs)


@pytest.mark.parametrize("command", [command for _, command, _, _ in ROWS])
def test_every_command_is_there(command: str) -> None:
    """A target of the Makefile, a module, or tests."""
    program, *words = command.split()
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == ".venv/bin/pytest":
        assert (ROOT / words[0]).exists()
    else:
        assert [".venv/bin/python", "-m"] == [program, words[0]]
        assert (ROOT / words[1].replace(".", "/") / "__main__.py").exists()
