"""
The runbooks as the document has them: sections, and the commands that each walk takes out of it.

A block of commands in docs/OPERATIONS.md says in its first line which walk it is of (`walk=drift`);
the blocks of a walk are done in their order. What is done is what stands there, so that document
and rig cannot drift apart.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Literal, NamedTuple

DOCUMENT = Path(__file__).parents[2] / "docs" / "OPERATIONS.md"

_RUNBOOKS = "\n## Runbooks\n"
_SECTION = re.compile(r"^### (.+)$")
_BEGIN = re.compile(r"^```(sh|sql)(?: walk=([a-z-]+))?$")
_EXITS = re.compile(r"\s+# exits (\d)$")


class Deed(NamedTuple):
    """One command or statement."""

    text: str
    #: The right exit code.
    code: int = 0

    def filled(self, values: dict[str, str]) -> str:
        """Return a statement with its `$NAMES` filled in; of a command the shell does it."""
        return Template(self.text).substitute(values)


class Block(NamedTuple):
    """The deeds of one block."""

    section: str
    #: Empty if the block names none.
    walk: str
    language: Literal["sh", "sql"]
    deeds: tuple[Deed, ...]


def sections(text: str) -> list[str]:
    """Return the names of all runbooks."""
    return [
        found[1] for line in _runbooks(text).splitlines() if (found := _SECTION.match(line.strip()))
    ]


def blocks(text: str) -> list[Block]:
    """Return all blocks of the runbooks, in the order of the document."""
    found: list[Block] = []
    section, lines = "", iter(_runbooks(text).splitlines())
    for line in lines:
        if heading := _SECTION.match(line):
            section = heading[1]
        if begin := _BEGIN.match(line):
            content = []
            for inner in lines:
                if inner == "```":
                    break
                content.append(inner)
            language: Literal["sh", "sql"] = "sh" if begin[1] == "sh" else "sql"
            found.append(Block(section, begin[2] or "", language, _deeds(content)))
    return found


def _runbooks(text: str) -> str:
    return text.partition(_RUNBOOKS)[2].partition("\n## ")[0]


def _deeds(lines: list[str]) -> tuple[Deed, ...]:
    deeds = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        code = _EXITS.search(line)
        words = _EXITS.sub("", line).strip()
        if words and not words.startswith("#"):
            deeds.append(Deed(words, int(code[1]) if code else 0))
    return tuple(deeds)
