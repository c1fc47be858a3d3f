"""Tables on a terminal and in a pipe: no id is ever cut or broken."""

from __future__ import annotations

from engine.printable import table

IDS = ("evt_01HZY3Q4S5T6V7W8X9YABCDEFG", "bk_01HZY3Q4S5T6V7W8X9YABCDEFG")
HEADINGS = ("event", "booking", "what")
ROWS = [(IDS[0], IDS[1], "a long word on what is wrong " * 5), (IDS[0], None, "\x1b[2Jshort")]


def test_a_pipe_gets_columns_however_wide() -> None:
    """One line for each row, its cells under the headings."""
    first, *lines = table(HEADINGS, ROWS, width=None)
    assert 2 == len(lines)
    assert lines[0].startswith(f"{IDS[0]}  {IDS[1]}  a long word")
    assert first.index("booking") == lines[0].index(IDS[1])
    assert "\\x1b[2Jshort" in lines[1]


def test_a_narrow_terminal_gets_blocks() -> None:
    """A line for each cell with something in it; ids are whole in whatever width."""
    for width in (20, 80):
        _, *blocks = table(HEADINGS, ROWS, width=width)
        assert [4, 3] == [block.count("\n") + 1 for block in blocks]
        assert {f"event    {IDS[0]}", f"booking  {IDS[1]}"} <= set(blocks[0].splitlines())


def test_a_wide_terminal_gets_columns() -> None:
    """Where all fits, it is a table; one without rows is its headings."""
    assert ["a    b", "one  two"] == table(("a", "b"), [("one", "two")], width=80)
    assert ["a  b"] == table(("a", "b"), [], width=80)
