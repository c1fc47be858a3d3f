"""
The headers of the Lua scripts, read as data, and `docs/SCRIPTS.md` made of them.

    python -m engine.script_docs > docs/SCRIPTS.md

A header is the comment at the top of each `lua/*.lua`; tests/lua/test_headers.py holds headers,
script bodies and the page together.
"""

from __future__ import annotations

import re
import sys
from importlib import resources
from typing import NamedTuple

from engine.linker import parts
from engine.scripts import NAMES

#: What follows the summary in every header, in this order.
SECTIONS = (
    "Guarantees",
    "Atomicity",
    "Idempotency",
    "Cost",
    "KEYS",
    "ARGV",
    "Returns",
    "Errors",
    "Emits",
)

_INTRODUCTION = """\
# Scripts

What each script promises, takes and replies. Made of the headers in `lua/` by
`python -m engine.script_docs > docs/SCRIPTS.md`; do not edit.

Every reply is an array that begins with a status, one for each command of a batch; `book` alone
replies one text of words. Refusals are tried in the order shown, and the first that applies is
given. `python -m engine.linker book` prints a script as Redis gets it.

Most scripts are about events, and take eleven keys of each:

```text
"""

_HEADER = re.compile(r"--\[\[\n(.*?)\n\]\]\n", re.DOTALL)
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)})\b", re.MULTILINE)
_SLOT = re.compile(r"^ +(\d+)(?:\.\.\d+)? ([a-z_]+) +(\S+)", re.MULTILINE)
_EVENT_KEY = re.compile(r"^--( +\d+ [a-z]+ .*\n)", re.MULTILINE)
_RETURN = re.compile(r"^  ([A-Z_]{3,})(?:  +(.*))?$", re.MULTILINE)
_FIELDS = re.compile(r"([a-z_]+(?:, (?:[a-z_]+|\.\.\.))*)(?:  .*)?$")


class Slot(NamedTuple):
    """One key or argument: its number, name and type."""

    number: int
    name: str
    kind: str


class Header(NamedTuple):
    """One script's header and what comes after it."""

    name: str
    #: First line of the file.
    shebang: str
    #: First paragraph, beginning with the script's name.
    summary: str
    #: Text of each section, with its title, in the order of the file.
    sections: dict[str, str]
    #: The Lua code.
    body: str

    def slots(self, section: str) -> list[Slot]:
        """Return the numbered lines of `KEYS` or `ARGV`, an event's keys one by one."""
        found = []
        for number, name, kind in _SLOT.findall(self.sections[section]):
            many = _SLOT.findall(event_keys()) if kind == "keys" else [(1, name, kind)]
            found += [Slot(int(number) + int(n) - 1, name, kind) for n, name, kind in many]
        return found

    def replies(self) -> dict[str, tuple[str, ...]]:
        """Return each status of `Returns` with the names of the fields that follow it."""
        found: dict[str, tuple[str, ...]] = {}
        for status, rest in _RETURN.findall(self.sections["Returns"]):
            match = _FIELDS.match(rest)
            found[status] = tuple(match[1].split(", ")) if match else ()
        return found


def event_keys() -> str:
    """Return the lines that say which keys an event has, from where scripts bind them."""
    return "".join(_EVENT_KEY.findall(parts()["bind_events"].text))


def read_header(name: str) -> Header:
    """
    Read the header of `lua/<name>.lua`.

    Raises:
        ValueError: the file has none in the second line.
    """
    text = resources.files("lua").joinpath(f"{name}.lua").read_text(encoding="utf-8")
    shebang, _, rest = text.partition("\n")
    match = _HEADER.match(rest)
    if match is None:
        raise ValueError(f"lua/{name}.lua has no header in its second line")
    summary, *parts = _SECTION.split(match[1])
    sections = {
        title: f"{title}{content.rstrip()}"
        for title, content in zip(parts[::2], parts[1::2], strict=True)
    }
    return Header(name, shebang, summary.strip(), sections, rest[match.end() :])


def page() -> str:
    """Return the text of `docs/SCRIPTS.md`."""
    return "\n".join(
        [f"{_INTRODUCTION}{event_keys()}```\n", *(_chapter(read_header(name)) for name in NAMES)]
    )


def _chapter(header: Header) -> str:
    what = " ".join(header.summary.split()).removeprefix(f"{header.name}: ")
    lists = "\n\n".join(header.sections[title] for title in ("KEYS", "ARGV", "Returns"))
    lines = [f"## {header.name}", "", f"{what[0].upper()}{what[1:]}", ""]
    for title in SECTIONS:
        if title not in {"KEYS", "ARGV", "Returns"}:
            text = " ".join(header.sections[title].removeprefix(title).split())
            lines.append(f"- **{title}** {text}")
    return "\n".join([*lines, "", "```text", lists, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(page())
