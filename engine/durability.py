"""Levels of durability: what an acknowledged booking survives (docs/RELIABILITY.md)."""

from __future__ import annotations

from typing import Literal, get_args

Durability = Literal["memory", "fsync", "replicated", "database"]
#: From the weakest to the strongest: each survives what those before it survive, and more.
LEVELS: tuple[Durability, ...] = get_args(Durability)


def stronger(one: Durability, other: Durability) -> Durability:
    """Return the level that promises more."""
    return max(one, other, key=LEVELS.index)
