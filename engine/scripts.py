"""
The Lua scripts by name, and as a reign knows them: linked (`engine.linker`), marked with a nonce.

Scripts are called by their SHA-1 alone. Only the coordinator loads them, each reign under a new
nonce, so that a Redis which restarted or failed over knows none of them: `NOSCRIPT` is the first
lock on the shard's door (RELIABILITY F4, F10, F15). That is why redis-py's `Script`, which
reloads by itself, is never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha1

from engine.linker import source
from engine.records import VERSIONS
from engine.verbs import VERBS

__all__ = ["NAMES", "mark", "render", "shas", "source"]

#: Every script, by the verb that names its file.
NAMES = tuple(sorted(VERBS))

#: How scripts begin to write a record.
_VERSION = '"version":1'


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


def render(name: str, nonce: str, version: int = VERSIONS[-1]) -> str:
    """Return the script as the coordinator loads it; see `mark`."""
    return mark(source(name), nonce, version)


def shas(nonce: str, version: int = VERSIONS[-1]) -> Mapping[str, str]:
    """Return the SHA-1 of every script of a reign: what workers call, and Redis must know."""
    return {
        name: sha1(render(name, nonce, version).encode(), usedforsecurity=False).hexdigest()
        for name in NAMES
    }
