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

#: Every script, by the verb that names its file.
NAMES = (
    "availability",
    "block",
    "book",
    "cancel",
    "cancel_event",
    "cancel_item",
    "checkin",
    "close",
    "confirm",
    "empty_event",
    "expire",
    "extend",
    "hold",
    "join",
    "leave",
    "persisted",
    "publish",
    "release",
    "reopen",
    "seat",
    "seats",
    "set_capacity",
    "transfer",
    "unblock",
    "undo_checkin",
    "waitmark",
)


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
