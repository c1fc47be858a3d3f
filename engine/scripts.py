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


def render(name: str, nonce: str) -> str:
    """Return the script as the coordinator loads it in the reign that *nonce* stands for."""
    shebang, newline, rest = source(name).partition("\n")
    return f"{shebang}{newline}-- nonce {nonce}{newline}{rest}"


def shas(nonce: str) -> Mapping[str, str]:
    """Return the SHA-1 of every script under *nonce*: what workers call, and Redis must know."""
    return {
        name: sha1(render(name, nonce).encode(), usedforsecurity=False).hexdigest()
        for name in NAMES
    }
