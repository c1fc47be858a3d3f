"""
Text on a terminal: what would steer it, or turn the order of letters, is spelled out; tables whose
ids are whole.

Names come in without such characters (`usecases.text`), but rows of older code, records that are
damaged, and what somebody wrote into a store by hand may have them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

#: Control characters, ends of lines of any kind, marks that change the direction of writing.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return *text* as one line that can do nothing to a terminal, such as `\\x1b[2J`."""
    return _STEERING.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None
) -> list[str]:
    """
    Return a table as text, the headings first; no cell is ever cut or broken, so that ids can be
    copied.

    Args:
        width: Columns of the terminal; a table that is wider comes as one block for each row, a
            line for each cell that has something in it. None: however wide it is, as for a pipe.
    """
    texts = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(headings, *texts, fillvalue="")]
    if width is None or sum(widths) + 2 * (len(widths) - 1) <= width:
        return [
            "  ".join(map(str.ljust, line, widths)).rstrip() for line in (list(headings), *texts)
        ]
    longest = max(map(len, headings))
    blocks = [
        "\n".join(
            f"{heading.ljust(longest)}  {cell}"
            for heading, cell in zip(headings, line, strict=True)
            if cell
        )
        for line in texts
    ]
    return ["", *(f"{block}\n" for block in blocks)]
