"""
Scripts as Redis gets them: the text of `lua/<name>.lua` with the parts that it calls in front.

    python -m engine.linker book

prints one, each part below the file it comes from, with the numbers of lines that an error of
Redis names (`user_script:123`).

What several scripts do stands once, in `lua/lib/`, a file for each concept: a paragraph that says
what it is about, then one local function a paragraph. Parts are linked one by one, so nothing needs
to be listed, nothing can be forgotten, and no script carries what it does not call.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

_HEADER_END = "\n]]\n"
_PART = re.compile(r"(?:--.*\n)+local function ([a-z_]+)\(")
_CALL = re.compile(r"\b([a-z_]+)\(")
_COMMENT = re.compile(r"--.*")


class Part(NamedTuple):
    """One function that scripts share."""

    #: File that it stands in.
    origin: str
    #: The comment above it, and its code.
    text: str


@cache
def parts() -> Mapping[str, Part]:
    """
    Return every part by the name of its function.

    Raises:
        ValueError: a paragraph of `lua/lib/` is no part, or a name is used twice.
    """
    found: dict[str, Part] = {}
    for file in sorted(resources.files("lua").joinpath("lib").iterdir(), key=lambda f: f.name):
        _, *paragraphs = file.read_text("utf-8").rstrip("\n").split("\n\n")
        for text in paragraphs:
            match = _PART.match(text)
            if match is None or match[1] in found:
                raise ValueError(f"lua/lib/{file.name}: not a new function: {text[:80]!r}")
            found[match[1]] = Part(f"lua/lib/{file.name}", f"{text}\n")
    return found


@cache
def source(name: str) -> str:
    """Return the text of `lua/<name>.lua` with the parts it calls in front of its body."""
    head, body, called = _linked(name)
    return head + "".join(parts()[part].text for part in called) + body


def listing(name: str) -> str:
    """Return `source(name)` for a reader: with the origin of each part, and Redis' line numbers."""
    head, body, called = _linked(name)
    pieces = [Part(f"lua/{name}.lua", head), *(parts()[part] for part in called)]
    shown, number, origin = [], 0, ""
    for piece in (*pieces, Part(f"lua/{name}.lua", body)):
        if piece.origin != origin:
            origin = piece.origin
            shown.append(f"---- {origin}\n")
        for line in piece.text.splitlines(keepends=True):
            number += 1 if number != 1 else 2  # The second line is the reign's nonce.
            shown.append(f"{number:5} {line}")
    return "".join(shown)


def _linked(name: str) -> tuple[str, str, list[str]]:
    """Return a script's header, its body, and the names of the parts between."""
    text = resources.files("lua").joinpath(f"{name}.lua").read_text("utf-8")
    header, end, body = text.partition(_HEADER_END)
    return header + end, body, _called(body)


def _called(text: str) -> list[str]:
    """Return the parts that *text* calls, directly or through others, each after what it calls."""
    order: dict[str, None] = {}

    def visit(text: str, callers: tuple[str, ...]) -> None:
        for part in _CALL.findall(_COMMENT.sub("", text)):
            if part not in parts() or part in order or callers[-1:] == (part,):
                continue  # Not a part, there already, or the part's own definition.
            if part in callers:
                raise ValueError(f"parts call each other in a circle: {callers}")
            visit(parts()[part].text, (*callers, part))
            order[part] = None

    visit(text, ())
    return list(order)


if __name__ == "__main__":
    for script in sys.argv[1:]:
        sys.stdout.write(listing(script))
