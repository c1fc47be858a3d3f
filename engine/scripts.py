"""
The Lua scripts as text: found, completed with the parts they call, and marked with a nonce.

Scripts are called by their SHA-1 alone. Only the coordinator loads them, each reign under a new
nonce, so that a Redis which restarted or failed over knows none of them: `NOSCRIPT` is the first
lock on the shard's door (RELIABILITY F4, F10, F15). That is why redis-py's `Script`, which
reloads by itself, is never used.

What several scripts do stands once, in `lua/lib/<name>.lua`: one local function `name`. A script
or a part that calls it has it put in front, so nothing needs to be listed and nothing forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha1
from importlib import resources

from engine.verbs import VERBS

#: Every script, by the verb that names its file.
NAMES = tuple(sorted(VERBS))

#: How scripts begin to write a record.
_VERSION = '"version":1'
_HEADER_END = "\n]]\n"
_CALL = re.compile(r"\b([a-z_]+)\(")


@cache
def source(name: str) -> str:
    """Return the text of `lua/<name>.lua` with the parts it calls in front of its body."""
    folder = resources.files("lua")
    header, end, body = folder.joinpath(f"{name}.lua").read_text("utf-8").partition(_HEADER_END)
    parts = _parts()
    return header + end + "".join(parts[part] for part in _called(body, parts)) + body


@cache
def _parts() -> Mapping[str, str]:
    """Return the text of every part by the name of its function."""
    files = resources.files("lua").joinpath("lib").iterdir()
    return {
        file.name.removesuffix(".lua"): file.read_text("utf-8")
        for file in files
        if file.name.endswith(".lua")
    }


def _called(text: str, parts: Mapping[str, str]) -> list[str]:
    """Return the parts that *text* calls, directly or through others, each after what it calls."""
    order: dict[str, None] = {}

    def visit(text: str, callers: tuple[str, ...]) -> None:
        for part in _CALL.findall(text):
            if part not in parts or part in order or callers[-1:] == (part,):
                continue  # Not a part, there already, or the part's own definition.
            if part in callers:
                raise ValueError(f"parts call each other in a circle: {callers}")
            visit(parts[part], (*callers, part))
            order[part] = None

    visit(text, ())
    return list(order)


def mark(text: str, nonce: str, version: int) -> str:
    """
    Return the text of a script as it is loaded in the reign that *nonce* stands for.

    A coordinator does this to texts of other code too, so it must stay as it is, or change with
    `keys.LAYOUT_VERSION`.

    Args:
        version: Of the records that it shall write.
    """
    shebang, newline, rest = text.partition("\n")
    rest = rest.replace(_VERSION, _VERSION.replace("1", str(version)))
    return f"{shebang}{newline}-- nonce {nonce}{newline}{rest}"


def render(name: str, nonce: str, version: int = 1) -> str:
    """Return the script as the coordinator loads it; see `mark`."""
    return mark(source(name), nonce, version)


def shas(nonce: str, version: int = 1) -> Mapping[str, str]:
    """Return the SHA-1 of every script of a reign: what workers call, and Redis must know."""
    return {
        name: sha1(render(name, nonce, version).encode(), usedforsecurity=False).hexdigest()
        for name in NAMES
    }
